import { afterAll, beforeAll, expect, test } from 'vitest'
import { redis, until } from '#tests/engine/helpers'
import { lift, msToEnd, running, setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
})
afterAll(() => world.close())

const openRuns = async (): Promise<number> =>
  Number((await world.sql<{ n: string }>('select count(*) as n from baton.runs where ended_at is null'))[0]?.n)

/** A hundred agents at work in the model, half of them in each process; what each caller is told in the end. */
async function hundred(name: string): Promise<Promise<Reply>[]> {
  const callers = Array.from({ length: 100 }, (_one, n) =>
    world.send(`${name}-${n}`, script({ delayMs: 60_000, text: 'never' }), { prefer: 'wait=50', server: n % 2 }),
  )
  // Each counts once: on a busy machine a lease may be lost, and another process begins the call anew.
  const models = async (): Promise<number> =>
    new Set((await world.effects()).flatMap((line) => (line.kind === 'model' && line.agentId.startsWith(name) ? [line.agentId] : []))).size
  await until('all hundred are in their model call', async () => (await models()) === 100, 50_000)
  return callers
}

for (const scope of ['tenant', 'global']) {
  test(`A76: a kill of ${scope} stops a hundred agents over two processes; new ones are refused until it is lifted`, async () => {
    const callers = await hundred(`a76-${scope}`)
    const { at, body } = await setSwitch(world, scope, { server: 0 })
    const told = await Promise.all(callers)
    // A caller whose process lost the lease was told to look at its run, which is killed as well (below).
    const watching = told.filter(({ status }) => status !== 202)
    expect(watching).not.toEqual([])
    for (const reply of watching) expect(reply).toMatchObject({ status: 423, body: { code: 'killed' } })
    await until('no run is open', async () => (await openRuns()) === 0)
    const [last] = await world.sql<{ ms: number }>(
      `select (extract(epoch from max(ended_at)) * 1000 - $1)::float8 as ms from baton.runs r join baton.agents a using (agent_uid) where a.id like $2`,
      [at, `a76-${scope}-%`],
    )
    console.log(
      `kill of ${scope}: the last of 100 runs ended ${Math.round(last?.ms ?? 0)} ms after the answer, ${String(body['ended'])} before it`,
    )
    // By itself none would have ended for a minute.
    expect(last?.ms).toBeLessThan(55_000)
    expect((await world.sql('select 1 from baton.runs where state <> $1', ['killed'])).length).toBe(0)
    const refused = await Promise.all([0, 1].map((server) => world.send(`a76-${scope}-new`, 'hi', { server })))
    for (const reply of refused) expect(reply).toMatchObject({ status: 423, body: { code: 'killed', scope } })
    expect((await world.http('GET', `/api/agents/a76-${scope}-new`)).status).toBe(404)
    await lift(world, scope)
    const after = await world.send(`a76-${scope}-0`, 'hi', { prefer: 'wait=25' })
    expect(after).toMatchObject({ status: 200 })
    await world.sql('delete from baton.agents')
  })
}

test('invariant 10: a kill holds with Redis flushed, Redis away and after restarts; a running agent is reached by its heartbeat', async () => {
  const { runId, caller } = await running(world, 'away', [{ delayMs: 60_000, text: 'never' }])
  await world.stack.halt('redis')
  try {
    const { at } = await setSwitch(world, 'agent:away')
    const ms = await msToEnd(world, runId, at)
    console.log('kill without Redis, ms:', ms)
    expect(ms).toBeLessThan(55_000)
    expect(await caller).toMatchObject({ status: 423 })
    expect(await world.send('away', 'hi')).toMatchObject({ status: 423, body: { scope: 'agent:away' } })
  } finally {
    world.stack.resume('redis')
    await world.stack.waitReady('redis')
  }
  await redis(world, 'FLUSHALL')
  expect(await world.send('away', 'hi', { server: 1 })).toMatchObject({ status: 423 })
  for (const part of ['server-0', 'server-1', 'supabase'] as const) await world.stack.restart(part)
  await world.stack.waitReady()
  for (const server of [0, 1]) {
    await expect.poll(async () => (await world.send('away', 'hi', { server })).status, { timeout: 60_000 }).toBe(423)
  }
  expect((await world.http('GET', '/api/kill')).body['data']).toMatchObject([{ scope: 'agent:away', mode: 'kill' }])
  await lift(world, 'agent:away')
  expect(await world.send('away', 'hi', { prefer: 'wait=25' })).toMatchObject({ status: 200 })
})

test('invariant 10: a hold outlasts a crash of the process that ran the agent, and the run goes on when it is lifted', async () => {
  const gate = world.gate()
  const { runId, caller } = await running(world, 'crash', [{ gate: gate.file, text: 'done' }])
  const lost = caller.catch(() => null)
  await setSwitch(world, 'agent:crash', { mode: 'hold' })
  await world.stack.kill('server-0')
  await gate.open()
  await lost
  await world.stack.waitReady('server-0')
  await until('the run is held', async () => (await world.run(runId)).wait?.kind === 'hold', 40_000)
  expect(await world.run(runId)).toMatchObject({ dueAt: null, reservedMicros: 0 })
  await lift(world, 'agent:crash')
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'done' })
})
