import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { expireLease, revive } from '#tests/crash/processes'
import { violations } from '#scripts/chaos/violations'
import { poll } from '#local/poll'
import { script, startWorld, type World } from '#tests/world'

const usage = { input: 1_000, output: 100 }

let world: World
beforeAll(async () => {
  // Haste 10, as in local mode: take-over 2 waits 0.5 to 1.5 s, take-over 3 waits 3 to 9 s.
  world = await startWorld({ env: { BATON_SWEEP_EVERY: '1s', BATON_HASTE: '10' } })
})
afterAll(() => world.close())
beforeEach(() => world.stack.waitReady())

const check = async (...agents: string[]): Promise<void> => {
  expect(await violations({ sql: world.sql, effects: await world.effects(), agents: agents })).toEqual([])
}

interface Row {
  state: string
  crashes: number
  left: number | null
}

async function row(runId: string): Promise<Row> {
  const [found] = await world.sql<Row & Record<string, unknown>>(
    `select state, crashes, extract(epoch from due_at - baton.clock())::float8 as left from baton.runs where run_id = $1`,
    [runId],
  )
  if (found === undefined) throw new Error(`no run ${runId}`)
  return found
}

/** Moves the clock past a server that may die of it. */
async function jump(ms: number): Promise<void> {
  const [moved] = await world.sql<{ answer: { offsetMs: number } }>(`select public.baton_local_time($1) as answer`, [
    JSON.stringify({ advanceMs: ms }),
  ])
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ offsetMs: moved?.answer.offsetMs }),
  }
  expect((await fetch(`${world.stack.info.inngestUrl}/clock`, init)).status).toBe(200)
}

/** Waits for the death of the server, starts it again at once and lets the leases that it left run out. Answers with the new process. */
async function death(pid: number | null, ...agents: string[]): Promise<number | null> {
  expect(await poll(() => world.stack.info.pids.servers[0] !== pid, { everyMs: 10, forMs: 20_000 }), 'the server died').toBe(true)
  await revive(world, 0)
  await world.stack.waitReady('server-0')
  // Read before the lease ends: the next death may follow at once.
  const next = world.stack.info.pids.servers[0] ?? null
  for (const agent of agents) await expireLease(world, agent)
  return next
}

test('invariant 12: a step that kills its process is given up after three spaced take-overs, and a run that only shared the process survives', async () => {
  const culprit = String(
    (
      await world.send('culprit', script({ tools: [{ name: 'echo', input: { value: 1 } }], usage, delayMs: 500 }, { text: 'finished' }), {
        prefer: 'respond-async',
      })
    ).body['runId'],
  )
  const bystander = String(
    (await world.send('bystander', script({ text: 'finished', usage, delayMs: 1_500 }), { prefer: 'respond-async' })).body['runId'],
  )
  await world.http('POST', '/api/local/crash', { at: 'before', call: 'tool', times: 4 })
  let pid = world.stack.info.pids.servers[0] ?? null

  pid = await death(pid, 'culprit', 'bystander')
  pid = await death(pid, 'culprit', 'bystander') // take-over 1 came at once, for both: they share the second death too
  await expect.poll(async () => (await row(culprit)).state, { timeout: 20_000 }).toBe('waiting')
  const second = await row(culprit)
  expect(second.crashes).toBe(2)
  expect(second.left).toBeLessThanOrEqual(1.5)
  // The pause is drawn for each run. Here it parts them for certain.
  await world.sql(`update baton.runs set due_at = baton.clock() + interval '1 hour' where run_id = $1`, [culprit])
  const survivor = await world.ended(bystander)
  expect(survivor).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  expect(world.stack.info.pids.servers[0]).toBe(pid)

  await jump(3_601_000)
  pid = await death(pid, 'culprit') // take-over 2
  await expect.poll(async () => (await row(culprit)).crashes, { timeout: 20_000 }).toBe(3)
  const third = await row(culprit)
  expect(third).toMatchObject({ state: 'waiting' })
  expect(third.left).toBeGreaterThan(1)
  expect(third.left).toBeLessThanOrEqual(9)
  await jump(9_000)
  await death(pid, 'culprit') // take-over 3
  const run = await world.ended(culprit)
  expect(run).toMatchObject({ state: 'failed', stopReason: 'step_crashed', crashes: 4, error: { code: 'step_crashed' } })
  expect(await world.effects({ runId: culprit })).toHaveLength(5)
  await check('culprit', 'bystander')
})

test('invariant 12: SIGTERM hands over and does not count', async () => {
  const reply = await world.send(
    'terminated',
    script({ tools: [{ name: 'wait', input: { ms: 2_500 } }], usage }, { text: 'finished', usage }),
    { prefer: 'wait=0' },
  )
  const runId = String(reply.body['runId'])
  for (let time = 1; time <= 4; time++) {
    await expect
      .poll(
        async () =>
          (await row(runId)).state === 'completed' ||
          (await world.effects({ runId }).catch(() => [])).filter((line) => line.name === 'wait').length >= Math.min(time, 1),
        { timeout: 20_000 },
      )
      .toBe(true)
    await world.stack.kill('server-0', 'SIGTERM')
    await revive(world, 0)
    await world.stack.waitReady('server-0')
  }
  const run = await world.ended(runId)
  expect(run).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  expect(run.slices).toBeGreaterThan(1)
  const resumed = (await world.events('terminated')).filter((event) => event.type === 'resumed')
  expect(resumed.every((event) => event['strategy'] === 'hand_off')).toBe(true)
  await check('terminated')
})

