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
