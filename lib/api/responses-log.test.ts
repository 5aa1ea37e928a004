import { describe, expect, test } from 'vitest'
import type { OutFrame } from '#lib/api/reader'
import { ResponseLog, type ResponseEvent } from '#lib/api/responses-log'
import type { OutputItem } from '#lib/api/responses-items'
import type { ResponseHead } from '#lib/api/responses-object'
import { numberOf, positionOf } from '#lib/api/responses-position'

const hex = '01a1fd04305c760996ed0d81c8764dcf'
const head: ResponseHead = {
  runId: `run_${hex}`,
  agentId: 'a',
  model: 'basic',
  createdAt: '2026-11-21T07:00:00Z',
  metadata: {},
  previousRunId: null,
  queued: false,
}

const row = (id: number, type: string, data: Record<string, unknown> = {}): OutFrame => ({ id, type, data: { ...data, seq: id, type } })
const delta = (offset: number, text: string): OutFrame => ({ type: 'text_delta', data: { offset, text } })
const call = (callId: string, state: string, value: unknown = 1): object => ({
  callId,
  name: 'echo',
  input: { value: 1 },
  state,
  output: { type: 'json', value },
})
const done = (id: number, data: Record<string, unknown> = {}): OutFrame =>
  row(id, 'done', { state: 'completed', stopReason: 'end_turn', usage: {}, at: '2026-11-21T07:00:09Z', ...data })

/** Rows of a run with everything in it; other rows of the agent leave gaps in the numbers. */
const rows: OutFrame[] = [
  row(3, 'state_changed', { state: 'working' }),
  row(5, 'retry', { attempt: 1, gate: true }),
  row(6, 'retry', { attempt: 1 }),
  row(7, 'text_end', { text: 'Let me look.' }),
  row(8, 'step_complete', { kind: 'model' }),
  row(9, 'tool_start', { callId: 'call_1', name: 'echo', input: { value: 1 } }),
  row(10, 'tool_start', { callId: 'call_2', name: 'echo', input: { value: 1 } }),
  row(11, 'tool_end', { call: call('call_2', 'completed') }),
  row(12, 'resumed', { strategy: 'crash' }),
  row(13, 'tool_start', { callId: 'call_1', name: 'echo', input: { value: 1 } }),
  row(14, 'tool_end', { call: call('call_1', 'sealed', { ok: false }) }),
  row(20, 'approval_required', { approvalId: 'apr_1', callId: 'call_3', tool: 'charge', input: {} }),
  row(21, 'state_changed', { state: 'paused' }),
  row(22, 'state_changed', { state: 'working' }),
  row(23, 'resumed', { strategy: 'hand_off' }),
  row(24, 'tool_start', { callId: 'call_3', name: 'charge', input: {} }),
  row(25, 'tool_end', { call: call('call_3', 'failed') }),
  row(26, 'handed_off', { reason: 'hard_limit' }),
  row(27, 'resumed', { strategy: 'hand_off' }),
  row(29, 'budget', { level: 80 }),
  row(30, 'text_end', { text: 'It is done, and this is the whole of it.' }),
  row(31, 'step_complete', { kind: 'model' }),
  row(32, 'state_changed', { state: 'ready' }),
  done(33),
]

/** The rows with what a watcher sees between them: parts of texts, of attempts that are given up too, and neutral rows in the middle. */
const watched: OutFrame[] = rows.flatMap((frame) => {
  if (frame.id === 6) return [delta(0, 'Lost'), delta(4, ' words'), frame]
  if (frame.id === 7) return [delta(0, 'Let'), delta(2, 't me lo'), frame]
  if (frame.id === 27) return [delta(0, 'Also lost'), frame]
  if (frame.id === 29) return [delta(0, 'It is'), delta(5, ' done'), frame, delta(10, ', and')]
  return [frame]
})

function play(frames: readonly OutFrame[], log = new ResponseLog(head)): ResponseEvent[] {
  return [...log.begin(), ...frames.flatMap((frame) => log.frame(frame))]
}

/** The output as a client has it that follows items, parts and deltas. */
function outputOf(events: readonly ResponseEvent[]): unknown[] {
  const output: OutputItem[] = []
  const texts = new Map<number, string>()
  for (const event of events) {
    const index = Number(event['output_index'])
    if (event.type === 'response.output_item.added') {
      expect(index).toBe(output.length)
      output.push(structuredClone(event['item'] as OutputItem))
    }
    if (event.type === 'response.output_text.delta') texts.set(index, `${texts.get(index) ?? ''}${String(event['delta'])}`)
    if (event.type === 'response.output_text.done') expect(texts.get(index) ?? '').toBe(event['text'])
    if (event.type === 'response.output_item.done') output[index] = event['item'] as OutputItem
  }
  return output
}

