import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { bearer, tokenOf } from '#tests/access/kit'
import { startProxy, type Proxy } from '#tests/proxy'
import { script, startWorld, type World } from '#tests/world'

/** Not part of a turn: the outbox's marks, the heartbeat, the sweep beside, retention, what is remembered of limits, and what health and the making of the first tenant ask. */
const beside = new Set([
  'baton_outbox_sent',
  'baton_renew',
  'baton_sweep',
  'baton_prune', // hourly
  'baton_health',
  'baton_add_metrics',
  'baton_tenant_limits',
  'baton_limits_of',
  'baton_ensure_tenant',
  'baton_take_delivery',
  'baton_record_delivery',
])

let world: World
let proxy: Proxy
let door = ''
let losing: string | null = null
beforeAll(async () => {
  proxy = await startProxy(() => door, {
    lose(trip) {
      if (trip.name !== losing) return false
      losing = null
      return true
    },
  })
  // The servers ask the door from their first health check on: it is known once the supabase part has told its port.
  world = await startWorld({ env: { SUPABASE_URL: proxy.url }, log: () => undefined, quiet: true })
  door = String(world.stack.info.supabaseUrl)
  expect((await world.send('warm', script({ text: 'warm' }), { prefer: 'wait=25' })).status).toBe(200)
})
afterAll(async () => {
  await world.close()
  await proxy.close()
})

/** Names of the calls that a turn makes, in order, without those beside it. */
async function tripsOf(turn: () => Promise<unknown>): Promise<string[]> {
  const from = proxy.trips.length
  await turn()
  return proxy.trips
    .slice(from)
    .map((trip) => trip.name)
    .filter((name) => !beside.has(name))
}

test('a turn without tools costs two database trips: open and commit', async () => {
  for (const agent of ['plain', 'plain']) {
    const trips = await tripsOf(async () => {
      const reply = await world.send(agent, script({ text: 'Hello' }), { prefer: 'wait=25' })
      expect(reply).toMatchObject({ status: 200, body: { output: 'Hello' } })
    })
    expect(trips).toEqual(['baton_open', 'baton_commit'])
  }
})

test('a key or a signed-in user costs no trip of its own', async () => {
  const made = await world.http('POST', '/api/keys', { name: 'trips', scopes: ['agents:run'] })
  const user = await tokenOf(world, '11111111-1111-4111-8111-111111111111')
  for (const [credential, agent] of [
    [String(made.body['key']), 'by-key'],
    [user, 'by-user'],
  ] as const) {
    for (const [message, trips] of [
      [script({ text: 'Hello' }), ['baton_open', 'baton_commit']],
      [
        script({ tools: [{ name: 'echo', input: { value: 'x' } }] }, { text: 'Hello' }),
        ['baton_open', 'baton_commit', 'baton_commit', 'baton_commit'],
      ],
    ] as const) {
      const made = await tripsOf(async () => {
        const reply = await world.send(agent, message, { prefer: 'wait=25', headers: bearer(credential) })
        expect(reply).toMatchObject({ status: 200, body: { output: 'Hello' } })
      })
      expect(made).toEqual(trips)
    }
  }
})

test('a turn with one tool call costs four: open, answer and intent, outcome, end', async () => {
  const trips = await tripsOf(async () => {
    const reply = await world.send('tool', script({ tools: [{ name: 'echo', input: { value: 'x' } }] }, { text: 'done' }), {
      prefer: 'wait=25',
    })
    expect(reply).toMatchObject({ status: 200, body: { output: 'done' } })
  })
  expect(trips).toEqual(['baton_open', 'baton_commit', 'baton_commit', 'baton_commit'])
})

test('a turn that pauses for a person costs three: the answer that asks also pauses, then its caller is told what it waits for', async () => {
  await world.http('POST', '/api/agents', { id: 'asks', template: 'scripted', permission: { ask: ['charge'] } })
  const trips = await tripsOf(async () => {
    const tools = [{ name: 'charge', input: { key: 'asks', cents: 1 } }]
    expect(await world.send('asks', script({ tools }), { prefer: 'wait=25' })).toMatchObject({ status: 202, body: { status: 'paused' } })
  })
  expect(trips).toEqual(['baton_open', 'baton_commit', 'baton_get_run'])
})

test.each(['baton_open', 'baton_commit'])('invariant 3: the reply of %s is lost, and the turn is one turn', async (name) => {
  const agent = `lost-${name}`
  losing = name
  const reply = await world.send(agent, script({ text: 'once' }), { prefer: 'wait=25' })
  expect(losing).toBeNull()
  expect(reply).toMatchObject({ status: 200, body: { output: 'once' } })
  expect((await world.messages(agent)).map((message) => message.role)).toEqual(['user', 'assistant'])
  expect((await world.effects({ runId: String(reply.body['runId']) })).filter((effect) => effect.kind === 'model')).toHaveLength(1)
})

test('max_time counts the work of the slice in hand', async () => {
  const answers = Array.from({ length: 6 }, () => ({ tools: [{ name: 'wait', input: { ms: 400 } }] }))
  const reply = await world.send('slow', script(...answers, { text: 'too late' }), { prefer: 'wait=25', limits: { maxWallMs: 700 } })
  const run = await world.ended(String(reply.body['runId']))
  expect(run).toMatchObject({ state: 'failed', stopReason: 'max_time' })
  expect(run.modelCalls).toBeLessThan(5)
})

test('invariant 9: a slice that ends between a reservation and its call gives the amount back', async () => {
  const answers = Array.from({ length: 3 }, () => ({
    tools: [{ name: 'wait', input: { ms: 500 } }],
    usage: { input: 1_000, output: 1_000 },
  }))
  const reply = await world.send('handed', script(...answers, { text: 'end', usage: { input: 1_000, output: 1_000 } }), {
    prefer: 'wait=25',
    limits: { sliceMs: 300 },
  })
  const run = await world.ended(String(reply.body['runId']), 60_000)
  expect(run).toMatchObject({ state: 'completed', reservedMicros: 0 })
  const sum = async () =>
    world.sql<{ cost: string; estimated: number }>(
      `select sum(cost_micros) as cost, count(*) filter (where state = 'estimated')::integer as estimated from baton.reservations where run_id = $1`,
      [run.id],
    )
  expect(await poll(async () => Number((await sum())[0]?.cost) === run.costMicros, { everyMs: 50, forMs: 60_000 })).toBe(true)
  expect((await sum())[0]?.estimated).toBe(0)
  // Four calls of 1,000 tokens each way at $3 and $15 a million.
  expect(run.costMicros).toBe(4 * 18_000)
})
