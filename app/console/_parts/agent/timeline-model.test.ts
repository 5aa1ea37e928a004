import { expect, test } from 'vitest'
import { timelineOf, type TimelineEvent } from '#app/console/_parts/agent/timeline-model'
import { scaleOf } from '#app/console/_parts/agent/timeline-scale'

const start = Date.parse('2026-11-21T08:00:00Z')

/** Events of one run: [milliseconds after its start, type, fields]. */
function events(...rows: [ms: number, type: string, fields?: Record<string, unknown>][]): TimelineEvent[] {
  return rows.map(([ms, type, { step = 1, ...fields } = {}], index) => ({
    seq: index + 1,
    at: new Date(start + ms).toISOString(),
    channel: 'monitor',
    type,
    runId: 'run_1',
    step: Number(step),
    ...fields,
  }))
}

const running = { runState: 'running', state: 'working' }
const handedOver = events(
  [0, 'state_changed', running],
  [100, 'usage', { costMicros: 50, inputTokens: 10, outputTokens: 2 }],
  [100, 'step_complete', { kind: 'model' }],
  [110, 'tool_start', { callId: 'call_1', name: 'charge' }],
  [210, 'tool_end', { call: { callId: 'call_1', name: 'charge', state: 'completed' } }],
  [220, 'handed_off', { slice: 1, reason: 'slice_deadline' }],
  [300, 'resumed', { slice: 2, epoch: 2, strategy: 'hand_off', sealed: [] }],
  [500, 'step_complete', { kind: 'model', step: 2 }],
  [510, 'done', { state: 'completed', stopReason: 'end_turn' }],
)

test('a run that has ended is at work no more, though its end is not among the events that were read', () => {
  const cut = handedOver.slice(0, 7)
  expect(timelineOf(cut, start + 9_000).slices.at(-1)).toMatchObject({ to: null })
  const timeline = timelineOf(cut, start + 9_000, start + 700)
  expect(timeline).toMatchObject({ ended: true, to: start + 700 })
  expect(timeline.slices.at(-1)).toMatchObject({ slice: 2, to: start + 700, end: 'ended' })
  expect(timeline.bars.filter(({ to }) => to === null)).toEqual([])
})

test('each executor has its stretch, from where it took the run to where it gave it on', () => {
  const { slices, ended } = timelineOf(handedOver, start + 9_999)
  expect(slices.map(({ slice, from, to, how, end }) => [slice, from - start, Number(to) - start, how, end])).toEqual([
    [1, 0, 220, 'first', 'slice_deadline'],
    [2, 300, 510, 'hand_off', 'completed'],
  ])
  expect(ended).toBe(true)
})

test('model calls and tool calls stand where they happened, with their executor, state and cost', () => {
  const { bars } = timelineOf(handedOver, start + 9_999)
  expect(
    bars.map(({ kind, label, slice, from, to, state, costMicros }) => [
      kind,
      label,
      slice,
      from - start,
      Number(to) - start,
      state,
      costMicros,
    ]),
  ).toEqual([
    ['model', 'Model', 1, 0, 100, 'completed', 50],
    ['tool', 'charge', 1, 110, 210, 'completed', null],
    ['model', 'Model', 2, 300, 500, 'completed', null],
  ])
})

test('an executor that died is shown so, and the call in hand goes on with the next', () => {
  const crashed = events(
    [0, 'state_changed', running],
    [10, 'tool_start', { callId: 'call_1', name: 'charge' }],
    [6_000, 'resumed', { slice: 2, epoch: 2, strategy: 'crash', sealed: ['call_1'] }],
    [6_010, 'tool_end', { call: { callId: 'call_1', name: 'charge', state: 'sealed' } }],
  )
  const { slices, bars, marks } = timelineOf(crashed, start + 7_000)
  expect(slices.map(({ end, to }) => [end, to])).toEqual([
    ['crashed', start + 6_000],
    [null, null],
  ])
  expect(bars.map(({ label, state }) => [label, state])).toEqual([
    ['charge', 'sealed'],
    ['Model', 'running'],
  ])
  expect(marks.map(({ text, tone }) => [text, tone])).toEqual([['Executor 2 took over after a crash; 1 calls sealed', 'bad']])
})

test('while a person is asked nobody works, and the wait is drawn short', () => {
  const paused = events(
    [0, 'state_changed', running],
    [100, 'step_complete', { kind: 'model' }],
    [100, 'approval_required', { tool: 'charge' }],
    [100, 'state_changed', { runState: 'awaiting_approval', state: 'paused' }],
    [86_400_100, 'approval_decided', { tool: 'charge', state: 'allowed', decidedBy: 'local', edited: true }],
    [86_400_110, 'resumed', { slice: 2, epoch: 2, strategy: 'hand_off', sealed: [] }],
    [86_400_210, 'done', { state: 'completed', stopReason: 'end_turn' }],
  )
  const timeline = timelineOf(paused, start)
  expect(timeline.slices.map(({ end }) => end)).toEqual(['paused', 'completed'])
  expect(timeline.marks.map(({ text }) => text)).toContain('charge allowed by local, edited')
  const { place, pauses } = scaleOf(timeline)
  expect(pauses).toHaveLength(1)
  expect(pauses[0]?.width).toBeLessThan(15)
  expect([place(timeline.from), place(timeline.to)]).toEqual([0, 100])
  expect(place(start + 50)).toBeGreaterThan(15)
  // A paused run stands still: the axis does not grow with the clock.
  expect(timelineOf(paused.slice(0, 4), start + 99_999_999).to).toBe(start + 100)
})

test('a run that is only queued has nothing to draw', () => {
  expect(timelineOf([], start)).toMatchObject({ slices: [], bars: [], marks: [], ended: false })
})
