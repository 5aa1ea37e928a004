'use client'

import Link from 'next/link'
import { useEffect, useState } from 'react'
import type { RunView } from '#lib/core/store'
import { retryRun } from '#app/console/_parts/agent/send-message'
import { RunTimeline } from '#app/console/_parts/agent/timeline.tsx'
import type { Live } from '#app/console/_parts/agent/use-live'
import { useRunEvents } from '#app/console/_parts/agent/use-run-events'
import type { Runs } from '#app/console/_parts/agent/use-runs'
import { call } from '#app/console/_parts/api'
import { Ago, Empty, Failure, Id, Rows, Stale, State, useNow } from '#app/console/_parts/bits.tsx'
import { AskButton } from '#app/console/_parts/dialog.tsx'
import { count, duration, money, words } from '#app/console/_parts/format'
import { createTries } from '#app/console/_parts/tries'
import { useAction, useResource } from '#app/console/_parts/use-resource'

/** The runs of an agent, and the chosen one as a timeline. */
export function RunPanel({
  agent,
  runs,
  choose,
  live,
  changed,
}: {
  agent: string
  runs: Runs
  choose: (id: string) => void
  live: Live
  changed: () => void
}) {
  const { run } = runs
  const { events, error, retry } = useRunEvents(run?.id ?? null, live.events)
  if (runs.data === null) return runs.error === null ? <Rows rows={6} /> : <Failure error={runs.error} retry={runs.refresh} />
  if (run === null) return runs.data.length > 0 ? <Rows rows={6} /> : <Empty title="No runs yet">A message starts one.</Empty>
  return (
    <>
      <header>
        <div className="row">
          <select aria-label="Run" className="inline" value={run.id} onChange={(event) => choose(event.currentTarget.value)}>
            {runs.data.map((one, index) => (
              <option key={one.id} value={one.id}>
                {index === 0 ? 'Newest run' : `Run …${one.id.slice(-6)} · ${words(one.state)}`}
              </option>
            ))}
          </select>
          <State name={run.state} />
          {runs.older !== null && (
            <button type="button" className="button small" onClick={runs.older}>
              Older runs
            </button>
          )}
        </div>
        <div className="row">
          <small className={live.connected ? 'live-dot' : 'muted'} role="status">
            {live.connected ? 'live' : 'connecting…'}
          </small>
          <RunActions key={run.id} run={run} changed={changed} />
        </div>
      </header>
      {runs.error !== null && <Stale error={runs.error} />}
      <div className="card-body stack">
        {run.state === 'awaiting_approval' && (
          <div className="notice">
            <span>Nothing runs and nothing is spent until somebody decides.</span>
            <Link className="button small" href={`/console/approvals?agent=${encodeURIComponent(agent)}`}>
              Decide
            </Link>
          </div>
        )}
        <RunFacts run={run} />
        {error !== null && <Failure error={error} retry={retry} />}
        <RunTimeline events={events} endedAt={run.endedAt} />
        <Explanation run={run} />
      </div>
    </>
  )
}

function RunFacts({ run }: { run: RunView }) {
  const now = useNow()
  const { inputTokens, outputTokens } = run.usage
  return (
    <dl className="facts">
      <div>
        <dt>Cost</dt>
        <dd>
          {money(run.costMicros)}
          {run.reservedMicros > 0 && <small className="muted"> + {money(run.reservedMicros)} reserved</small>}
        </dd>
      </div>
      <div>
        <dt>Steps</dt>
        <dd>{count(run.step)}</dd>
      </div>
      <div>
        <dt>Executors</dt>
        <dd>{count(run.slices)}</dd>
      </div>
      <div>
        <dt>Work</dt>
        <dd>{duration(run.workMs)}</dd>
      </div>
      <div>
        <dt>Tokens</dt>
        <dd>
          {count(inputTokens)} in, {count(outputTokens)} out
        </dd>
      </div>
      <div>
        <dt>Begun</dt>
        <dd>
          <Ago at={run.createdAt} now={now} /> <Id id={run.id} label="run id" />
        </dd>
      </div>
    </dl>
  )
}

/** Why the run stands where it stands, in the server's own sentence. */
function Explanation({ run }: { run: RunView }) {
  const details = useResource<{ explain: string }>(`/api/runs/${run.id}`, run.endedAt === null ? 4_000 : undefined)
  const { refresh } = details
  useEffect(refresh, [refresh, run.updatedAt])
  if (details.data === null) return null
  return <p className={`explain ${run.error === null ? 'muted' : ''}`}>{details.data.explain}</p>
}

/** One per run (its key): a question that is open about one run is not answered for the next. */
function RunActions({ run, changed }: { run: RunView; changed: () => void }) {
  const [keys] = useState(createTries<string>)
  const retry = useAction(async () => {
    await retryRun(keys, run.id)
    changed()
  })
  if (run.endedAt === null)
    return (
      <AskButton
        label="Cancel run"
        title="Cancel the run"
        submit="Cancel the run"
        work={async () => {
          await call('POST', `/api/runs/${run.id}/cancel`, { body: {} })
          changed()
        }}
      >
        <p>The run ends as cancelled. What it has done so far is kept; a call in hand is given up.</p>
      </AskButton>
    )
  if (run.state === 'completed') return null
  return (
    <>
      <button type="button" className="button small" disabled={retry.busy} onClick={() => retry.run()}>
        Retry
      </button>
      {retry.error !== null && <Failure error={retry.error} />}
    </>
  )
}
