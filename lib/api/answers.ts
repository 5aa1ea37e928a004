import type { Waits } from '#lib/core/approvals'
import { BatonError, isErrorCode } from '#lib/core/errors'
import { isEnd, type RunState, type StopReason, type Usage } from '#lib/core/run'
import type { RunError } from '#lib/core/commit'
import type { OpenAnswer, RunView } from '#lib/core/store'

/** What an answer to a message says of a run, from the row or from the executor's last commit. */
export interface RunFacts {
  agentId: string
  runId: string
  state: RunState
  stopReason: StopReason | null
  output: string | null
  error: RunError | null
  usage: Usage
  costMicros: number
  lastSeq: number
}

/** The facts of a run's row. */
export function factsOf(run: RunView): RunFacts {
  const { agentId, id: runId, state, stopReason, output, error, usage, costMicros, lastSeq } = run
  return { agentId, runId, state, stopReason, output, error, usage, costMicros, lastSeq }
}

/** Dollars of integer micro-dollars. */
export function usd(micros: number): number {
  return micros / 1_000_000
}

/** JSON of an answer. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json; charset=utf-8', ...headers } })
}

/** A run with what is computed from it. */
export function runBody(run: RunView): Record<string, unknown> {
  return { ...run, costUsd: usd(run.costMicros) }
}

const done: ReadonlySet<StopReason> = new Set(['end_turn', 'max_tokens'])

/**
 * The answer of the main job to a run that has ended: 200 `done`, or the problem of its stop reason (3-http-api). Throws BatonError.
 */
export function endedAnswer(facts: RunFacts, headers: Record<string, string>): Response {
  const { agentId, runId, state, stopReason, output, usage, costMicros, lastSeq } = facts
  if (state === 'completed' || (output !== null && stopReason !== null && done.has(stopReason))) {
    const body = {
      status: 'done',
      output: output ?? '',
      agentId,
      runId,
      run: { id: runId, state },
      stopReason,
      usage,
      costMicros,
      costUsd: usd(costMicros),
      lastSeq,
    }
    return json(200, body, headers)
  }
  const code = stopReason !== null && isErrorCode(stopReason) ? stopReason : 'internal_error'
  const message = facts.error?.message ?? `The run ended as ${state}.`
  const details = {
    ...facts.error?.details,
    agentId,
    runId,
    run: { id: runId, state },
    stopReason,
    state,
    usage,
    costMicros,
    lastSeq,
    final: true,
  }
  throw new BatonError(code, message, details, { headers })
}

/** 202: a person or the outside must answer before the run goes on; nothing runs until then. */
export function pausedAnswer(
  facts: RunFacts,
  waits: object,
  links: { run: string; events: string },
  headers: Record<string, string>,
): Response {
  const { agentId, runId, state, usage, costMicros, lastSeq } = facts
  const body = { status: 'paused', ...waits, agentId, runId, run: { id: runId, state }, usage, costMicros, lastSeq, links }
  return json(202, body, { location: links.run, ...headers })
}

/** What is said of a run whose agent is paused before it: what the run at the agent's head waits for. */
export function blockedFacts({ approvals, externalCalls, runId }: NonNullable<OpenAnswer['blockedBy']>): {
  blockedBy: 'approvals' | 'external' | 'hold'
  blockingRunId: string
  approvals: Waits['approvals']
} {
  return {
    blockedBy: approvals.length > 0 ? 'approvals' : externalCalls.length > 0 ? 'external' : 'hold',
    blockingRunId: runId,
    approvals,
  }
}

/** 202: the run goes on elsewhere, or waits for somebody. */
export function openAnswer(
  facts: RunFacts,
  links: { run: string; events: string },
  headers: Record<string, string>,
  more: Record<string, unknown> = {},
): Response {
  const { agentId, runId, state, usage, costMicros, lastSeq } = facts
  if (isEnd(state)) throw new Error(`run ${runId} has ended`)
  const body = { status: 'processing', agentId, runId, run: { id: runId, state }, usage, costMicros, lastSeq, links, ...more }
  return json(202, body, { location: links.run, 'retry-after': '1', ...headers })
}