const numbers = (events: readonly ResponseEvent[]): number[] => events.map((event) => event.sequence_number)
const final = (events: readonly ResponseEvent[]): unknown => (events.at(-1)?.['response'] as { output: unknown } | undefined)?.output

describe('a stream', () => {
  test.each([
    ['from rows alone', rows],
    ['with live text', watched],
  ])('%s: numbers grow, items follow one another, what was followed is what the end says', (_name, frames) => {
    const events = play(frames)
    expect(numbers(events)).toEqual([...new Set(numbers(events))].toSorted((left, right) => left - right))
    expect(final(events)).toEqual(outputOf(events))
    expect(outputOf(events)).toMatchObject([
      { type: 'message', status: 'incomplete', content: [] },
      { type: 'message', status: 'completed', content: [{ text: 'Let me look.' }] },
      { type: 'mcp_call', id: 'call_1', status: 'incomplete' },
      { type: 'mcp_call', id: 'call_2', status: 'completed', output: '1' },
      { type: 'mcp_approval_request', id: 'apr_1' },
      { type: 'mcp_call', id: 'call_3', status: 'failed', approval_request_id: 'apr_1' },
      { type: 'message', status: 'incomplete', content: [] },
      { type: 'message', status: 'completed' },
    ])
    expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { status: 'completed', completed_at: 1_795_244_409 } })
  })

  test('goes on from each place, however the rest is read', () => {
    for (const [name, seen] of Object.entries({ rows, watched })) {
      const events = play(seen)
      for (const [index, { sequence_number }] of events.entries()) {
        for (const rest of [rows, watched]) {
          const from = positionOf(sequence_number)
          // A live reader has read all rows up to its place before live text comes.
          const known = rows.filter(({ id = 0 }) => id <= from.seq)
          const later = rest.filter((frame, at) => (frame.id ?? 0) > from.seq || (frame.id === undefined && isAfter(rest, at, from.seq)))
          const log = new ResponseLog(head, { from })
          const more = play([...known, ...later], log)
          log.caughtUp()
          const all = [...events.slice(0, index + 1), ...more]
          expect([name, index, numbers(all)]).toEqual([name, index, [...new Set(numbers(all))].toSorted((left, right) => left - right)])
          expect(outputOf(all)).toEqual(outputOf(events))
        }
      }
    }
  })

  /** True for live text that came after the row. */
  function isAfter(frames: readonly OutFrame[], at: number, seq: number): boolean {
    const before = frames.slice(0, at).findLast(({ id }) => id !== undefined)
    return (before?.id ?? 0) >= seq
  }

  test('refuses places that were never given out', () => {
    const given = new Set(numbers(play(watched)))
    const bad = [
      2,
      numberOf({ seq: 4, offset: 0 }),
      numberOf({ seq: 9, offset: 1_030 }),
      numberOf({ seq: 7, offset: 1_030 }),
      numberOf({ seq: 33, offset: 1_024 }),
      2 ** 50,
    ]
    for (const place of [...bad, numberOf({ seq: 29, offset: 1_200 }), numberOf({ seq: 3, offset: 700 })]) {
      expect(given.has(place)).toBe(false)
      const read = (): void => {
        const log = new ResponseLog(head, { from: positionOf(place) })
        play(rows, log)
        log.caughtUp()
      }
      expect(read, String(place)).toThrow(expect.objectContaining({ code: 'invalid_cursor' }))
    }
  })

  test('text that was replaced after it was shown is closed, and the stored text is an item of its own', () => {
    const events = play([
      row(1, 'state_changed', { state: 'working' }),
      delta(0, 'Hell'),
      row(2, 'text_end', { text: 'Good day' }),
      done(3),
    ])
    expect(outputOf(events)).toMatchObject([
      { status: 'incomplete', content: [] },
      { status: 'completed', content: [{ text: 'Good day' }] },
    ])
    expect(numbers(events)).toEqual(numbers(events).toSorted((left, right) => left - right))
  })

  test('live text is held back where a hook may replace it, and where its numbers would not fit', () => {
    const held = play([row(1, 'state_changed', {}), delta(0, 'Hell')], new ResponseLog(head, { liveText: false }))
    expect(held.map(({ type }) => type)).toEqual(['response.created', 'response.in_progress'])
    const text = 'x'.repeat(2 ** 20 + 5)
    const events = play([
      row(1, 'state_changed', {}),
      delta(0, text.slice(0, 1_000)),
      delta(1_000, text.slice(1_000)),
      row(2, 'text_end', { text }),
      done(3),
    ])
    const rest = events.filter(({ type }) => type === 'response.output_text.delta')
    expect(rest.map(({ delta: part }) => String(part).length)).toEqual([1_000, text.length - 1_000])
    const log = new ResponseLog(head, { from: positionOf(rest[1]?.sequence_number ?? 0) })
    const more = play([row(1, 'state_changed', {}), row(2, 'text_end', { text }), done(3)], log)
    expect(more[0]?.type).toBe('response.output_text.done')
  })

  test('text that the end cuts off is closed and is no part of the response', () => {
    const frames = [row(1, 'state_changed', {}), delta(0, 'Half'), done(4, { state: 'cancelled', stopReason: 'cancelled' })]
    const events = play(frames)
    expect(events.at(-2)).toMatchObject({ type: 'response.output_item.done', item: { status: 'incomplete', content: [] } })
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: { status: 'cancelled', output: [], error: null } })
    const seen = positionOf(events.at(-3)?.sequence_number ?? 0)
    const rest = play([row(1, 'state_changed', {}), frames[2] ?? done(4)], new ResponseLog(head, { from: seen }))
    expect(rest).toEqual(events.slice(-2))
  })

  test('a call that the end of its process cut short was given up: who saw its text and who did not count the same items', () => {
    const cut = [row(2, 'handed_off', { reason: 'shutdown' }), row(3, 'resumed', { strategy: 'hand_off' })]
    const kept = [row(4, 'text_end', { text: 'Kept' }), done(5)]
    for (const seen of [[delta(0, 'Lost')], []]) {
      const events = play([row(1, 'state_changed', {}), ...seen, ...cut, ...kept])
      expect(outputOf(events)).toMatchObject([
        { status: 'incomplete', content: [] },
        { status: 'completed', content: [{ text: 'Kept' }] },
      ])
    }
  })

  test('a queued response says so until an executor has begun', () => {
    const log = new ResponseLog({ ...head, queued: true })
    expect(log.begin().map(({ type }) => type)).toEqual(['response.created', 'response.queued'])
    expect(log.response()).toMatchObject({ status: 'queued', output: [], usage: null })
    log.frame(row(1, 'state_changed', { state: 'paused' }))
    expect(log.paused).toBe(true)
    // One of two decisions, or a budget's threshold: somebody is still asked.
    log.frame(row(2, 'approval_decided'))
    expect(log.paused).toBe(true)
    log.frame(row(3, 'state_changed', { state: 'working' }))
    expect(log.paused).toBe(false)
  })
})

