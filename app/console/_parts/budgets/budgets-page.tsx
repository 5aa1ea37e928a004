'use client'

import { useState } from 'react'
import type { BudgetView } from '#lib/core/budget-store'
import { BudgetDialog } from '#app/console/_parts/budgets/budget-dialog.tsx'
import { BudgetMeter } from '#app/console/_parts/budgets/budget-meter.tsx'
import { limitsOf } from '#app/console/_parts/budgets/limits'
import { call, query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, ListState, PageHead, Pager, Stale, useNow } from '#app/console/_parts/bits.tsx'
import { AskButton } from '#app/console/_parts/dialog.tsx'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

/** The tenant's own budgets are on by default, so that they are not among those that are set. */
const defaults = ['tenant', 'user:*'] as const

/** Budgets as bars: what is spent, what is reserved for calls in hand, what is left. */
export function BudgetsPage() {
  const pages = useCursor('budgets')
  const list = useResource<Page<BudgetView>>(`/api/budgets${query({ limit: 50, cursor: pages.cursor })}`, 5_000)
  const tenant = useResource<{ periods: BudgetView[] }>(`/api/budgets/${defaults[0]}`, 5_000)
  const users = useResource<{ periods: BudgetView[] }>(`/api/budgets/${encodeURIComponent(defaults[1])}`, 15_000)
  const [editing, setEditing] = useState<Partial<BudgetView> | null>(null)
  const now = useNow()

  const set = list.data?.data ?? []
  const isSet = (budget: BudgetView): boolean => set.some(({ scope, period }) => scope === budget.scope && period === budget.period)
  const standing = [...(tenant.data?.periods ?? []), ...(users.data?.periods ?? [])].filter((budget) => !isSet(budget))
  const rows = pages.page === 1 ? [...standing, ...set] : set
  const unread = tenant.error ?? users.error
  const refresh = (): void => {
    for (const resource of [list, tenant, users]) resource.refresh()
  }

  return (
    <>
      <PageHead title="Budgets" about="A call is reserved for before it is made; without room it is refused.">
        <button type="button" className="button primary" onClick={() => setEditing({})}>
          Set a limit
        </button>
      </PageHead>
      <section className="card" aria-label="Budgets">
        <header>
          <div className="legend">
            <span>
              <i className="spent" />
              spent
            </span>
            <span>
              <i className="reserved" />
              reserved for calls in hand
            </span>
          </div>
        </header>
        {unread !== null && <Stale error={unread} />}
        <ListState
          list={list}
          empty={
            pages.page > 1 ? (
              <Empty title="No more" />
            ) : (
              standing.length === 0 && <Empty title="No budget is set">Limits that are on by default still hold.</Empty>
            )
          }
        />
        {list.data !== null && rows.length > 0 && (
          <table className="cards">
            <thead>
              <tr>
                <th>Scope</th>
                <th>Period</th>
                <th>Spent and reserved</th>
                <th className="num">Left</th>
                <th>Begins anew</th>
                <th>
                  <span className="hidden-text">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((budget) => (
                <tr key={`${budget.scope} ${budget.period}`}>
                  <td className="head">
                    <span className="strong mono">{budget.scope}</span>{' '}
                    {budget.source !== 'set' && <small className="muted">{budget.source === 'default' ? 'by default' : 'inherited'}</small>}
                  </td>
                  <td data-label="Period">{budget.period}</td>
                  <td data-label="">
                    <BudgetMeter budget={budget} />
                  </td>
                  <td data-label="Left" className="num nowrap">
                    {limitsOf(budget).map(({ of, left }) => (
                      <div key={of}>{left}</div>
                    ))}
                    {limitsOf(budget).length === 0 && '–'}
                  </td>
                  <td data-label="Begins anew" className="muted nowrap">
                    {budget.resetsAt === null ? '–' : <Ago at={budget.resetsAt} now={now} />}
                  </td>
                  <td className="acts">
                    <button type="button" className="button small" onClick={() => setEditing(budget)}>
                      Change
                    </button>
                    {budget.source === 'set' && (
                      <AskButton
                        label="Remove"
                        title={`Remove the budget of ${budget.scope}`}
                        submit="Remove"
                        work={async () => {
                          const path = `/api/budgets/${encodeURIComponent(budget.scope)}${query({ period: budget.period })}`
                          await call('DELETE', path)
                          refresh()
                        }}
                      >
                        <p>What is on by default applies again. What was spent stays in the ledger.</p>
                      </AskButton>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {list.data !== null && <Pager {...pages} next={list.data.nextCursor} />}
      </section>
      {editing !== null && <BudgetDialog budget={editing} close={() => setEditing(null)} saved={refresh} />}
    </>
  )
}
