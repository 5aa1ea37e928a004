import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client } from '#lib/api/reader.fixture'
import { followUrl, is, type Follower, type FollowOptions } from '#tests/live/follower'
import { script, startWorld, type Answer, type World } from '#tests/world'

/** A function that may run 12 s, 2 s of them its margin: streams break after 10 s. A killed executor is replaced well before that. */
const life = { BATON_MAX_DURATION_MS: '12000', BATON_HARD_MARGIN_MS: '2000', BATON_LEASE_MS: '3000' }

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2, env: life })
})
afterAll(() => world.close())

const follow = (path: string, server = 0, options: FollowOptions = {}): Promise<Follower> => followUrl(world.base(server) + path, options)
function post(agent: string, answers: Answer[], server = 0, limits: Record<string, number> = {}): Promise<Follower> {
  const body = JSON.stringify({ message: script(...answers), template: 'scripted', limits })
  return follow(`/api/agents/${agent}/messages`, server, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
}
const runOf = async (follower: Follower): Promise<string> =>
  String((await follower.until(({ data }) => typeof data['runId'] === 'string')).data['runId'])
const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `part${index} `)
const slow = (count: number, chunkDelayMs: number): Answer => ({ text: letters(count).join(''), chunks: letters(count), chunkDelayMs })

/** Reads a run to its end over as many connections as it takes, as an EventSource does; answers how many there were. */
async function readToEnd(path: string, client: Client, first: Follower, servers: number[]): Promise<number> {
  let reader = first
  for (let turn = 0; turn < 40; turn++) {
    const end = await reader.end
    if (end instanceof Error) throw end
    if (end === 'clean') return turn + 1
    client.reconnect()
    const lastEventId = reader.lastEventId
    for (let attempt = 0; ; attempt++) {
      const next = await follow(path, servers[(turn + attempt) % servers.length], {
        client,
        ...(lastEventId === '' ? {} : { lastEventId }),
      }).catch((error: unknown) => {
        if (attempt >= 100) throw error
        return null
      })
      if (next !== null) {
        reader = next
        break
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  throw new Error('the run did not end within 40 connections')
}

/** A page with an EventSource (Node's own): prints each durable frame and ends when the source gives up (204) or, at the latest, after 60 s. */
const page = `
const source = new EventSource(process.argv[1])
const types = ['state_changed', 'text_end', 'tool_start', 'tool_end', 'usage', 'step_complete', 'handed_off', 'resumed', 'done']
for (const type of types) source.addEventListener(type, ({ type, lastEventId, data }) => console.log(JSON.stringify({ type, lastEventId, seq: JSON.parse(data).seq })))
source.addEventListener('error', () => source.readyState === EventSource.CLOSED && process.exit(0))
setTimeout(() => process.exit(3), 60_000)
`

test.concurrent('A16: an EventSource with nothing but the link reconnects by itself after a break and stops at 204', async () => {
  const answers = Array.from({ length: 6 }, (_, index): Answer => ({
    ...slow(12, 200),
    ...(index < 5 ? { tools: [{ name: 'echo', input: { value: index } }] } : {}),
  }))
  const sent = await world.send('browser', script(...answers), { prefer: 'respond-async' })
  const link = String((sent.body['links'] as { events: string }).events)
  const child = spawn(process.execPath, ['--no-warnings', '--experimental-eventsource', '-e', page, world.base() + link], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [code] = (await once(child, 'exit')) as [number | null]
  expect(code).toBe(0)
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; lastEventId: string; seq: number })
  expect(lines.map(({ seq }) => seq)).toEqual((await world.events('browser')).map(({ seq }) => seq))
  for (const { lastEventId, seq } of lines) expect(lastEventId).toBe(String(seq))
}, 150_000)

test.concurrent('a stream breaks when its function ends, never cleanly, and the client that comes back misses and doubles nothing', async () => {
  const answers = Array.from({ length: 6 }, (_, index): Answer => ({
    ...slow(12, 200),
    ...(index < 5 ? { tools: [{ name: 'echo', input: { value: index } }] } : {}),
  }))
  const began = performance.now()
  const reader = await post('life', answers)
  const runId = await runOf(reader)
  expect(await Promise.race([reader.end, new Promise((resolve) => setTimeout(() => resolve('late'), 20_000))])).toBe('broken')
  expect(performance.now() - began).toBeGreaterThan(9_000)
  expect(reader.types()).not.toContain('done')
  const connections = await readToEnd(`/api/runs/${runId}/events`, reader.client, reader, [1, 0])
  expect(connections).toBeGreaterThan(1)
  expect(reader.client.ids).toEqual((await world.events('life')).map(({ seq }) => seq))
  expect(await world.run(runId)).toMatchObject({ state: 'completed', output: letters(12).join('') })
})

test('invariant 3: the server is killed in the middle of a text: the new attempt takes the place of what readers elsewhere had', async () => {
  await world.send('killed', script({ text: 'warm' }), { prefer: 'wait=25', server: 1 })
  const gate = world.gate()
  const near = await post('killed', [{ ...slow(15, 50), gate: gate.file }], 0)
  const runId = await runOf(near)
  const far = await follow(`/api/runs/${runId}/events`, 1)
  await far.untilText('part3 ')
  await world.stack.kill('server-0')
  expect(await near.end).toBe('broken')
  await gate.open()
  await far.until(is('resumed'))
  await far.until(is('step_reset'))
  const shown = far.types()
  expect(shown.indexOf('resumed')).toBeLessThan(shown.lastIndexOf('step_reset') + 2)
  await readToEnd(`/api/runs/${runId}/events`, far.client, far, [1])
  await readToEnd(`/api/runs/${runId}/events`, near.client, near, [1, 0])
  await world.stack.waitReady('server-0')
  for (const reader of [near, far])
    expect(reader.client.ids).toEqual(
      (await world.events('killed')).map(({ seq }) => seq).filter((seq) => seq >= (near.client.ids[0] ?? 0)),
    )
  const run = await world.run(runId)
  expect(run).toMatchObject({ state: 'completed', output: letters(15).join('') })
  expect(run.slices).toBeGreaterThan(1)
})

test('a client of a killed server reconnects to the restarted one and gets the rest', async () => {
  const gate = world.gate()
  const second = { ...slow(10, 50), gate: gate.file }
  const reader = await post('restarted', [{ tools: [{ name: 'echo', input: { value: 1 } }], text: 'one' }, second], 1)
  const runId = await runOf(reader)
  await reader.untilText('part2 ')
  await world.stack.kill('server-1')
  await gate.open()
  await readToEnd(`/api/runs/${runId}/events`, reader.client, reader, [1])
  await world.stack.waitReady('server-1')
  expect(reader.client.ids).toEqual((await world.events('restarted')).map(({ seq }) => seq))
})

test('SIGTERM breaks the streams at once, and the run goes on elsewhere', async () => {
  const gate = world.gate()
  const first = { ...slow(5, 50), gate: gate.file, tools: [{ name: 'wait', input: { ms: 50 } }] }
  const reader = await post('sigterm', [first, slow(10, 50)], 0)
  const runId = await runOf(reader)
  await reader.untilText('part1 ')
  const ended = world.stack.kill('server-0', 'SIGTERM')
  // Though the step in hand has not ended, and may not yet.
  expect(await reader.end).toBe('broken')
  await gate.open()
  await readToEnd(`/api/runs/${runId}/events`, reader.client, reader, [1])
  await ended
  await world.stack.waitReady('server-0')
  expect(reader.client.ids).toEqual((await world.events('sigterm')).map(({ seq }) => seq))
  expect(await world.run(runId)).toMatchObject({ state: 'completed' })
})

test('the database is away for a moment: the stream stands and goes on', async () => {
  const began = performance.now()
  const reader = await post('outage', [{ ...slow(5, 300), tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'after' }])
  await reader.untilText('part1 ')
  await world.stack.halt('supabase')
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  world.stack.resume('supabase')
  const runId = await runOf(reader)
  // The outage itself breaks nothing: only the end of the function may.
  if ((await reader.end) !== 'clean') expect(performance.now() - began).toBeGreaterThan(9_000)
  await readToEnd(`/api/runs/${runId}/events`, reader.client, reader, [0])
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'after' })
  expect(reader.client.ids).toEqual((await world.events('outage')).map(({ seq }) => seq))
})

