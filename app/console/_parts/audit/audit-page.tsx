'use client'

import { useState } from 'react'
import type { AuditEntry } from '#lib/core/audit'
import { query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, PageHead, State, useNow } from '#app/console/_parts/bits.tsx'
import { Field } from '#app/console/_parts/dialog.tsx'
import { money, shown } from '#app/console/_parts/format'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

const noFilter = { agent: '', actor: '', action: '', decision: '' }

/** Every decision: who asked, what was decided, and why. */
export function AuditPage() {
  const [filter, setFilter] = useState(noFilter)
  const pages = useCursor(JSON.stringify(filter))
  const complete = filter.action === '' || /^[a-z_]+\.[a-z_]+$/.test(filter.action)
  const list = useResource<Page<AuditEntry>>(
    `/api/audit${query({ ...filter, action: complete ? filter.action : '', limit: 50, cursor: pages.cursor })}`,
    pages.page === 1 ? 5_000 : undefined,
  )
  const now = useNow()
  const set = (name: keyof typeof noFilter) => (event: { currentTarget: { value: string } }) => {
    const { value } = event.currentTarget
    setFilter((before) => ({ ...before, [name]: value.trim() }))
  }
  return (
    <>
      <PageHead title="Audit" about="One entry for each decision, written by the transaction that it tells of." />
      <div className="filters" role="search">
        <Field label="Agent">
          <input value={filter.agent} onChange={set('agent')} spellCheck={false} />
        </Field>
        <Field label="Actor">
          <input value={filter.actor} onChange={set('actor')} spellCheck={false} placeholder="key:…" />
        </Field>
        <Field label="Action">
          <input value={filter.action} onChange={set('action')} spellCheck={false} placeholder="message.accept" />
        </Field>
        <Field label="Decision">
          <select value={filter.decision} onChange={set('decision')}>
            <option value="">Any</option>
            <option value="allowed">Allowed</option>
            <option value="refused">Refused</option>
            <option value="recorded">Recorded</option>
          </select>
        </Field>
      </div>
      <section className="card" aria-label="Audit log">
        <PagedTable
          list={list}
          pages={pages}
          columns={['When', 'Action', 'Decision', 'Actor', 'About', ['Cost', 'num']]}
          empty={<Empty title="No entry fits" />}
        >
          {(entry) => <Entry key={entry.id} entry={entry} now={now} />}
        </PagedTable>
      </section>
    </>
  )
}

function Entry({ entry, now }: { entry: AuditEntry; now: number }) {
  const why = [entry.code, entry.reason].filter((part) => part !== null).join(': ')
  return (
    <tr>
      <td data-label="When" className="muted nowrap">
        <Ago at={entry.at} now={now} />
      </td>
      <td className="head">
        <code className="strong">{entry.action}</code>
        {why !== '' && <div className="muted">{why}</div>}
      </td>
      <td data-label="Decision">
        <State name={entry.decision} />
      </td>
      <td data-label="Actor" className="mono muted">
        {entry.actor}
      </td>
      <td data-label="About">
        <div>
          <span className="mono">{entry.agentId ?? entry.scope ?? '–'}</span>
          {entry.data !== null && (
            <details>
              <summary>Data</summary>
              <pre className="code" tabIndex={0}>
                {shown(entry.data)}
              </pre>
            </details>
          )}
        </div>
      </td>
      <td data-label="Cost" className="num">
        {money(entry.costMicros)}
      </td>
    </tr>
  )
}
