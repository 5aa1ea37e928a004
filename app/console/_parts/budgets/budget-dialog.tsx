'use client'

import type { BudgetView } from '#lib/core/budget-store'
import { call } from '#app/console/_parts/api'
import { limitsBody } from '#app/console/_parts/bodies'
import { Field, FormDialog } from '#app/console/_parts/dialog.tsx'

const periods = ['day', 'month', 'lifetime', 'run'] as const

const usd = (micros: number | null | undefined): string => (micros === null || micros === undefined ? '' : String(micros / 1_000_000))

/** Sets the limits of one scope and period; what is left empty is not limited. */
export function BudgetDialog({ budget, close, saved }: { budget: Partial<BudgetView>; close: () => void; saved: () => void }) {
  const known = budget.scope !== undefined
  return (
    <FormDialog
      title={known ? `Limits of ${budget.scope}` : 'Set a limit'}
      submit="Save"
      close={close}
      work={async (field) => {
        await call('PUT', `/api/budgets/${encodeURIComponent(field('scope'))}`, { body: limitsBody(field) })
        saved()
      }}
    >
      <div className="pair">
        <Field label="Scope" hint="tenant, user:ID, user:*, key:ID, agent:ID, run:ID, tool:NAME">
          <input name="scope" required defaultValue={budget.scope ?? ''} readOnly={known} spellCheck={false} />
        </Field>
        <Field label="Period">
          <select name="period" defaultValue={budget.period ?? 'day'}>
            {periods.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </Field>
        <Field label="Limit, in dollars" hint="0 allows nothing.">
          <input name="limit" type="number" min={0} step="any" inputMode="decimal" defaultValue={usd(budget.limitMicros)} />
        </Field>
        <Field label="Most for one call, in dollars">
          <input name="perCall" type="number" min={0} step="any" inputMode="decimal" defaultValue={usd(budget.maxPerCallMicros)} />
        </Field>
        <Field label="Tokens">
          <input name="tokens" type="number" min={0} step={1} inputMode="numeric" defaultValue={budget.limitTokens ?? ''} />
        </Field>
        <Field label="Calls">
          <input name="calls" type="number" min={0} step={1} inputMode="numeric" defaultValue={budget.limitCalls ?? ''} />
        </Field>
      </div>
    </FormDialog>
  )
}
