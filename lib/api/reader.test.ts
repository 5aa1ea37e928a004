import { describe, expect, test } from 'vitest'
import { Merger, passes, type OutFrame } from '#lib/api/reader'
import { agentUid, Client, randomFrom, Simulation } from '#lib/api/reader.fixture'
import type { StoredEvent } from '#lib/core/pages'
import type { LiveFrame } from '#lib/core/ports'

/** Reads a page, of at most `limit` events, as the feed does; true when there was no more. */
function readPage(merger: Merger, world: Simulation, limit: number, take: (out: OutFrame[]) => void): boolean {
  const data = world.events.filter((event) => event.seq > merger.cursor).slice(0, limit)
  const known = { epoch: world.epoch, committedSeq: world.committedSeq, lastSeq: world.events.length }
  merger.know(known)
  for (const event of data) take(merger.event(event))
  if (data.length === limit) return false
  take(merger.caughtUp(known))
  return true
}

function play(seed: number): void {
  const random = randomFrom(seed)
  const world = new Simulation(random)
  const pages = 1 + Math.floor(random() * 6)
  for (let turn = 0; turn < random() * 20; turn++) world.act()
  const after = Math.floor(random() * (world.events.length + 1))
  const merger = new Merger(after)
  const client = new Client()
  const take = (out: OutFrame[]): void => out.forEach((frame) => client.take(frame))
  const catchUp = (): void => {
    while (!readPage(merger, world, pages, take)) continue
  }
  catchUp()
  const deliver = (frame: LiveFrame): void => {
    if (merger.isAhead(frame)) catchUp()
    take(merger.live(frame))
  }
  for (let turn = 0; turn < 150; turn++) {
    const dice = random()
    const talking = world.executors.filter(({ wire }) => wire.length > 0)
    const speaker = talking[Math.floor(random() * talking.length)]
    if (dice < 0.5) world.act()
    else if (dice < 0.95) {
      const frame = speaker?.wire.shift()
      if (frame !== undefined) deliver(frame)
    } else readPage(merger, world, pages, take)
  }
  world.end()
  catchUp()
  for (const { wire } of world.executors) wire.forEach(deliver)
  expect(client.ids).toEqual(world.events.filter(({ seq }) => seq > after).map(({ seq }) => seq))
}