test('A42, A41: after a kill -9 an idempotent call runs again under its key; a once call is sealed, said to the model, and not repeated', async () => {
  const reply = await world.send(
    'killed',
    script(
      {
        tools: [
          { name: 'count', input: { key: 'killed-count' } },
          { name: 'charge', input: { key: 'killed-charge', cents: 5 } },
          { name: 'wait', input: { ms: 1_000 } },
        ],
        usage,
      },
      { text: 'finished', usage },
    ),
    { prefer: 'respond-async' },
  )
  const runId = String(reply.body['runId'])
  await world.http('POST', '/api/local/crash', { at: 'before', call: 'baton_commit', nth: 2 })
  await death(world.stack.info.pids.servers[0] ?? null, 'killed')
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'finished' })
  const counted = await world.effects({ key: 'killed-count' })
  expect(counted).toHaveLength(2)
  expect(counted[0]?.idempotencyKey).toEqual(expect.any(String))
  expect(counted[1]?.idempotencyKey).toBe(counted[0]?.idempotencyKey)
  expect(await world.effects({ key: 'killed-charge' })).toHaveLength(1)
  const results = (await world.messages('killed')).filter((message) => message.role === 'tool')
  expect(results).toHaveLength(1)
  expect(results[0]?.content).toMatchObject([
    { toolName: 'count', output: { type: 'json' } },
    { toolName: 'charge', output: { type: 'error-text', value: expect.stringContaining('it may have happened') } },
    { toolName: 'wait', output: { type: 'json' } },
  ])
  expect(await world.sql(`select state from baton.tool_calls where run_id = $1 and name = 'charge'`, [runId])).toEqual([
    { state: 'sealed' },
  ])
  await check('killed')
})

/** Sends so that the run's first slice is in the route; the answer may be lost with the server. */
async function inRoute(agent: string, ...answers: Parameters<typeof script>): Promise<string> {
  world.send(agent, script(...answers), { prefer: 'wait=20' }).catch(() => undefined) // its server is about to be killed
  const found = (): Promise<{ run_id: string }[]> =>
    world.sql(`select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.id = $1`, [agent])
  await expect.poll(async () => (await found()).length, { timeout: 20_000 }).toBe(1)
  return (await found())[0]?.run_id ?? ''
}

test('A41: the next message finds the dead lease and resumes the run, also when no sweep does', async () => {
  await world.http('POST', '/api/local/crash', { at: 'before', call: 'baton_commit', nth: 2 })
  const pid = world.stack.info.pids.servers[0] ?? null
  const runId = await inRoute('next', { tools: [{ name: 'wait', input: { ms: 1_000 } }], usage }, { text: 'finished', usage })
  expect(await poll(() => world.stack.info.pids.servers[0] !== pid, { everyMs: 10, forMs: 20_000 })).toBe(true)
  // The sweeper believes that somebody has just been told.
  await world.sql(`update baton.agents set continued_at = baton.clock() + interval '1 hour', lease_until = baton.clock() where id = 'next'`)
  await revive(world, 0)
  await world.stack.waitReady('server-0')
  const second = await world.send('next', script({ text: 'second' }), { prefer: 'wait=20', onBusy: 'enqueue' })
  expect(second.body).toMatchObject({ status: 'done', output: 'second' })
  expect(await world.run(runId)).toMatchObject({ state: 'completed', output: 'finished' })
  await check('next')
})

test('invariant 9: the take-over books what the dead call had reserved in full, before it reserves again', async () => {
  await world.http('POST', '/api/local/crash', { at: 'before', call: 'model' })
  const pid = world.stack.info.pids.servers[0] ?? null
  const runId = await inRoute('booked', { text: 'finished', usage, delayMs: 2_500 })
  await death(pid, 'booked')
  await expect.poll(async () => (await world.effects({ runId })).length, { timeout: 20_000 }).toBe(2)
  const money = (): Promise<unknown> =>
    world.sql(
      `select r.cost_micros::int as cost, r.reserved_micros::int as reserved, (select json_agg(v.state order by v.created_at) from baton.reservations v where v.run_id = r.run_id) as states
      from baton.runs r where run_id = $1`,
      [runId],
    )
  expect(await money()).toEqual([{ cost: 4_500, reserved: 4_500, states: ['estimated', 'reserved'] }])
  await world.ended(runId)
  expect(await money()).toEqual([{ cost: 9_000, reserved: 0, states: ['estimated', 'settled'] }])
  await check('booked')
})

test.each(['in the route', 'in the background'])('invariant 7: in local mode a run killed %s goes on within 10 s', async (where) => {
  const agent = where.replaceAll(' ', '-')
  const answers = [
    { tools: [{ name: 'wait', input: { ms: 1_500 } }], usage },
    { text: 'finished', usage },
  ]
  const runId =
    where === 'in the route'
      ? await inRoute(agent, ...answers)
      : String((await world.send(agent, script(...answers), { prefer: 'respond-async' })).body['runId'])
  await expect.poll(async () => (await world.effects({ runId })).some((line) => line.name === 'wait'), { timeout: 20_000 }).toBe(true)
  await world.stack.kill('server-0', 'SIGKILL')
  const since = performance.now()
  await expect
    .poll(async () => (await world.sql(`select 1 from baton.events where run_id = $1 and type = 'resumed'`, [runId])).length, {
      timeout: 20_000,
    })
    .toBe(1)
  const seconds = (performance.now() - since) / 1_000
  console.info(`killed ${where}, it went on after ${seconds.toFixed(1)} s`)
  expect(seconds).toBeLessThan(10)
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'finished' })
  await check(agent)
})
