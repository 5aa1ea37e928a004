import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '#lib/api/reader.fixture'
import { redis, until } from '#tests/engine/helpers'
import { followUrl, is, type Follower, type FollowOptions } from '#tests/live/follower'
import { letters, runOf } from '#tests/live/reading'
import { script, startWorld, type Answer, type Gate, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  // Nobody dies here: a lease that a slow machine does not keep would have another attempt's text shown in place of the first.
  world = await startWorld({ servers: 2, env: { BATON_LEASE_MS: '30000' } })
})
afterAll(() => world.close())

function post(agent: string, answers: Answer[], server = 0, options: FollowOptions = {}): Promise<Follower> {
  const body = JSON.stringify({ message: script(...answers), template: 'scripted' })
  return followUrl(`${world.base(server)}/api/agents/${agent}/messages`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    ...options,
  })
}
const follow = (path: string, server = 0, options: FollowOptions = {}): Promise<Follower> => followUrl(world.base(server) + path, options)
/** Comes piece by piece; the last piece when the gate is open. */
const slow = (chunks: string[], chunkDelayMs = 150, gate?: Gate): Answer => ({
  text: chunks.join(''),
  chunks,
  chunkDelayMs,
  ...(gate && { gate: gate.file }),
})

test.concurrent('A14: a POST that accepts an event stream gets start, deltas, end and done in order, and the agent working, then ready', async () => {
  const reader = await post('a14', [{ text: 'one two three', chunks: ['one ', 'two ', 'three'] }])
  expect(await reader.end).toBe('clean')
  expect(reader.retryMs).toBe(1_000)
  expect(reader.types().filter((type) => type.startsWith('text_') || type === 'done')).toEqual(
    expect.arrayContaining(['text_start', 'text_delta', 'text_end', 'done']),
  )
  const types = reader.types()
  const order = ['text_start', 'text_delta', 'text_end', 'step_complete', 'done'].map((type) => types.indexOf(type))
  expect(order).toEqual(order.toSorted((a, b) => a - b))
  expect(order).not.toContain(-1)
  expect(types.at(-1)).toBe('done')
  const states = reader.frames.filter(is('state_changed')).map(({ data }) => data['state'])
  expect(states).toEqual(['working', 'ready'])
  expect(reader.client.ids).toEqual((await world.events('a14')).map(({ seq }) => seq))
})

test.concurrent('whoever comes in the middle of a text gets it from offset 0, in this process and in another, and all see the same', async () => {
  const gate = world.gate()
  const first = await post('late', [slow(letters(12), 100, gate)])
  const runId = await runOf(first)
  await first.untilText('part4 ')
  const late = await Promise.all([
    follow(`/api/runs/${runId}/events`, 0),
    follow(`/api/runs/${runId}/events`, 1),
    follow('/api/agents/late/events?after=0', 1),
  ])
  for (const reader of late) await reader.untilText('part4 ')
  // Live means before the commit: none has the end yet.
  for (const reader of late) expect(reader.types()).not.toContain('text_end')
  await gate.open()
  expect(await first.end).toBe('clean')
  for (const reader of late) {
    await reader.until(is('done'))
    const deltas = reader.frames.filter(is('text_delta'))
    expect(deltas[0]?.data['offset']).toBe(0)
    expect(deltas.map(({ data }) => data['text']).join('')).toBe(letters(12).join(''))
    expect(reader.types().filter((type) => type === 'text_start')).toHaveLength(1)
    expect(reader.client.ids).toEqual(first.client.ids)
    reader.leave()
  }
})

test.concurrent('a reader in another process follows live, piece by piece, before the step is committed', async () => {
  await world.send('far', script({ text: 'warm' }), { prefer: 'wait=25' })
  const far = await follow('/api/agents/far/events', 1)
  const gates = [world.gate(), world.gate(), world.gate()]
  const pieces = letters(4)
  const near = await post('far', [{ chunks: pieces, pieceGates: gates.map(({ file }) => file) }])
  for (const [index, gate] of gates.entries()) {
    await far.untilText(`part${index} `)
    expect(far.frames.filter(is('text_delta')).map(({ data }) => data['text'])).toEqual(pieces.slice(0, index + 1))
    expect(far.types()).not.toContain('text_end')
    await gate.open()
  }
  await near.end
  await far.until(is('done'))
  expect(await far.until(is('text_end'))).toMatchObject({ data: { text: pieces.join('') } })
  far.leave()
})

