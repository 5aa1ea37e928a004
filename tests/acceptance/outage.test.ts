import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ ownCluster: true })
})
afterAll(() => world.close())

function expectAway(reply: Reply): void {
  expect(reply.status).toBe(503)
  expect(reply.headers.get('content-type')).toBe('application/problem+json')
  expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(reply.headers.get('x-should-retry')).toBe('true')
  expect(reply.body).toMatchObject({ code: 'database_unavailable', retryable: true })
}

test('A4: after the server process was killed, a new one continues the same history and repeats nothing', async () => {
  const first = await world.send(
    'a4',
    script({ text: 'one', tools: [{ name: 'charge', input: { key: 'a4', cents: 1 } }] }, { text: 'two' }),
  )
  expect(first.body).toMatchObject({ status: 'done', output: 'two' })
  const { steps, messages } = await world.agent('a4')
  const pid = world.stack.info.pids.servers[0]
  await world.stack.kill('server-0')
  await world.stack.waitReady('server-0')
  expect(world.stack.info.pids.servers[0]).not.toBe(pid)
  const second = await world.send('a4', script({ text: 'three' }))
  expect(second.body).toMatchObject({ status: 'done', output: 'three' })
  const after = await world.agent('a4')
  expect([after.steps - steps, after.messages - messages]).toEqual([1, 2])
  expect((await world.messages('a4')).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6])
  expect((await world.effects({ key: 'a4' })).filter(({ name }) => name === 'charge')).toHaveLength(1)
  expect((await world.events('a4')).map(({ seq }) => seq)).toEqual(Array.from({ length: after.lastSeq }, (_, index) => index + 1))
})

test('A18: while the database refuses events for two seconds nothing is lost: done, tool ends and decisions are there in order, once', async () => {
  await world.http('POST', '/api/agents', { id: 'a18', template: 'scripted', permission: { ask: ['charge'] } })
  // A sequence counts also what is rolled back.
  await world.sql('create sequence baton.refused')
  await world.sql(
    `create function baton.refuse_events() returns trigger language plpgsql security definer as $$ begin perform nextval('baton.refused'); raise exception 'no events' using errcode = '53100'; end $$`,
  )
  await world.sql(
    `create trigger refuse before insert on baton.events for each row when (new.type in ('tool_end', 'approval_decided', 'done')) execute function baton.refuse_events()`,
  )
  const refused = async (): Promise<number> =>
    Number((await world.sql<{ n: string }>('select last_value as n from baton.refused'))[0]?.n ?? 0)

  const tools = [
    { name: 'wait', input: { ms: 100 } },
    { name: 'charge', input: { key: 'a18', cents: 1 } },
  ]
  const sent = await world.send('a18', script({ text: 'x', tools }, { text: 'over' }), { prefer: 'wait=0' })
  const runId = String(sent.body['runId'])
  await expect.poll(refused, { timeout: 20_000 }).toBeGreaterThan(1)
  const until = performance.now() + 2_000
  const [approval] = (await world.http('GET', `/api/approvals?run=${runId}`)).body['data'] as { id: string }[]
  const decide = (): Promise<Reply> => world.http('POST', `/api/approvals/${approval?.id}`, { decision: 'allow' })
  expect((await decide()).status).toBe(503)
  await expect.poll(() => performance.now() > until, { timeout: 60_000 }).toBe(true)
  expect(await world.effects({ key: 'a18' })).toEqual([])
  await world.sql('drop trigger refuse on baton.events')

  expect((await decide()).status).toBe(200)
  const run = await world.ended(runId)
  expect(run).toMatchObject({ state: 'completed', output: 'over' })
  const events = await world.events('a18')
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1))
  const told = events.flatMap((event) => {
    if (event.type === 'tool_end') return [`end of ${(event['call'] as { name: string }).name}`]
    return ['approval_required', 'approval_decided', 'done'].includes(event.type) ? [event.type] : []
  })
  expect(told).toHaveLength(5)
  expect(told.toSorted()).toEqual(['approval_decided', 'approval_required', 'done', 'end of charge', 'end of wait'])
  expect(told[0]).toBe('approval_required')
  expect(told.slice(-2)).toEqual(['end of charge', 'done'])
  expect(await world.effects({ key: 'a18' })).toHaveLength(1)
})

for (const part of ['supabase', 'postgres'] as const) {
  test(`A51: with ${part} down each request is 503 with Retry-After, and works again without a restart`, async () => {
    const pid = world.stack.info.pids.servers[0]
    await world.send(`a51-${part}`, script({ text: 'before' }))
    await world.stack.halt(part)
    expectAway(await world.send(`a51-${part}`, script({ text: 'lost' }), { key: `a51-${part}` }))
    expectAway(await world.http('GET', `/api/agents/a51-${part}`))
    expectAway(await world.http('POST', '/api/agents', { id: `a51-${part}-new`, template: 'scripted' }))
    expectAway(await world.http('GET', '/api/runs'))
    const health = await world.http('GET', '/api/health')
    expect([health.status, health.body['healthy'], Number(health.headers.get('retry-after')) > 0]).toEqual([503, false, true])
    expect((await world.http('GET', '/api/health/live')).status).toBe(200)

    world.stack.resume(part)
    await world.stack.waitReady()
    await expect.poll(async () => (await world.http('GET', '/api/health')).status, { timeout: 60_000 }).toBe(200)
    const reply = await world.send(`a51-${part}`, script({ text: 'after' }), { key: `a51-${part}` })
    expect(reply.body).toMatchObject({ status: 'done', output: 'after' })
    // The refused message left nothing behind.
    expect(await world.messages(`a51-${part}`)).toHaveLength(4)
    expect((await world.http('GET', `/api/agents/a51-${part}-new`)).status).toBe(404)
    expect(world.stack.info.pids.servers[0]).toBe(pid)
  })
}

test('A51: callers whose messages were accepted before the database went away are told that, not that it is away', async () => {
  const gate = world.gate()
  const runs = (): Promise<unknown[]> => world.sql(`select 1 from baton.runs join baton.agents using (agent_uid) where id = 'a51-callers'`)
  const first = world.send('a51-callers', script({ text: 'x', gate: gate.file }), { prefer: 'wait=40' })
  await expect.poll(async () => (await runs()).length, { timeout: 60_000 }).toBe(1)
  const second = world.send('a51-callers', script({ text: 'y' }), { prefer: 'wait=40', onBusy: 'enqueue' })
  await expect.poll(async () => (await runs()).length, { timeout: 60_000 }).toBe(2)
  await world.stack.halt('supabase')
  // Long before their 40 s: the slice of the first has lost its lease by then, the second can't be read.
  const replies = await Promise.all([first, second])
  expect(replies.map(({ status, body }) => [status, body['status']])).toEqual([
    [202, 'processing'],
    [202, 'processing'],
  ])
  world.stack.resume('supabase')
  await world.stack.waitReady()
  await gate.open()
  for (const { body } of replies) expect(await world.ended(String(body['runId']))).toMatchObject({ state: 'completed' })
})

test('A51: a server that starts while the database is down answers 503 and works when it comes up', async () => {
  await world.stack.halt('postgres')
  await world.stack.restart('server-0')
  const pid = world.stack.info.pids.servers[0]
  expectAway(await world.send('a51-start', script({ text: 'early' })))
  world.stack.resume('postgres')
  await world.stack.waitReady()
  await expect.poll(async () => (await world.send('a51-start', script({ text: 'up' }))).status, { timeout: 60_000 }).toBe(200)
  expect(world.stack.info.pids.servers[0]).toBe(pid)
})
