import type { CallId } from '#lib/core/ids'
import type { ModelAnswer, ModelRequest, RequestedCall } from '#lib/core/ports'
import type { CallWrite, NewEvent, NewMessage } from '#lib/core/commit'
import { estimateTokens, jsonBytes } from '#lib/core/window'
import { guarded } from '#lib/engine/permission'
import type { Session } from '#lib/engine/session'

/**
 * The calls of an answer as records. Ids are ours: providers repeat theirs within a run. A call that cannot be executed
 * (unknown tool, bad arguments) is born failed with an error the model can act on; what the rules say against the others stands there too.
 */
export async function callRecords(session: Session, step: number, answer: ModelAnswer): Promise<CallWrite[]> {
  // What a person allowed for good may have been taken back since this slice has read it.
  if (answer.calls.some((call) => session.opened.alwaysAllowed.includes(call.name))) await session.reserve()
  const records = answer.calls.map(async (call, index): Promise<CallWrite> => {
    const callId: CallId = session.services.ids.make('call')
    const tool = session.definition.tools?.find((candidate) => candidate.name === call.name)
    const base = {
      callId,
      step,
      index,
      name: call.name,
      input: call.input ?? null,
      effect: tool?.effect ?? 'pure',
      idempotencyKey: callId,
      ...(tool?.costMicros === undefined ? {} : { costMicros: tool.costMicros }),
    } as const
    if (call.problem === null && tool !== undefined) return guarded(session, { ...base, state: 'pending', output: null }, tool)
    return {
      ...base,
      state: 'failed',
      output: { type: 'error-json', value: problemOf(call, session) },
      note: call.problem?.message ?? 'unknown tool',
    }
  })
  return Promise.all(records)
}

function problemOf(
  call: RequestedCall,
  session: Session,
): { ok: false; errorType: string; message: string; retryable: false; advice: string } {
  const names = (session.definition.tools ?? []).map((tool) => tool.name).join(', ')
  const unknown = call.problem === null || call.problem.errorType === 'unknown_tool'
  return {
    ok: false,
    errorType: call.problem?.errorType ?? 'unknown_tool',
    message: call.problem?.message ?? `There is no tool ${call.name}.`,
    retryable: false,
    advice: unknown
      ? `Use one of: ${names === '' ? 'no tools are available' : names}.`
      : 'Call the tool again with arguments that match its schema.',
  }
}

/** The assistant message that enters the history, its tool-call parts under our ids. */
export function assistantMessage(answer: ModelAnswer, calls: readonly CallWrite[]): NewMessage {
  let next = 0
  const content = answer.content.map((part) => {
    if (part.type !== 'tool-call') return part
    const call = calls[next++]
    return call === undefined ? part : { ...part, toolCallId: call.callId }
  })
  const bytes = jsonBytes(content)
  return { role: 'assistant', content, bytes, estTokens: estimateTokens(bytes) }
}

/** The durable events of an answer, before those of its tool calls. */
export function answerEvents(answer: ModelAnswer, request: ModelRequest, costMicros: number): NewEvent[] {
  const { step } = request
  const events: NewEvent[] = []
  if (answer.reasoning !== '') events.push({ channel: 'progress', type: 'reasoning_end', step, data: { text: answer.reasoning, part: 0 } })
  if (answer.text !== '') events.push({ channel: 'progress', type: 'text_end', step, data: { text: answer.text, part: 0 } })
  const { provider, model, usage, finish } = answer
  events.push({ channel: 'monitor', type: 'usage', step, data: { ...usage, costMicros, provider, model } })
  events.push({ channel: 'monitor', type: 'step_complete', step, data: { kind: 'model', finish, toolCalls: answer.calls.length } })
  return events
}
