import { expect, test } from 'vitest'
import { nextText, type LiveText } from '#app/console/_parts/agent/use-live'

const frame = (type: string, data: Record<string, unknown> = {}) => ({ type, seq: null, data: { runId: 'r', step: 1, ...data } })
const after = (...frames: ReturnType<typeof frame>[]): LiveText | null => frames.reduce<LiveText | null>(nextText, null)

test('deltas that overlap after a connection broke are shown once', () => {
  const first = [frame('text_start'), frame('text_delta', { offset: 0, text: 'Hel' }), frame('text_delta', { offset: 3, text: 'lo' })]
  expect(after(...first)).toEqual({ runId: 'r', step: 1, text: 'Hello', reasoning: '' })
  expect(
    after(...first, frame('text_delta', { offset: 0, text: 'Hello, wor' }), frame('text_delta', { offset: 10, text: 'ld' }))?.text,
  ).toBe('Hello, world')
})

test('thoughts and text do not mix; a step that begins again, another step and the end void what was shown', () => {
  const shown = [frame('reasoning_delta', { offset: 0, text: 'hm' }), frame('text_delta', { offset: 0, text: 'Yes' })]
  expect(after(...shown)).toMatchObject({ reasoning: 'hm', text: 'Yes' })
  expect(after(...shown, frame('step_started'))).toMatchObject({ reasoning: 'hm', text: 'Yes' })
  expect(after(...shown, frame('text_start'))).toMatchObject({ reasoning: 'hm', text: '' })
  for (const type of ['step_reset', 'done']) expect(after(...shown, frame(type))).toBeNull()
  expect(after(...shown, frame('text_delta', { step: 2, offset: 0, text: 'Next' }))).toEqual({
    runId: 'r',
    step: 2,
    text: 'Next',
    reasoning: '',
  })
})
