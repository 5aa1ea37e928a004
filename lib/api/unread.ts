import type { Waits } from '#lib/core/approvals'
import { noUsage } from '#lib/core/run'
import type { AgentView } from '#lib/core/pages'
import type { RunView } from '#lib/core/store'

/** A run as an act tells it to a caller who may not read it: which it is and where it stands. The rest is empty, null or 0. */
export function unreadRun(run: RunView): RunView {
  const { id, agentId, agentUid, state, stopReason, cause, template, createdAt, endedAt, updatedAt } = run
  return {
    id,
    agentId,
    agentUid,
    state,
    stopReason,
    cause,
    template,
    createdAt,
    endedAt,
    updatedAt,
    retryOf: null,
    wait: null,
    dueAt: null,
    step: 0,
    modelCalls: 0,
    toolCalls: 0,
    attempt: 0,
    crashes: 0,
    slices: 0,
    workMs: 0,
    limits: {},
    overrides: {},
    expiresAt: null,
    metadata: {},
    usage: noUsage,
    costMicros: 0,
    reservedMicros: 0,
    templateVersionOpened: null,
    templateVersionLast: null,
    output: null,
    error: null,
    stopRequested: null,
    stopNote: null,
    lease: null,
    firstSeq: null,
    lastSeq: 0,
    startedAt: null,
  }
}

/**
 * A run that the caller's message steers and the caller may not read: of what it holds only what comes after the message was accepted, so that
 * for its caller it begins there. How it ends answers the message.
 */
export function steeredRun(run: RunView, fromSeq: number): RunView {
  const { slices, output, error, usage, costMicros, lastSeq } = run
  return { ...unreadRun(run), slices, output, error, usage, costMicros, firstSeq: fromSeq + 1, lastSeq }
}

/** What a run waits for, as a caller is told who may not read it: which tools, nothing of what they were given, and no address for a result. */
export function unreadWaits(waits: Waits): Record<keyof Waits, unknown[]> {
  return {
    approvals: waits.approvals.map((approval) => ({ ...approval, input: null, reason: null })),
    externalCalls: waits.externalCalls.map((call) => ({ ...call, input: null, callbackUrl: '' })),
  }
}

/** An agent as a change of it tells it to a caller who may not read it: of metadata only what the caller has just sent. */
export function unreadAgent(agent: AgentView, sent: { metadata?: Record<string, unknown> | undefined }): AgentView {
  const { id, agentUid, template, templateVersion, model, state, createdAt, updatedAt } = agent
  return {
    id,
    agentUid,
    template,
    templateVersion,
    model,
    state,
    createdAt,
    updatedAt,
    metadata: sent.metadata ?? {},
    steps: 0,
    queued: 0,
    activeRunId: null,
    overrides: {},
    expiresAt: null,
    alwaysAllowed: [],
    webhook: null,
    userId: null,
    messages: 0,
    lastSeq: 0,
    windowFrom: 0,
    windowTokens: 0,
  }
}