test('without Redis a reader in the same process still gets pieces, and one in another process gets each step', async () => {
  await world.send('alone', script({ text: 'warm' }), { prefer: 'wait=25' })
  await world.stack.halt('redis')
  const gate = world.gate()
  const first = { ...slow(6, 50), pieceGates: [gate.file], tools: [{ name: 'echo', input: { value: 1 } }] }
  const near = await post('alone', [first, slow(6, 50)], 0)
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

test('invariant 8: after retention an old cursor is 410 with the oldest number, and following from there works', async () => {
  await world.send('aged', script({ text: 'x' }), { prefer: 'wait=25' })
  await world.advance(8 * 24 * 3_600_000)
  await world.send('aged', script({ text: 'y' }), { prefer: 'wait=25' })
  await world.sql('select baton.prune($1)', [{ environment: 'local' }])
  const gone = await world.http('GET', '/api/agents/aged/events?after=0', undefined, { accept: 'text/event-stream' })
  expect([gone.status, gone.body['code']]).toEqual([410, 'cursor_expired'])
  const oldest = Number(gone.body['oldestSeq'])
  const reader = await follow(`/api/agents/aged/events?after=${oldest - 1}`)
  await reader.until(is('done'))
  expect(reader.client.ids[0]).toBe(oldest)
  expect(reader.frames.find(is('text_end'))?.data['text']).toBe('y')
  reader.leave()
})
