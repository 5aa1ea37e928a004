'use client'

import Link from 'next/link'
import { useParams } from 'next/navigation'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { AgentView } from '#lib/core/pages'
import { Conversation, type MessageRow } from '#app/console/_parts/agent/conversation.tsx'
import { AgentActions } from '#app/console/_parts/agent/agent-actions.tsx'
import { Composer } from '#app/console/_parts/agent/composer.tsx'
import { RunPanel } from '#app/console/_parts/agent/run-panel.tsx'
import type { CallRecord } from '#app/console/_parts/agent/tool-call.tsx'
import { useLive } from '#app/console/_parts/agent/use-live'
import { useMessages } from '#app/console/_parts/agent/use-messages'
import { useRuns } from '#app/console/_parts/agent/use-runs'
import { query, type Page } from '#app/console/_parts/api'
import { Failure, PageHead, Rows, Stale, State } from '#app/console/_parts/bits.tsx'
import { money, plural } from '#app/console/_parts/format'
import { useResource } from '#app/console/_parts/use-resource'

const settleMs = 120
/** The stream tells of everything; this is for what it cannot, such as a switch that was lifted. */
const idleMs = 15_000

export type AgentDetails = AgentView & { runs: number; costMicros: number }

/** One agent: its conversation beside what its runs did. */
export function AgentPage() {
  const params = useParams<{ id: string }>()
  const id = decodeURIComponent(params.id)
  const base = `/api/agents/${encodeURIComponent(id)}`
  const agent = useResource<AgentDetails>(base, idleMs)
  const [start, setStart] = useState<{ seq: number; messages: number } | null>(null)
  useEffect(() => {
    if (agent.data !== null && start === null) setStart({ seq: agent.data.lastSeq, messages: agent.data.messages })
  }, [agent.data, start])

  const messages = useMessages(`${base}/messages`, start?.messages ?? null)
  const calls = useResource<Page<CallRecord>>(start === null ? null : `${base}/tool-calls?limit=200`)
  const [chosen, setChosen] = useState<string | null>(null)
  const runs = useRuns(start === null ? null : `${base}/runs`, { chosen, active: agent.data?.activeRunId ?? null }, idleMs)
  const { run } = runs

  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const refresh = useCallback(() => {
    clearTimeout(timer.current)
    timer.current = setTimeout(() => {
      for (const resource of [agent, messages, calls, runs]) resource.refresh()
    }, settleMs)
  }, [agent.refresh, messages.refresh, calls.refresh, runs.refresh])
  const live = useLive(id, start?.seq ?? null, refresh)

  const [sent, setSent] = useState(0)
  const [view, setView] = useState<'chat' | 'runs'>('chat')
  // The list begins with the oldest: of an agent with many calls, those of the run that is looked at may not be among them.
  const ofRun = useResource<Page<CallRecord>>(
    run === null || calls.data?.nextCursor == null ? null : `${base}/tool-calls${query({ limit: 200, runId: run.id })}`,
    run?.endedAt === null ? 5_000 : undefined,
  )
  const byId = useMemo(
    () => new Map([...(calls.data?.data ?? []), ...(ofRun.data?.data ?? [])].map((call) => [call.callId as string, call])),
    [calls.data, ofRun.data],
  )
  const rows = messages.data ?? []
  const writing = live.text !== null && !isStored(rows, live.text.runId, live.text.text) ? live.text : null

  if (agent.data === null)
    return (
      <>
        <PageHead title={<span className="mono">{id}</span>} />
        {agent.error === null ? <Rows rows={8} /> : <Failure error={agent.error} retry={agent.refresh} />}
      </>
    )
  const { data } = agent
  return (
    <div className="agent">
      <nav className="crumbs" aria-label="Breadcrumb">
        <Link href="/console">Agents</Link> <span aria-hidden="true">/</span> <span className="mono">{id}</span>
      </nav>
      <PageHead
        title={
          <span className="row">
            <span className="mono">{id}</span> <State name={data.state} />
          </span>
        }
        about={`${data.template} · ${data.model} · ${plural(data.steps, 'step')} · ${plural(data.runs, 'run')} · ${money(data.costMicros)}`}
      >
        <AgentActions agent={data} done={refresh} />
      </PageHead>
      {agent.error !== null && <Stale error={agent.error} />}
      <div className="segments views" role="group" aria-label="View">
        <button type="button" aria-pressed={view === 'chat'} onClick={() => setView('chat')}>
          Conversation
        </button>
        <button type="button" aria-pressed={view === 'runs'} onClick={() => setView('runs')}>
          Runs
        </button>
      </div>
      <div className="split" data-view={view}>
        <section className="card chat-card" aria-label="Conversation">
          {messages.error !== null && messages.data === null ? (
            <Failure error={messages.error} retry={messages.refresh} />
          ) : messages.data === null ? (
            <Rows rows={6} />
          ) : (
            <Conversation messages={rows} calls={byId} live={writing} earlier={messages.earlier} sent={sent} />
          )}
          {messages.error !== null && messages.data !== null && <Stale error={messages.error} />}
          {messages.error === null && calls.error !== null && <Stale error={calls.error} />}
          <Composer agent={id} state={data.state} sent={() => (setSent((n) => n + 1), refresh())} />
        </section>
        <section className="card" aria-label="Runs">
          <RunPanel agent={id} runs={runs} choose={setChosen} live={live} changed={refresh} />
        </section>
      </div>
    </div>
  )
}

function isStored(rows: readonly MessageRow[], runId: string, text: string): boolean {
  return rows.some(
    (row) =>
      row.runId === runId &&
      row.role === 'assistant' &&
      (Array.isArray(row.content) ? (row.content as { text?: string }[]) : [{ text: String(row.content) }]).some(
        (part) => part.text === text,
      ),
  )
}
