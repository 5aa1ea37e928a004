import { readUIMessageStream, uiMessageChunkSchema, type UIMessage, type UIMessageChunk } from 'ai'
import { expect } from 'vitest'
import type { OutFrame } from '#lib/api/reader'

/** A frame as a stream of events has it. */
export const frame = (type: string, data: Record<string, unknown> = {}): OutFrame => ({ type, data: { type, runId: 'run_1', ...data } })

/** Text that comes live, in one go. */
export const live = (step: number, text: string, kind = 'text'): OutFrame[] => [
  frame(`${kind}_start`, { step }),
  ...Array.from({ length: Math.ceil(text.length / 3) }, (_, at) =>
    frame(`${kind}_delta`, { step, offset: at * 3, text: text.slice(at * 3, at * 3 + 3) }),
  ),
]

/** The commit of an answer whose text has been shown by `live`. */
export const answered = (step: number, finish = 'stop'): OutFrame[] => [
  frame('text_end', { step }),
  frame('usage', { step }),
  frame('step_complete', { step, kind: 'model', finish }),
]

/** The end of a run. */
export const done = (state = 'completed', stopReason = 'end_turn', more: object = {}): OutFrame =>
  frame('done', { state, stopReason, usage: {}, costMicros: 1, ...more })

/** The events of one tool call that went well. */
export const called = (step: number, callId: string): OutFrame[] => [
  frame('tool_start', { step, callId, name: 'echo', input: { value: 1 } }),
  frame('tool_end', {
    step,
    call: { callId, name: 'echo', input: { value: 1 }, state: 'completed', output: { type: 'json', value: 1 } },
  }),
]

/** Every chunk is one that the AI SDK's own schema takes. */
export async function valid(chunks: readonly UIMessageChunk[]): Promise<void> {
  for (const chunk of chunks) {
    const checked = await uiMessageChunkSchema().validate?.(JSON.parse(JSON.stringify(chunk)))
    expect(checked?.success, JSON.stringify(chunk)).toBe(true)
  }
}

/** The message that the AI SDK makes of the chunks. Rejects where its reader would break. */
export async function messageOf(chunks: readonly UIMessageChunk[]): Promise<UIMessage | undefined> {
  let message: UIMessage | undefined
  const stream = new ReadableStream<UIMessageChunk>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  for await (const now of readUIMessageStream({ stream, terminateOnError: true })) message = now
  return message
}
