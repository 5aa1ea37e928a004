import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
  await put({ tokensPerMinute: 100_000_000 })
})
afterAll(() => world.close())

const put = async (values: Record<string, number>) =>
  expect((await world.http('PUT', `/api/limits/${encodeURIComponent('model:local/scripted')}`, values)).status).toBe(200)

/** Runs of one model call each, in turns over both processes, that hand over what has to wait. */
async function start(name: string, count: number, usage: { input: number; output: number }): Promise<string[]> {
  // Brings the news of the limits to both processes: each of these calls checks them.
  for (const server of [0, 1])
    await world.send(`${name}-warm-${server}`, script({ text: 'x', usage: { input: 1, output: 0 } }), { prefer: 'wait=25', server })
  const replies = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      world.send(`${name}-${n}`, script({ text: 'called', usage }), { prefer: 'wait=20', limits: { sliceMs: 700 }, server: n % 2 }),
    ),
  )
  return replies.map(({ body }) => String(body['runId']))
}
const states = async (runs: string[]) => Promise.all(runs.map(async (id) => (await world.run(id)).state))
const calls = async (runs: string[]) => (await world.effects()).filter(({ kind, runId }) => kind === 'model' && runs.includes(runId)).length

test('requests a minute of a model are shared by all processes; who has to wait is handed over, and waiting is no retry', async () => {
  await put({ requestsPerMinute: 5 })
  // Two of the five are for the warm-up.
  const runs = await start('rpm', 6, { input: 10, output: 10 })
  const settled = async () => (await states(runs)).every((state) => state === 'completed' || state === 'waiting')
  expect(await poll(settled, { everyMs: 100, forMs: 60_000 })).toBe(true)
  expect((await states(runs)).toSorted()).toEqual([...Array<string>(3).fill('completed'), ...Array<string>(3).fill('waiting')])
  expect(await calls(runs)).toBe(3)
  const [waiting] = (await Promise.all(runs.map((id) => world.run(id)))).filter(({ state }) => state === 'waiting')
  expect(waiting).toMatchObject({ wait: { kind: 'retry' }, attempt: 0, crashes: 0, reservedMicros: 0, costMicros: 0 })
  const events = await world.events(String(waiting?.agentId))
  expect(events.find(({ type }) => type === 'retry')?.data ?? events.find(({ type }) => type === 'retry')).toMatchObject({
    code: 'rate_limited',
    gate: true,
  })
  await put({ requestsPerMinute: 1_000 })
  await world.advance(90_000)
  for (const id of runs) expect(await world.ended(id)).toMatchObject({ state: 'completed', output: 'called' })
  expect(await calls(runs)).toBe(6)
})

test('tokens a minute count the worst case of a call, and what it has not used is given back', async () => {
  await put({ tokensPerMinute: 1_000 })
  const runs = await start('tpm', 6, { input: 200, output: 99 })
  const settled = async () => (await states(runs)).every((state) => state === 'completed' || state === 'waiting')
  expect(await poll(settled, { everyMs: 100, forMs: 60_000 })).toBe(true)
  // 2 tokens for the warm-up, then 3 calls of 299 fit into 1,000.
  expect((await states(runs)).toSorted()).toEqual([...Array<string>(3).fill('completed'), ...Array<string>(3).fill('waiting')])
  await put({})
  await world.advance(90_000)
  for (const id of runs) expect(await world.ended(id)).toMatchObject({ state: 'completed' })
})

test('a model whose limit is zero is never called, and the run says so', async () => {
  await put({ requestsPerMinute: 0 })
  const refused = async () => {
    const reply = await world.send('zero', script({ text: 'x' }), { prefer: 'wait=25' })
    return reply.body['code'] === 'provider_rate_limited'
  }
  expect(await poll(refused, { everyMs: 200, forMs: 30_000 })).toBe(true)
  await put({})
})
