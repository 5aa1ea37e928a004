'use client'

import { useState } from 'react'
import type { SwitchView } from '#lib/core/switches'
import { StopModes } from '#app/console/_parts/agent/agent-actions.tsx'
import { call, query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, PageHead, State, useNow } from '#app/console/_parts/bits.tsx'
import { isWide, switchBody } from '#app/console/_parts/bodies'
import { AskButton, Field, FormDialog } from '#app/console/_parts/dialog.tsx'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

/** What is killed or held, and the switch itself. */
export function SwitchesPage() {
  const pages = useCursor('switches')
  const list = useResource<Page<SwitchView>>(`/api/kill${query({ limit: 50, cursor: pages.cursor })}`, 4_000)
  const [open, setOpen] = useState(false)
  const now = useNow()
  return (
    <>
      <PageHead title="Kill switch" about="A kill ends runs within a second, in every process. A hold lets no further step start.">
        <button type="button" className="button danger" onClick={() => setOpen(true)}>
          Kill or hold
        </button>
      </PageHead>
      <section className="card" aria-label="Kills and holds">
        <PagedTable
          list={list}
          pages={pages}
          columns={['Scope', 'Mode', 'Reason', 'Set by', 'When', ['Actions', 'acts']]}
          empty={<Empty title="Nothing is killed or held">Agents run as their templates and budgets allow.</Empty>}
        >
          {(one) => (
            <tr key={one.scope}>
              <td className="head">
                <span className="strong mono">{one.scope}</span>
              </td>
              <td data-label="Mode">
                <State name={one.mode} />
              </td>
              <td data-label="Reason">{one.reason}</td>
              <td data-label="Set by" className="mono muted">
                {one.actor}
              </td>
              <td data-label="When" className="muted nowrap">
                <Ago at={one.createdAt} now={now} />
              </td>
              <td className="acts">
                <AskButton
                  label="Lift"
                  title={`Lift the ${one.mode} of ${one.scope}`}
                  submit="Lift"
                  tone="primary"
                  work={async (field) => {
                    const path = `/api/kill/${encodeURIComponent(one.scope)}${query({ reason: field('reason') })}`
                    await call('DELETE', path)
                    list.refresh()
                  }}
                >
                  <p>
                    {one.mode === 'hold'
                      ? 'What was held goes on where it stands.'
                      : 'Messages are taken again. Runs that were killed stay ended; they can be retried one by one.'}
                  </p>
                  <Field label="Reason">
                    <input name="reason" maxLength={500} />
                  </Field>
                </AskButton>
              </td>
            </tr>
          )}
        </PagedTable>
      </section>
      {open && <SwitchDialog close={() => setOpen(false)} done={list.refresh} />}
    </>
  )
}

/** A wide switch is set only by who has typed its scope a second time. */
function SwitchDialog({ close, done }: { close: () => void; done: () => void }) {
  const [scope, setScope] = useState('')
  return (
    <FormDialog
      title="Kill or hold"
      submit="Set the switch"
      tone="danger"
      close={close}
      work={async (field) => {
        await call('POST', '/api/kill', { body: switchBody(scope.trim(), field) })
        done()
      }}
    >
      <Field label="Scope" hint="agent:ID, user:ID, key:ID, run:ID, tenant or global">
        <input
          name="scope"
          required
          spellCheck={false}
          value={scope}
          placeholder="agent:"
          onChange={(event) => setScope(event.currentTarget.value)}
        />
      </Field>
      <StopModes />
      <Field label="Reason" hint="Stands in the audit log, and in what callers are told.">
        <input name="reason" required maxLength={500} />
      </Field>
      {isWide(scope.trim()) && (
        <Field
          label={`This stops every agent of the ${scope.trim() === 'global' ? 'deployment' : 'tenant'}. Type ${scope.trim()} to confirm.`}
        >
          <input name="again" required autoComplete="off" spellCheck={false} />
        </Field>
      )}
    </FormDialog>
  )
}
