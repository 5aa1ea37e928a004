'use client'

import dynamic from 'next/dynamic'
import Link from 'next/link'
import { useState } from 'react'
import type { AgentView } from '#lib/core/pages'
import { useCosts } from '#app/console/_parts/agents/use-costs'
import { query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, PageHead, State, useNow } from '#app/console/_parts/bits.tsx'
import { Field } from '#app/console/_parts/dialog.tsx'
import { count, money } from '#app/console/_parts/format'
import { useSession } from '#app/console/_parts/session.tsx'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

const StartDialog = dynamic(() => import('#app/console/_parts/agents/start-dialog.tsx'), { ssr: false })

const pageSize = 25
const liveMs = 3_000

/** All agents with what they are doing now, the newest first. */
export function AgentsPage() {
  const { session } = useSession()
  const [starting, setStarting] = useState(false)
  const [filter, setFilter] = useState({ state: '', template: '', prefix: '' })
  const key = JSON.stringify(filter)
  const pages = useCursor(key)
  const list = useResource<Page<AgentView>>(
    `/api/agents${query({ ...filter, order: 'desc', limit: pageSize, cursor: pages.cursor })}`,
    liveMs,
  )
  const costs = useCosts(list.data?.data ?? [])
  const now = useNow()
  const set = (name: string) => (event: { currentTarget: { value: string } }) => {
    const { value } = event.currentTarget
    setFilter((before) => ({ ...before, [name]: value.trim() }))
  }
  const filtered = filter.state !== '' || filter.template !== '' || filter.prefix !== ''

  return (
    <>
      <PageHead title="Agents" about="Each is a durable conversation. What runs, runs here or is handed on.">
        <button type="button" className="button primary" onClick={() => setStarting(true)}>
          Start a run
        </button>
      </PageHead>
      <div className="filters" role="search">
        <Field label="State">
          <select value={filter.state} onChange={set('state')}>
            <option value="">Any state</option>
            <option value="working">Working</option>
            <option value="paused">Paused</option>
            <option value="ready">Ready</option>
          </select>
        </Field>
        <Field label="Template">
          <select value={filter.template} onChange={set('template')}>
            <option value="">Any template</option>
            {session.templates.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </Field>
        <Field label="Id begins with">
          <input value={filter.prefix} onChange={set('prefix')} spellCheck={false} placeholder="support-" />
        </Field>
      </div>
      <section className="card" aria-label="Agents">
        <PagedTable
          list={list}
          pages={pages}
          columns={['Agent', 'State', 'Template', ['Steps', 'num'], ['Queued', 'num'], ['Cost', 'num'], ['Changed', 'num']]}
          empty={
            filtered ? (
              <Empty title="No agent fits these filters" />
            ) : (
              <Empty title="No agents yet">
                The first message makes one. Start a run here, or send <code>POST /api/agents/my-agent/messages</code>.
              </Empty>
            )
          }
        >
          {(agent) => (
            <tr key={agent.agentUid}>
              <td className="head">
                <Link className="strong mono" href={`/console/agents/${encodeURIComponent(agent.id)}`} prefetch={false}>
                  {agent.id}
                </Link>
              </td>
              <td data-label="State">
                <State name={agent.state} />
              </td>
              <td data-label="Template">
                <span>
                  {agent.template} <small className="muted nowrap">{agent.model}</small>
                </span>
              </td>
              <td data-label="Steps" className="num">
                {count(agent.steps)}
              </td>
              <td data-label="Queued" className="num">
                {count(agent.queued)}
              </td>
              <td data-label="Cost" className="num">
                {money(costs.get(agent.agentUid))}
              </td>
              <td data-label="Changed" className="num nowrap muted">
                <Ago at={agent.updatedAt} now={now} />
              </td>
            </tr>
          )}
        </PagedTable>
      </section>
      {starting && <StartDialog close={() => setStarting(false)} />}
    </>
  )
}
