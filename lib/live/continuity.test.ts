import { expect, test } from 'vitest'
import { createContinuity } from '#lib/live/continuity'
import { delta, reader } from './live.fixtures.ts'

function setUp() {
  const { state, onFrame } = reader()
  const pass = createContinuity(onFrame)
  return { state, pass, texts: () => state.frames.map(({ body }) => (body.type === 'delta' ? body.text : body.type)) }
}

test('what was told is cut off and what does not follow waits for the text to be told again', () => {
  const { pass, texts, state } = setUp()
  pass(delta(5, 'late'))
  pass(delta(0, 'first'))
  pass(delta(0, 'first'))
  pass(delta(3, 'st and'))
  pass(delta(20, 'hole'))
  pass(delta(0, 'first and more'))
  expect(texts()).toEqual(['first', ' and', ' more'])
  expect(state.text).toBe('first and more')
})

test('parts count for themselves', () => {
  const { pass, texts } = setUp()
  pass(delta(0, 'text'))
  pass(delta(0, 'part', { body: { type: 'delta', kind: 'text', part: 1, offset: 0, text: 'part' } }))
  pass(delta(0, 'why', { body: { type: 'delta', kind: 'reasoning', part: 0, offset: 0, text: 'why' } }))
  pass(delta(4, ' on'))
  expect(texts()).toEqual(['text', 'part', 'why', ' on'])
})

test('another attempt, step or run begins anew, a reset too; an older epoch is not heard any more', () => {
  const { pass, texts } = setUp()
  pass(delta(0, 'one'))
  pass(delta(0, 'two', { attempt: 1 }))
  pass(delta(0, 'three', { step: 1 }))
  pass(delta(0, 'four', { runId: 'run_2' }))
  pass(delta(0, 'five', { runId: 'run_2', epoch: 2 }))
  pass({ ...delta(0, '', { runId: 'run_2', epoch: 2 }), body: { type: 'step_reset' } })
  pass(delta(0, 'six', { runId: 'run_2', epoch: 2 }))
  pass(delta(4, ' of a zombie', { runId: 'run_2' }))
  pass({ ...delta(0, '', { epoch: 1 }), body: { type: 'committed', seq: 9 } })
  pass(delta(3, ' on', { runId: 'run_2', epoch: 2 }))
  expect(texts()).toEqual(['one', 'two', 'three', 'four', 'five', 'step_reset', 'six', ' on'])
})