test.concurrent('a zombie is not shown: frames of a lower epoch, of a call that is over and from nowhere are dropped', async () => {
  const { agentUid } = await (async () => {
    await world.send('zombie', script({ text: 'before' }), { prefer: 'wait=25' })
    return world.agent('zombie')
  })()
  const far = await follow('/api/agents/zombie/events', 1)
  const gate = world.gate()
  const near = await post('zombie', [slow(letters(12), 100, gate)], 0)
  await far.untilText('part2 ')
  const [row] = await world.sql<{ epoch: number; seq: number; run: string }>(
    'select lease_epoch::int as epoch, last_event_seq::int as seq, active_run as run from baton.agents where agent_uid = $1',
    [agentUid],
  )
  if (row === undefined) throw new Error('no agent row')
  const frame = {
    agentUid,
    runId: row.run,
    epoch: row.epoch,
    step: 1,
    attempt: 0,
    afterSeq: row.seq,
    body: { type: 'delta', kind: 'text', part: 0, offset: 0, text: 'GHOST '.repeat(30) },
  }
  const frames = [
    { ...frame, epoch: row.epoch - 1 },
    { ...frame, runId: 'run_gone', epoch: 0 },
    { ...frame, epoch: row.epoch - 1, afterSeq: 1_000_000 },
    { ...frame, afterSeq: 1 },
  ]
  await redis(world, 'XADD', `baton:local:live:${agentUid}`, '*', 'd', JSON.stringify({ from: 'proc_ghost', number: 1, frames }))
  await gate.open()
  await near.end
  await far.until(is('done'))
  expect(JSON.stringify(far.frames)).not.toContain('GHOST')
  far.leave()
})

test.concurrent('a step that is repeated says step_reset, and the text of the new attempt takes the place of the old one', async () => {
  const gate = world.gate()
  const near = await post('again', [
    { text: 'abcdef', chunks: ['ab', 'cd', 'ef'], chunkDelayMs: 100, cutAfterChunks: 2, pieceGates: [gate.file] },
    { text: 'unused' },
  ])
  const far = await follow(`/api/runs/${await runOf(near)}/events`, 1)
  await near.untilText('ab')
  await gate.open()
  for (const reader of [near, far]) {
    expect(await reader.end).toBe('clean')
    expect(reader.frames.filter(is('text_end')).map(({ data }) => data['text'])).toEqual(['abcdef'])
  }
  const types = near.types().filter((type) => ['text_start', 'step_reset', 'retry', 'text_end'].includes(type))
  expect(types.filter((type) => type === 'step_reset')).toHaveLength(1)
  expect(types.filter((type) => type === 'text_start')).toHaveLength(2)
  expect(types).toContain('retry')
  expect(types.at(-1)).toBe('text_end')
})

test.concurrent('a hand-off in the middle is not seen by the reader, who gets the whole run on one connection', async () => {
  const answers = [1, 2, 3, 4].map((step) => ({
    ...slow([`s${step} `, 'text '], 300),
    ...(step < 4 ? { tools: [{ name: 'wait', input: { ms: 200 } }] } : {}),
  }))
  const body = JSON.stringify({ message: script(...answers), template: 'scripted', limits: { sliceMs: 700 } })
  const reader = await followUrl(`${world.base()}/api/agents/handed/messages`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  expect(await reader.end).toBe('clean')
  expect(reader.types()).toContain('handed_off')
  expect(reader.types()).toContain('resumed')
  expect(reader.types()).not.toContain('step_reset')
  expect(reader.frames.filter(is('text_end')).map(({ data }) => data['text'])).toEqual(['s1 text ', 's2 text ', 's3 text ', 's4 text '])
  expect(reader.client.ids).toEqual((await world.events('handed')).map(({ seq }) => seq))
})

test.concurrent('done and tool_end are shown only after the commit that makes them true', async () => {
  const reader = await post('true', [{ tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'x' }])
  const seen = await reader.until(is('done'))
  const [row] = await world.sql<{ state: string }>('select state from baton.runs where run_id = $1', [seen.data['runId']])
  expect(row?.state).toBe('completed')
  expect(await reader.end).toBe('clean')
  for (const frame of reader.frames) {
    if (['done', 'tool_start', 'tool_end', 'text_end', 'state_changed', 'usage', 'step_complete'].includes(frame.type))
      expect(frame.id, frame.type).toBeTypeOf('number')
    else expect(frame.id, JSON.stringify(frame)).toBeUndefined()
  }
})

test.concurrent('a heartbeat comment comes while nothing happens, and event lines can be left out', async () => {
  await world.send('quiet', script({ text: 'x' }), { prefer: 'wait=25' })
  const reader = await follow('/api/agents/quiet/events?after=0&named=false', 0, { check: false })
  await until('a heartbeat comes', () => reader.comments.includes('heartbeat'))
  expect(reader.frames.length).toBeGreaterThan(0)
  const raw = await (await fetch(`${world.base()}/api/runs/${String(reader.frames[0]?.data['runId'])}/events?named=false`)).text()
  expect(raw).not.toMatch(/^event:/m)
  expect(raw).toMatch(/^id: \d+$/m)
  reader.leave()
})

test.concurrent('a hundred readers of one run, in both processes, get the same', async () => {
  const near = await post('many', [slow(letters(12), 250)])
  const runId = await runOf(near)
  const readers = await Promise.all(Array.from({ length: 100 }, (_, index) => follow(`/api/runs/${runId}/events`, index % 2)))
  const ends = await Promise.all(readers.map(({ end }) => end))
  expect(new Set(ends)).toEqual(new Set(['clean']))
  const text = letters(12).join('')
  for (const reader of readers) {
    expect(reader.client.ids).toEqual(readers[0]?.client.ids)
    expect(
      reader.frames
        .filter(is('text_delta'))
        .map(({ data }) => data['text'])
        .join(''),
    ).toBe(text)
  }
})

test.concurrent('a client that leaves does not stop the run', async () => {
  const gate = world.gate()
  const reader = await post('leaves', [slow(letters(8), 50, gate), { text: 'never' }])
  const runId = await runOf(reader)
  await reader.untilText('part1')
  reader.leave()
  expect(await reader.end).toBe('broken')
  await gate.open()
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: letters(8).join('') })
})

