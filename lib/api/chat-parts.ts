import type { FinishReason, UIMessageChunk } from 'ai'
import { BatonError } from '#lib/core/errors'

/** The calls and approvals that a stream has shown so far. */
interface Shown {
  calls: Set<string>
  asked: Set<string>
  /** The message goes on after a pause, which showed all calls of its answer: until the next step there is none that is new. */
  all: boolean
}

/** What an event of a tool call shows. Each call is shown once: pages run tools of their own when they see one. */
export function callChunks(type: string, data: Record<string, unknown>, shown: Shown): UIMessageChunk[] {
  const call = (type === 'tool_end' ? data['call'] : data) as Record<string, unknown>
  const toolCallId = String(call['callId'])
  const input = {
    type: 'tool-input-available' as const,
    toolCallId,
    toolName: String(call['name'] ?? call['tool']),
    input: call['input'] ?? {},
  }
  const first = shown.all || shown.calls.has(toolCallId) ? [] : [input]
  const approvalId = String(call['approvalId'])
  switch (type) {
    case 'tool_start':
      shown.calls.add(toolCallId)
      return first
    case 'tool_end':
      shown.calls.add(toolCallId)
      return [...first, outcomeOf(toolCallId, call)]
    case 'approval_required':
      shown.calls.add(toolCallId)
      shown.asked.add(approvalId)
      return [...first, { type: 'tool-approval-request', toolCallId, approvalId, ...reasonOf(call['reason']) }]
    default:
      // Whoever has been asked in an earlier stream of the run knows the answer: it is theirs.
      if (!shown.asked.has(approvalId)) return []
      return [{ type: 'tool-approval-response', approvalId, approved: call['decision'] === 'allow', ...reasonOf(call['note']) }]
  }
}

function reasonOf(reason: unknown): { reason?: string } {
  return typeof reason === 'string' ? { reason } : {}
}

function outcomeOf(toolCallId: string, call: Record<string, unknown>): UIMessageChunk {
  if (call['state'] === 'denied') return { type: 'tool-output-denied', toolCallId }
  const value = valueOf(call['output'])
  if (call['state'] === 'completed') return { type: 'tool-output-available', toolCallId, output: value ?? null }
  return { type: 'tool-output-error', toolCallId, errorText: errorTextOf(value) }
}

/** What a tool gave, without the form in which the model gets it. */
export function valueOf(output: unknown): unknown {
  return typeof output === 'object' && output !== null && 'value' in output ? output.value : output
}

/** A sentence for a person: the error's own, else what there is of it. */
export function errorTextOf(error: unknown): string {
  if (typeof error === 'string') return error
  if (error instanceof BatonError) return `${error.code}: ${error.message}`
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string') return error.message
  return JSON.stringify(error) ?? 'The call failed.'
}

const reasons: Readonly<Record<string, FinishReason>> = { end_turn: 'stop', max_tokens: 'length', content_filtered: 'content-filter' }
const stopped: ReadonlySet<string> = new Set(['cancelled', 'interrupted'])

/** The end of a run: `finish` always comes last, for clients that wait for it; what failed is told by an error before it. */
export function endChunks(runId: string, data: Record<string, unknown>): UIMessageChunk[] {
  const state = String(data['state'])
  const stopReason = String(data['stopReason'])
  const messageMetadata = { runId, state, stopReason, usage: data['usage'], costMicros: data['costMicros'] }
  if (state === 'completed') return [{ type: 'finish', finishReason: reasons[stopReason] ?? 'other', messageMetadata }]
  if (stopped.has(stopReason)) {
    return [
      { type: 'abort', reason: stopReason },
      { type: 'finish', finishReason: 'interrupted', messageMetadata },
    ]
  }
  const { error } = data
  const why = typeof error === 'object' && error !== null ? errorTextOf(error) : `The run ended as ${state}.`
  return [
    { type: 'error', errorText: `${stopReason}: ${why}` },
    { type: 'finish', finishReason: 'error', messageMetadata },
  ]
}

/** The end of a stream whose run waits for a person or the outside, or for its turn behind one that does. */
export function finishOfPause(runId: string, state: string): UIMessageChunk {
  return { type: 'finish', finishReason: state === 'queued' ? 'other' : 'tool-calls', messageMetadata: { runId, state } }
}