test.each([
  [{ state: 'completed', stopReason: 'max_tokens' }, 'incomplete', { reason: 'max_output_tokens' }, null],
  [{ state: 'failed', stopReason: 'content_filtered' }, 'incomplete', { reason: 'content_filter' }, null],
  [{ state: 'killed', stopReason: 'killed' }, 'failed', null, { code: 'killed', message: 'The run has failed.' }],
  [
    { state: 'failed', stopReason: 'max_steps', error: { code: 'max_steps', message: '50' } },
    'failed',
    null,
    { code: 'max_steps', message: '50' },
  ],
])('the end %o is %s', (data, status, incomplete_details, error) => {
  const [last] = new ResponseLog(head).frame(done(9, data))
  expect(last).toMatchObject({ type: `response.${status}`, response: { status, incomplete_details, error } })
})

test('tokens are told by their kind, and metadata as text whatever was given natively', () => {
  const usage = { inputTokens: 9, outputTokens: 4, cacheReadTokens: 5, cacheWriteTokens: 2, reasoningTokens: 3 }
  const log = new ResponseLog({ ...head, metadata: { order: '17', parts: { a: 1 } } })
  log.frame(done(9, { usage }))
  expect(log.response()).toMatchObject({
    metadata: { order: '17', parts: '{"a":1}' },
    usage: {
      input_tokens: 9,
      input_tokens_details: { cached_tokens: 5, cache_write_tokens: 2 },
      output_tokens: 4,
      output_tokens_details: { reasoning_tokens: 3 },
      total_tokens: 13,
    },
  })
})
