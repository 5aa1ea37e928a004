import { z } from 'zod'
import { type RunState, runState, stopReason, type Usage, usage } from '#lib/core/run'

/** The events of a run that a webhook tells of. */
export const webhookType = z.enum(['run.completed', 'run.failed', 'run.cancelled', 'run.awaiting_approval', 'run.handed_off'])
export type WebhookType = z.infer<typeof webhookType>

const longestOutput = 2_000

/** The body of a run's webhook: thin, the whole result is at `GET /api/runs/{id}`; `lastSeq` orders the webhooks of an agent. */
export const webhookPayload = z.object({
  type: webhookType,
  timestamp: z.iso.datetime(),
  data: z.object({
    agentId: z.string(),
    runId: z.string(),
    state: runState,
    stopReason: stopReason.nullable(),
    usage,
    costMicros: z.int(),
    /** The end of a longer output is left out and shown by an ellipsis. */
    output: z.string().max(longestOutput).nullable(),
    lastSeq: z.int().nonnegative(),
  }),
})
export type WebhookPayload = z.infer<typeof webhookPayload>

/**
 * The event that tells of a run having come to a state; null for states that nobody is told of (queued, running, waiting).
 * What somebody stopped (cancelled, interrupted: state cancelled; killed) is `run.cancelled`; what came to an end without its
 * result by itself (failed, budget_exceeded, expired) is `run.failed`. `state` and `stopReason` say it exactly.
 */
export function webhookTypeOf(state: RunState): Exclude<WebhookType, 'run.handed_off'> | null {
  switch (state) {
    case 'completed':
      return 'run.completed'
    case 'failed':
    case 'budget_exceeded':
    case 'expired':
      return 'run.failed'
    case 'cancelled':
    case 'killed':
      return 'run.cancelled'
    case 'awaiting_approval':
      return 'run.awaiting_approval'
    case 'queued':
    case 'running':
    case 'waiting':
      return null
  }
}

/** The payload of an event; `agentId` is the name callers know and `at` when the event happened. */
export function toWebhookPayload(
  type: WebhookType,
  at: Date,
  run: {
    agentId: string
    runId: string
    state: RunState
    stopReason: WebhookPayload['data']['stopReason']
    usage: Usage
    costMicros: number
    output: string | null
    lastSeq: number
  },
): WebhookPayload {
  const { agentId, runId, state, stopReason: reason, usage: tokens, costMicros, output, lastSeq } = run
  return {
    type,
    timestamp: at.toISOString(),
    data: {
      agentId,
      runId,
      state,
      stopReason: reason,
      usage: tokens,
      costMicros,
      output: output === null ? null : shorten(output),
      lastSeq,
    },
  }
}

function shorten(text: string): string {
  if (text.length <= longestOutput) return text
  // A character of two code units is left out whole: half of one is no valid UTF-8.
  return `${text.slice(0, longestOutput - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}
