import { afterAll, beforeAll, expect, test } from 'vitest'
import { begun, runOf, until, waiting } from '#tests/engine/helpers'
import { startReceiver, type Receiver } from '#tests/webhooks/receiver'
import { script, startWorld, type Reply, type World } from '#tests/world'

/*
 * What a request leads to is sent on by this request: the sweeper, which would find it, comes once a day here. It looks beside requests,
 * too, so that none is made while a test waits: rows and the receiver tell.
 */
let world: World
let receiver: Receiver
beforeAll(async () => {
  receiver = await startReceiver()
  world = await startWorld({ env: { BATON_SWEEP_EVERY: '24h', BATON_HASTE: '1' } })
})
afterAll(async () => {
  await world.close()
  await receiver.close()
})

const post = (path: string, body: unknown = {}): Promise<Reply> => world.http('POST', path, body)
const over = (runId: string): Promise<void> =>
  until(
    `${runId} has ended`,
    async () => (await world.sql('select 1 from baton.runs where run_id = $1 and ended_at is not null', [runId])).length > 0,
  )
const waitsForRoom = `select 1 from baton.runs where run_id = $1 and wait_kind = 'budget'`
const arrived = (path: string, count: number): Promise<void> => until(`${path} was called`, () => receiver.of(path).length === count)

async function failed(agent: string): Promise<string> {
  const reply = await world.send(agent, script({ error: { status: 401, times: 9 } }))
  expect(reply.status).toBe(502)
  return runOf(reply)
}

test('room in a budget that runs wait for, by a higher limit and by none', async () => {
  for (const act of ['raise', 'remove']) {
    const agent = `spends-${act}`
    const gate = world.gate()
    const first = await world.send(agent, script({ gate: gate.file, text: 'x' }), { prefer: 'respond-async' })
    await until('its call has begun', async () => (await world.effects({ runId: runOf(first) })).length > 0)
    const next = await world.send(agent, 'hi', { prefer: 'respond-async' })
    await world.http('PUT', '/api/budgets/tenant', { limitMicros: 0 })
    await gate.open()
    await over(runOf(first))
    await until('the next waits for room', async () => (await world.sql(waitsForRoom, [runOf(next)])).length > 0)
    if (act === 'raise') await world.http('PUT', '/api/budgets/tenant', { limitMicros: 1_000_000_000 })
    else await world.http('DELETE', '/api/budgets/tenant')
    await over(runOf(next))
  }
})

test('a retry, of one run and of many', async () => {
  const one = await post(`/api/runs/${await failed('again')}/retry`)
  await over(runOf(one))
  await failed('again-2')
  const many = await post('/api/runs/retry', { filter: { state: 'failed' } })
  const [retried] = (many.body['data'] as { newRunId: string; agentId: string }[]).filter(({ agentId }) => agentId === 'again-2')
  await over(String(retried?.newRunId))
})

test('a decision, and the end of a run that waited for one', async () => {
  const charge = script({ tools: [{ name: 'charge', input: { key: 'k', cents: 1 } }] }, { text: 'over' })
  for (const act of ['decide', 'cancel']) {
    const agent = `asks-${act}`
    await post('/api/agents', { id: agent, template: 'scripted', permission: { ask: ['charge'] } })
    const paused = await world.send(agent, charge)
    const next = await world.send(agent, 'next', { prefer: 'respond-async' })
    const [approval] = paused.body['approvals'] as { id: string }[]
    if (act === 'decide') await post(`/api/approvals/${approval?.id}`, { decision: 'allow' })
    else await post(`/api/runs/${runOf(paused)}/cancel`)
    await over(runOf(paused))
    await over(runOf(next))
  }
})

test('a result from outside', async () => {
  const paused = await world.send('outside', script({ tools: [{ name: 'outside', input: {} }] }, { text: 'thanks' }))
  const [call] = paused.body['externalCalls'] as { callbackUrl: string }[]
  const { pathname, search } = new URL(String(call?.callbackUrl), world.base())
  expect((await post(pathname + search, { output: 1 })).status).toBe(200)
  await over(runOf(paused))
})

test('a result from outside that comes too late: the run goes on without it', async () => {
  const paused = await world.send('too-late', script({ tools: [{ name: 'outside', input: {} }] }, { text: 'without' }))
  const [call] = paused.body['externalCalls'] as { callbackUrl: string }[]
  await world.advance(25 * 3_600_000)
  const { pathname, search } = new URL(String(call?.callbackUrl), world.base())
  expect(await post(pathname + search, { output: 1 })).toMatchObject({ status: 410, body: { code: 'too_late' } })
  await over(runOf(paused))
})

