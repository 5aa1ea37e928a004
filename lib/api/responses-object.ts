import { usage as usageSchema, type RunState, type StopReason } from '#lib/core/run'
import type { RunView } from '#lib/core/store'
import type { OutputItem } from '#lib/api/responses-items'

/** What a response is from its first event on, whatever becomes of it. */
export interface ResponseHead {
  runId: string
  /** The agent: OpenAI's word is conversation. */
  agentId: string
  /** The template. */
  model: string
  createdAt: string
  metadata: Record<string, unknown>
  /** The run before this one in its conversation. */
  previousRunId: string | null
  /** Left out where nobody says so: it is no fact of the run. */
  background?: boolean
  /** No executor has taken it up yet. */
  queued: boolean
}

/** How a response stands. */
export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

/** How a run ended, from its `done` event or its row. */
export interface Ending {
  state: RunState
  stopReason: StopReason | null
  usage: unknown
  error: { code: string; message: string } | null
  at: string | null
}

const runIdPattern = /^run_([0-9a-f]{32})$/
const responseIdPattern = /^resp_([0-9a-f]{32})$/

/** The id of a run's response. */
export function responseIdOf(runId: string): string {
  return `resp_${runIdPattern.exec(runId)?.[1] ?? runId}`
}

/** The run of a response id; null for what no response is called. */
export function runIdOf(responseId: string): string | null {
  const rest = responseIdPattern.exec(responseId)?.[1]
  return rest === undefined ? null : `run_${rest}`
}

/** The head of a response from the run's row. */
export function headOf(run: RunView, more: { previousRunId: string | null; background?: boolean }): ResponseHead {
  const { id: runId, agentId, template: model, createdAt, metadata, slices, endedAt } = run
  return { runId, agentId, model, createdAt, metadata, queued: slices === 0 && endedAt === null, ...more }
}

/** The status of a run that has ended. */
export function statusOf({ state, stopReason }: Pick<Ending, 'state' | 'stopReason'>): ResponseStatus {
  if (stopReason === 'max_tokens' || stopReason === 'content_filtered') return 'incomplete'
  return state === 'completed' || state === 'cancelled' ? state : 'failed'
}

const incompleteReason: Readonly<Record<string, string>> = { max_tokens: 'max_output_tokens', content_filtered: 'content_filter' }

/** The response object (OpenAI Responses API) of what is known. */
export function responseObject(
  head: ResponseHead,
  now: { output: readonly OutputItem[]; status: ResponseStatus; ending: Ending | null },
): Record<string, unknown> {
  const { status, ending, output } = now
  const reason = status === 'incomplete' ? incompleteReason[ending?.stopReason ?? ''] : undefined
  return {
    id: responseIdOf(head.runId),
    object: 'response',
    created_at: seconds(head.createdAt),
    completed_at: ending?.at == null ? null : seconds(ending.at),
    status,
    ...(head.background === undefined ? {} : { background: head.background }),
    model: head.model,
    conversation: { id: head.agentId },
    previous_response_id: head.previousRunId === null ? null : responseIdOf(head.previousRunId),
    metadata: Object.fromEntries(
      Object.entries(head.metadata).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
    ),
    output,
    error: status === 'failed' ? errorOf(ending) : null,
    incomplete_details: reason === undefined ? null : { reason },
    usage: ending === null ? null : usageOf(ending.usage),
    // What a template decides, and what this dialect does not have: said as OpenAI says "not set".
    instructions: null,
    temperature: null,
    top_p: null,
    max_output_tokens: null,
    parallel_tool_calls: true,
    tool_choice: 'auto',
    tools: [],
    text: { format: { type: 'text' } },
    truncation: 'disabled',
    store: true,
  }
}

function seconds(instant: string): number {
  return Math.floor(Date.parse(instant) / 1_000)
}

function errorOf(ending: Ending | null): { code: string; message: string } {
  const { code, message } = ending?.error ?? { code: ending?.stopReason ?? 'server_error', message: 'The run has failed.' }
  return { code, message }
}

function usageOf(given: unknown): Record<string, unknown> {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens } = usageSchema.parse(given ?? {})
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cacheReadTokens, cache_write_tokens: cacheWriteTokens },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + outputTokens,
  }
}