test.concurrent('a run that is cancelled in the middle of a text takes the text back before done', async () => {
  const reader = await post('cancelled', [slow(letters(6), 50, world.gate())])
  await reader.untilText('part2')
  await world.http('POST', `/api/runs/${await runOf(reader)}/cancel`)
  expect(await reader.end).toBe('clean')
  expect(reader.types()).toContain('step_reset')
  expect(reader.client.text).toBe('')
  expect(reader.frames.at(-1)?.data).toMatchObject({ type: 'done', state: 'cancelled' })
})

test.concurrent('a queued message streams its own run, from its own beginning; one that is cancelled in the queue ends too', async () => {
  const gate = world.gate()
  const held = { ...slow(letters(10), 50), pieceGates: [gate.file] }
  const first = await post('queue', [held], 0, { client: new Client({ gaps: true }) })
  await first.untilText('part0')
  const second = await post('queue', [{ text: 'second' }], 1)
  const dropped = await world.send('queue', script({ text: 'third' }), { prefer: 'respond-async' })
  const third = await follow(`/api/runs/${String(dropped.body['runId'])}/events`, 1)
  await world.http('POST', `/api/runs/${String(dropped.body['runId'])}/cancel`)
  expect(await third.end).toBe('clean')
  expect(third.types()).toEqual(['state_changed', 'done'])
  await gate.open()
  // Its events stand in the middle of the first run's text and do not disturb it.
  expect(await first.end).toBe('clean')
  expect(first.types().filter((type) => type === 'text_start')).toHaveLength(1)
  const deltas = first.frames.filter(is('text_delta')).map(({ data }) => String(data['text']))
  expect([deltas[0], deltas.join('')]).toEqual(['part0 ', letters(10).join('')])
  expect(await second.end).toBe('clean')
  expect(second.frames.filter(is('text_end')).map(({ data }) => data['text'])).toEqual(['second'])
  const afterwards = await follow(`/api/runs/${String(dropped.body['runId'])}/events`)
  expect(await afterwards.end).toBe('clean')
})

test('without Redis a reader in the same process still gets pieces, and one in another process gets each step', async () => {
  await world.send('alone', script({ text: 'warm' }), { prefer: 'wait=25' })
  await world.stack.halt('redis')
  const gate = world.gate()
  const first = { ...slow(letters(6), 50), pieceGates: [gate.file], tools: [{ name: 'echo', input: { value: 1 } }] }
  const near = await post('alone', [first, slow(letters(6), 50)])
  const far = await follow(`/api/runs/${await runOf(near)}/events`, 1)
  await near.untilText('part0 ')
  expect(near.frames.filter(is('text_delta')).map(({ data }) => data['text'])).toEqual(['part0 '])
  await gate.open()
  expect(await near.end).toBe('clean')
  expect(
    near.frames
      .filter(is('text_delta'))
      .map(({ data }) => data['text'])
      .join(''),
  ).toBe(letters(6).join('').repeat(2))
  await far.until(is('done'))
  expect(far.frames.filter(is('text_delta')).map(({ data }) => data['text'])).toEqual([letters(6).join(''), letters(6).join('')])
  far.leave()
  world.stack.resume('redis')
  await world.stack.waitReady('redis')
})