test('invariant 8: whatever the interleaving, the shown text is the stored one, ids rise without gaps, nothing comes twice', () => {
  for (let seed = 1; seed <= 600; seed++) {
    try {
      play(seed)
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
})

const frame = (offset: number, text: string, more: Partial<LiveFrame> = {}): LiveFrame => ({
  agentUid,
  runId: 'run_1',
  epoch: 1,
  step: 1,
  attempt: 0,
  afterSeq: 3,
  body: { type: 'delta', kind: 'text', part: 0, offset, text },
  ...more,
})
const event = (seq: number, type: string, data: Record<string, unknown> = {}, runId: StoredEvent['runId'] = 'run_1'): StoredEvent => ({
  seq,
  at: '2026-11-21T00:00:00Z',
  channel: 'progress',
  type,
  runId,
  step: 1,
  data,
})
const shape = (out: OutFrame[]): string[] =>
  out.map(({ type, data }) => (data['text'] === undefined ? type : `${type}:${JSON.stringify(data['text']).slice(1, -1)}`))

function reading(after: number): Merger {
  const merger = new Merger(after)
  merger.know({ epoch: 1, committedSeq: 3, lastSeq: after })
  return merger
}

describe('one by one', () => {
  test('live text is shown once, the durable end adds what was missing', () => {
    const merger = reading(3)
    expect(shape(merger.live(frame(0, 'Hel')))).toEqual(['text_start', 'text_delta:Hel'])
    expect(shape(merger.live(frame(0, 'Hello')))).toEqual(['text_delta:lo'])
    expect(shape(merger.live(frame(9, 'gap')))).toEqual([])
    expect(shape(merger.event(event(4, 'text_end', { text: 'Hello you' })))).toEqual(['text_delta: you', 'text_end:Hello you'])
    expect(shape(merger.live(frame(9, '!')))).toEqual([])
  })

  test('a replay makes start and one delta from the stored text', () => {
    expect(shape(reading(3).event(event(4, 'text_end', { text: 'all' })))).toEqual(['text_start', 'text_delta:all', 'text_end:all'])
  })

  test('an event of another run in the middle of a text neither ends nor stops it', () => {
    const merger = reading(3)
    merger.live(frame(0, 'ab'))
    expect(shape(merger.event(event(4, 'done', {}, 'run_2')))).toEqual(['done'])
    expect(shape(merger.live(frame(2, 'cd')))).toEqual(['text_delta:cd'])
  })

  test('a delta of a call that has been committed comes too late, even from the present epoch', () => {
    const merger = new Merger(8)
    merger.know({ epoch: 1, committedSeq: 8, lastSeq: 8 })
    expect(merger.live(frame(0, 'old'))).toEqual([])
  })

  test('invariant 2: a zombie is not shown, and what it had shown is taken back', () => {
    const merger = reading(3)
    merger.live(frame(0, 'zombie'))
    merger.know({ epoch: 2, committedSeq: 3, lastSeq: 4 })
    expect(shape(merger.event(event(4, 'resumed')))).toEqual(['resumed', 'step_reset'])
    expect(merger.live(frame(6, ' more'))).toEqual([])
    // Told again from its beginning, for somebody who joins late.
    expect(merger.live(frame(0, 'zombie more', { afterSeq: 4 }))).toEqual([])
    expect(shape(merger.live(frame(0, 'right', { epoch: 2, afterSeq: 4 })))).toEqual(['text_start', 'text_delta:right'])
  })

  test('a text that was never stored is taken back before the end of its run', () => {
    const merger = reading(3)
    merger.live(frame(0, 'half'))
    expect(shape(merger.event(event(4, 'done')))).toEqual(['step_reset', 'done'])
  })

  test('a text whose executor has lost its lease is taken back, also where no event tells of it', () => {
    const merger = reading(3)
    merger.live(frame(0, 'half'))
    expect(shape(merger.caughtUp({ epoch: 1, committedSeq: 3, lastSeq: 3 }))).toEqual([])
    merger.know({ epoch: 2, committedSeq: 3, lastSeq: 3 })
    expect(shape(merger.caughtUp({ epoch: 2, committedSeq: 3, lastSeq: 3 }))).toEqual(['step_reset'])
  })

  test('an event that comes again is not shown again', () => {
    const merger = reading(3)
    expect(merger.event(event(4, 'usage'))).toHaveLength(1)
    expect(merger.event(event(4, 'usage'))).toEqual([])
  })

  test('stored text that differs from what was shown replaces it, and final reasoning is told again', () => {
    const merger = reading(3)
    merger.event(event(4, 'reasoning_end', { text: 'why' }))
    merger.live(frame(0, 'wrong', { afterSeq: 4 }))
    expect(shape(merger.event(event(5, 'text_end', { text: 'right' })))).toEqual([
      'step_reset',
      'reasoning_start',
      'reasoning_delta:why',
      'text_start',
      'text_delta:right',
      'text_end:right',
    ])
  })

  test("the number, the type and the run of a frame are the event's own, whatever its data hold", () => {
    const [out] = reading(3).event(event(4, 'message_entered', { seq: 77, type: 'x', runId: 'y', mode: 'steer' }))
    expect(out).toMatchObject({ id: 4, data: { seq: 4, type: 'message_entered', runId: 'run_1', mode: 'steer' } })
  })

  test('filters', () => {
    const out = { type: 'usage', data: { channel: 'monitor' } }
    const filter = { agentUid, runId: null, channels: null, types: null }
    expect(passes(out, filter, 0)).toBe(true)
    expect(passes(out, { ...filter, channels: ['progress'] }, 0)).toBe(false)
    expect(passes(out, { ...filter, types: ['done'] }, 0)).toBe(false)
    expect(passes(out, { ...filter, types: ['usage'], channels: ['monitor'] }, 0)).toBe(true)
  })
})
