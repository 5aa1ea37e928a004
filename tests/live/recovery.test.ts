import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { is } from '#tests/live/follower'
import { letters, readingOf, runOf, slow } from '#tests/live/reading'
import { script, startWorld, type Answer, type World } from '#tests/world'

/** A function that may run 12 s, 2 s of them its margin: streams break after 10 s. A killed executor is replaced well before that. */
const life = { BATON_MAX_DURATION_MS: '12000', BATON_HARD_MARGIN_MS: '2000', BATON_LEASE_MS: '3000' }

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2, env: life })
})
afterAll(() => world.close())

const { follow, post, readToEnd } = readingOf(() => world)

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
