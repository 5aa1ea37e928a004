import { expect, test } from 'vitest'
import { createRedactor } from '#lib/core/redact'
import type { CallWrite } from '#lib/core/commit'
import { shownCommit } from '#lib/engine/shown'

const redact = createRedactor(['a secret of this process'])
const call: CallWrite = {
  callId: 'call_1',
  step: 1,
  index: 0,
  name: 'echo',
  input: { value: 1, inputTokens: 3 },
  effect: 'pure',
  idempotencyKey: 'call_1',
  state: 'completed',
  output: { type: 'text', value: 'fine' },
}
const text = 'the text says password=hunter2 and a secret of this process'

test('the conversation stays exact: messages, texts, outputs, values and the records of calls', () => {
  const happened = {
    messages: [{ role: 'assistant' as const, content: text, bytes: 1, estTokens: 1 }],
    values: { password: 'hunter2' },
    events: ['text_end', 'reasoning_end'].map((type) => ({ channel: 'progress' as const, type, data: { text } })),
    calls: [{ ...call, input: { password: 'hunter2' }, output: { type: 'text' as const, value: text } }],
  }
  const end = { state: 'completed' as const, stopReason: 'end_turn' as const, output: text, error: null }
  const shown = shownCommit(redact, happened, { end })
  expect(shown.happened.messages).toEqual(happened.messages)
  expect(shown.happened.values).toEqual(happened.values)
  expect(shown.happened.events).toEqual(happened.events)
  expect(shown.happened.calls?.[0]).toMatchObject({ input: { password: 'hunter2' }, output: { value: text } })
  expect(shown.intends.end).toEqual(end)
})

test('copies for others are redacted: other events, errors, notes, what calls show', () => {
  const error = { code: 'provider_auth', message: text }
  const shown = shownCommit(
    redact,
    {
      events: [
        { channel: 'monitor', type: 'custom', data: { data: { token: 'x' } } },
        { channel: 'monitor', type: 'usage', data: { inputTokens: 1, costMicros: 2 } },
      ],
      calls: [{ ...call, input: { password: 'hunter2' }, output: { type: 'error-text', value: text }, note: text }],
      lastError: error,
    },
    { end: { state: 'failed', stopReason: 'provider_auth', output: null, error } },
  )
  const hidden = 'the text says password=[redacted] and [redacted]'
  expect(shown.happened.events?.map((event) => event.data)).toEqual([{ data: { token: '[redacted]' } }, { inputTokens: 1, costMicros: 2 }])
  expect(shown.happened.calls?.[0]).toMatchObject({
    shownInput: { password: '[redacted]' },
    shownOutput: { type: 'error-text', value: hidden },
    note: hidden,
  })
  expect(shown.happened.lastError?.message).toBe(hidden)
  expect(shown.intends.end?.error?.message).toBe(hidden)
})

test('a call without secrets brings no second copy', () => {
  expect(shownCommit(redact, { calls: [call] }, {}).happened.calls).toEqual([call])
})
