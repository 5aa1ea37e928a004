'use client'

import dynamic from 'next/dynamic'
import { useState } from 'react'
import type { UsageRow } from '#lib/core/budget-store'
import { query, type Page } from '#app/console/_parts/api'
import { Empty, Failure, PageHead, Rows } from '#app/console/_parts/bits.tsx'
import { count, money } from '#app/console/_parts/format'
import { readAll } from '#app/console/_parts/read-all'
import { useResource } from '#app/console/_parts/use-resource'

const DayChart = dynamic(() => import('#app/console/_parts/usage/day-chart.tsx'), { ssr: false, loading: () => <Rows rows={4} /> })

const spans = [7, 30, 90] as const
const groups = [
  { by: 'model', name: 'Model' },
  { by: 'agent', name: 'Agent' },
  { by: 'user', name: 'User' },
  { by: 'key', name: 'Key' },
] as const
const dayMs = 86_400_000
/** The most that the API hands out at once. */
const pageSize = 200

/** A row of GET /api/usage: the group stands under the name that was asked for. */
export type Spent = Omit<UsageRow, 'group'> & Record<string, unknown>

/** The range as whole UTC days, so that the address stays the same all day. */
function rangeOf(days: number): { from: string; to: string } {
  const tomorrow = (Math.floor(Date.now() / dayMs) + 1) * dayMs
  return { from: new Date(tomorrow - days * dayMs).toISOString(), to: new Date(tomorrow).toISOString() }
}

/** What was spent: by day as a chart, and by model, agent, user or key. */
export function UsagePage() {
  const [days, setDays] = useState<number>(30)
  const [by, setBy] = useState<(typeof groups)[number]['by']>('model')
  const range = rangeOf(days)
  const perDay = useResource<Page<Spent>>(`/api/usage${query({ groupBy: 'day', ...range, limit: 200 })}`, 15_000)
  const perGroup = useResource<Page<Spent>>(`/api/usage${query({ groupBy: by, ...range, limit: pageSize })}`, 15_000, readAll)
  const rows = perDay.data?.data ?? []
  const sum = (pick: (row: Spent) => number): number => rows.reduce((total, row) => total + pick(row), 0)

  return (
    <>
      <PageHead title="Usage" about="From the ledger: what was settled, and apart what is estimated for calls whose usage nobody received.">
        <div className="segments" role="group" aria-label="Days">
          {spans.map((span) => (
            <button key={span} type="button" aria-pressed={days === span} onClick={() => setDays(span)}>
              {span} days
            </button>
          ))}
        </div>
      </PageHead>
      <div className="stack">
        <section className="card" aria-label="By day">
          {perDay.data === null ? (
            perDay.error === null ? (
              <Rows />
            ) : (
              <Failure error={perDay.error} retry={perDay.refresh} />
            )
          ) : (
            <>
              <dl className="totals">
                <div>
                  <dt>Cost</dt>
                  <dd>{money(sum((row) => row.costMicros))}</dd>
                </div>
                <div>
                  <dt>Of it estimated</dt>
                  <dd>{money(sum((row) => row.estimatedMicros))}</dd>
                </div>
                <div>
                  <dt>Calls</dt>
                  <dd>{count(sum((row) => row.calls))}</dd>
                </div>
                <div>
                  <dt>Tokens in</dt>
                  <dd>{count(sum((row) => row.inputTokens))}</dd>
                </div>
                <div>
                  <dt>Tokens out</dt>
                  <dd>{count(sum((row) => row.outputTokens))}</dd>
                </div>
              </dl>
              <DayChart rows={rows} from={range.from} days={days} />
            </>
          )}
        </section>
        <section className="card" aria-label="By group">
          <header>
            <h2>By {by}</h2>
            <div className="segments" role="group" aria-label="Group by">
              {groups.map((group) => (
                <button key={group.by} type="button" aria-pressed={by === group.by} onClick={() => setBy(group.by)}>
                  {group.name}
                </button>
              ))}
            </div>
          </header>
          {perGroup.data === null ? (
            perGroup.error === null ? (
              <Rows />
            ) : (
              <Failure error={perGroup.error} retry={perGroup.refresh} />
            )
          ) : perGroup.data.data.length === 0 ? (
            <Empty title="Nothing was spent in these days" />
          ) : (
            <>
              {perGroup.data.nextCursor !== null && (
                <p className="stale" role="status">
                  Only the first {count(perGroup.data.data.length)} by name: there are more.
                </p>
              )}
              <Groups by={by} rows={perGroup.data.data} />
            </>
          )}
        </section>
      </div>
    </>
  )
}

function Groups({ by, rows }: { by: string; rows: readonly Spent[] }) {
  const sorted = rows.toSorted((a, b) => b.costMicros - a.costMicros)
  const most = Math.max(1, sorted[0]?.costMicros ?? 1)
  return (
    <table className="cards">
      <thead>
        <tr>
          <th>{groups.find((group) => group.by === by)?.name}</th>
          <th>Share</th>
          <th className="num">Cost</th>
          <th className="num">Calls</th>
          <th className="num">Tokens in</th>
          <th className="num">Tokens out</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((row) => {
          const name = row[by]
          return (
            <tr key={typeof name === 'string' ? name : ''}>
              <td className="head">
                <span className="strong mono">{typeof name === 'string' ? name : 'none'}</span>
              </td>
              <td data-label="">
                <span className="share-track" aria-hidden="true">
                  <span className="share" style={{ width: `${(row.costMicros / most) * 100}%` }} />
                </span>
              </td>
              <td data-label="Cost" className="num">
                {money(row.costMicros)}
              </td>
              <td data-label="Calls" className="num">
                {count(row.calls)}
              </td>
              <td data-label="Tokens in" className="num">
                {count(row.inputTokens)}
              </td>
              <td data-label="Tokens out" className="num">
                {count(row.outputTokens)}
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}