/** Agents that stand as this one does, with their messages and their runs: hundreds of requests would take a minute. */
async function twins(agent: string, count: number): Promise<void> {
  const like = (table: string, changes: string): string =>
    `insert into baton.${table} select (jsonb_populate_record(x, jsonb_build_object(${changes}))).* from baton.${table} x, twins t where x.agent_uid = t.model`
  await world.sql(
    `with twins as materialized (select a.agent_uid as model, gen_random_uuid() as uid, a.id || '-' || g as id, 'run_' || md5(a.id || g) as run
        from baton.agents a, generate_series(1, $2::integer) g where a.id = $1),
      agents as (${like('agents', `'agent_uid', t.uid, 'id', t.id, 'active_run', t.run`)}), runs as (${like('runs', `'agent_uid', t.uid, 'run_id', t.run`)})
      ${like('messages', `'agent_uid', t.uid, 'run_id', t.run`)}`,
    [agent, count],
  )
}

test.each([
  { act: 'lift', done: { resumed: 200 } },
  { act: 'kill', done: { ended: 200 } },
])('a $act of more agents than one transaction takes: the rest follows the answer', async ({ act, done }) => {
  const wide = (mode: string): Promise<Reply> => post('/api/kill', { scope: 'tenant', mode, reason: 'a test' })
  const held = async (): Promise<number> =>
    (await world.sql(`select 1 from baton.runs where wait_kind = 'hold' and ended_at is null`)).length
  await wide('hold')
  await world.send(`wide-${act}`, 'hi', { prefer: 'respond-async' })
  await twins(`wide-${act}`, 202)
  expect(await held()).toBe(203)
  const reply = act === 'kill' ? await wide('kill') : await world.http('DELETE', '/api/kill/tenant')
  expect(reply).toMatchObject({ status: 200, body: done })
  await until('each has ended', async () => (await world.sql('select 1 from baton.runs where ended_at is null')).length === 0, 110_000)
  if (act === 'kill') await world.http('DELETE', '/api/kill/tenant')
})

test.each(['agent:held', 'tenant'])('the lift of a hold of %s', async (scope) => {
  await post('/api/kill', { scope, mode: 'hold', reason: 'a test' })
  const held = await world.send('held', 'hi', { prefer: 'respond-async' })
  expect((await world.http('DELETE', `/api/kill/${scope}`)).status).toBe(200)
  await over(runOf(held))
})

test('a test of a webhook, and a delivery that is repeated', async () => {
  const { body: hook } = await post('/api/webhooks', { url: receiver.url('/hook') })
  const path = `/api/webhooks/${String(hook['id'])}`
  const tested = await post(`${path}/test`)
  await arrived('/hook', 1)
  // What is being attempted is left to that attempt: it has arrived before its outcome is written.
  const recorded = `select 1 from baton.webhook_deliveries where id = $1 and state = 'delivered'`
  await until('the outcome is written', async () => (await world.sql(recorded, [tested.body['deliveryId']])).length > 0)
  await post(`${path}/deliveries/${String(tested.body['deliveryId'])}/redeliver`)
  await arrived('/hook', 2)
})

test('what waited for a webhook that somebody had disabled', async () => {
  receiver.behave('/away', (n, response) => response.writeHead(n === 0 ? 500 : 204).end())
  const { body: hook } = await post('/api/webhooks', { url: receiver.url('/away') })
  const path = `/api/webhooks/${String(hook['id'])}`
  const tested = await post(`${path}/test`)
  await arrived('/away', 1)
  expect((await world.http('PATCH', path, { enabled: false })).status).toBe(200)
  const laidAside = `select 1 from baton.webhook_deliveries where id = $1 and state = 'pending' and next_at is null`
  await until('the delivery waits', async () => (await world.sql(laidAside, [tested.body['deliveryId']])).length > 0)
  expect((await world.http('PATCH', path, { enabled: true })).status).toBe(200)
  await arrived('/away', 2)
})

test('invariant 7: a continuation that comes a little early, for clocks differ, is not wasted: no sweep has to find the run', async () => {
  const runId = await begun(world, 'h-early', [{ error: { status: 503, times: 1, retryAfter: 600 }, text: 'at last' }])
  await waiting(world, runId)
  const { offsetMs, now } = (await world.http('GET', '/api/local/time')).body as { offsetMs: number; now: string }
  const early = Date.parse(String((await world.run(runId)).dueAt)) - Date.parse(now) - 1_500
  // The executor's clock goes ahead by a second: its event comes before the database thinks that the run is due.
  await world.advance(early)
  await fetch(`${world.stack.info.inngestUrl}/clock`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ offsetMs: offsetMs + early + 1_000 }),
  })
  await over(runId)
  expect(await world.run(runId)).toMatchObject({ state: 'completed', output: 'at last' })
  // Two continuations: the one that began it and the one of its wait.
  expect(await world.sql(`select 1 from baton.outbox where kind = 'continue' and data ->> 'runId' = $1`, [runId])).toHaveLength(2)
  await world.advance(1) // sets the executor's clock right again
})
