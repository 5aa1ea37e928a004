import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { poll } from '#local/poll'
import type { PartName } from '#local/stack'
import { violations } from '#scripts/chaos/violations'
import { script, startWorld, type World } from '#tests/world'

const usage = { input: 1_000, output: 100 }
const finished = { text: 'finished', usage }
/** Two tools that take a while, so that an outage falls into the run; the hand-off comes in the middle. */
const working = (key: string): string =>
  script(
    {
      tools: [
        { name: 'wait', input: { ms: 1_200 } },
        { name: 'count', input: { key } },
      ],
      usage,
    },
    {
      tools: [
        { name: 'charge', input: { key: `${key}-once`, cents: 5 } },
        { name: 'wait', input: { ms: 300 } },
      ],
      usage,
    },
    finished,
  )

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2, ownCluster: true, env: { BATON_SWEEP_EVERY: '2s' } })
})
afterAll(() => world.close())
beforeEach(async () => {
  await world.stack.waitReady()
  await world.chaos({ dropEvents: 0, duplicateEvents: false, delayEventsMs: 0, holdEvents: false, order: 'arrival' })
})

async function check(...agents: string[]): Promise<void> {
  const told = async (): Promise<boolean> =>
    (
      await world.sql(`select 1 from baton.outbox o join baton.agents a using (agent_uid) where o.sent_at is null and a.id = any($1)`, [
        agents,
      ])
    ).length === 0
  await poll(told, { everyMs: 100, forMs: 60_000 })
  expect(await violations({ sql: world.sql, effects: await world.effects(), agents: agents })).toEqual([])
}

async function begun(runId: string): Promise<void> {
  await expect.poll(async () => (await world.effects({ runId })).some((line) => line.name === 'wait'), { timeout: 60_000 }).toBe(true)
}

test.each<[PartName, number]>([
  ['postgres', 1_500],
  ['supabase', 1_500],
  ['redis', 1_500],
  ['executor', 1_500],
])('invariant 7: %s goes away in the middle of a run and comes back', async (part, awayMs) => {
  const agent = `away-${part}`
  const reply = await world.send(agent, working(agent), { prefer: 'wait=0', limits: { sliceMs: 1_000 } })
  const runId = String(reply.body['runId'])
  await begun(runId)
  await world.stack.halt(part)
  // The outage itself: long enough to fall on the commits of the run.
  await new Promise((resolve) => setTimeout(resolve, awayMs))
  world.stack.resume(part)
  await world.stack.waitReady()
  const run = await world.ended(runId, 40_000)
  expect(run).toMatchObject({ state: 'completed', output: 'finished' })
  expect((await world.effects({ key: `${agent}-once` })).length).toBeLessThanOrEqual(1)
  await check(agent)
})

test('invariant 7: without an executor messages are accepted, slices in the route go on, and the rest follows when it is back', async () => {
  await world.stack.halt('executor')
  const inRoute = await world.send('without-a', script(finished), { prefer: 'wait=20' })
  expect(inRoute.body).toMatchObject({ status: 'done', output: 'finished' })
  const background = await world.send('without-b', script(finished), { prefer: 'respond-async' })
  expect(background.status).toBe(202)
  const handedOver = await world.send('without-c', working('without-c'), { prefer: 'wait=20', limits: { sliceMs: 400 }, server: 1 })
  expect(handedOver.status).toBe(202)
  world.stack.resume('executor')
  await world.stack.waitReady('executor')
  for (const reply of [background, handedOver])
    expect(await world.ended(String(reply.body['runId']))).toMatchObject({ state: 'completed', output: 'finished' })
  await check('without-a', 'without-b', 'without-c')
})

test('invariant 7: events that are lost delay runs, and the sweeper finds them within two periods', async () => {
  await world.chaos({ dropEvents: 'all' })
  const ids: string[] = []
  for (const agent of ['lost-a', 'lost-b', 'lost-c']) {
    const reply = await world.send(agent, working(agent), {
      prefer: agent === 'lost-c' ? 'wait=20' : 'respond-async',
      limits: { sliceMs: 300 },
    })
    ids.push(String(reply.body['runId']))
  }
  // The first continuation of each is lost for good: the clock has taken it.
  await expect
    .poll(
      async () =>
        (
          await world.sql(
            `select 1 from baton.outbox o join baton.agents a using (agent_uid) where a.id like 'lost-_' and o.sent_at is not null`,
          )
        ).length,
      { timeout: 60_000 },
    )
    .toBeGreaterThanOrEqual(3)
  expect((await world.sql(`select 1 from baton.runs where run_id = any($1) and ended_at is null`, [ids])).length).toBe(3)
  await world.chaos({ dropEvents: 0 })
  for (const id of ids) expect(await world.ended(id)).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  await check('lost-a', 'lost-b', 'lost-c')
})

test('invariant 7: doubled and late events do no harm', async () => {
  await world.chaos({ duplicateEvents: true, delayEventsMs: 700 })
  const ids: string[] = []
  for (const agent of ['double-a', 'double-b', 'double-c']) {
    ids.push(String((await world.send(agent, working(agent), { prefer: 'wait=20', limits: { sliceMs: 300 } })).body['runId']))
  }
  for (const id of ids) expect(await world.ended(id)).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  for (const agent of ['double-a', 'double-b', 'double-c']) {
    expect(await world.effects({ key: agent })).toHaveLength(1)
    expect(await world.effects({ key: `${agent}-once` })).toHaveLength(1)
  }
  await check('double-a', 'double-b', 'double-c')
})

test('invariant 7: events that are kept and then come all at once, the last first, do no harm', async () => {
  await world.chaos({ holdEvents: true, order: 'reverse' })
  const ids: string[] = []
  for (const agent of ['late-a', 'late-b', 'late-c'])
    ids.push(String((await world.send(agent, working(agent), { prefer: 'respond-async' })).body['runId']))
  for (const agent of ['late-a', 'late-b'])
    ids.push(String((await world.send(agent, script(finished), { prefer: 'respond-async', onBusy: 'enqueue' })).body['runId']))
  await world.chaos({ holdEvents: false, releaseHeld: true })
  for (const id of ids) expect(await world.ended(id)).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  await check('late-a', 'late-b', 'late-c')
})

test('invariant 2: two servers with messages for the same agents: one writer at a time, each message once, in order', async () => {
  const agents = ['shared-a', 'shared-b', 'shared-c']
  const rounds = 4
  const sent = agents.flatMap((agent) =>
    Array.from({ length: rounds }, async (_, round) => {
      const text = script(
        { tools: [{ name: 'charge', input: { key: `${agent}-${round}`, cents: 1 } }], usage },
        { ...finished, delayMs: 100 },
      )
      const reply = await world.send(agent, text, {
        prefer: round % 2 === 0 ? 'wait=0' : 'respond-async',
        onBusy: 'enqueue',
        server: round % 2,
        limits: { sliceMs: 150 },
      })
      return String(reply.body['runId'])
    }),
  )
  const ids = await Promise.all(sent)
  expect(new Set(ids).size).toBe(agents.length * rounds)
  for (const id of ids) expect(await world.ended(id, 50_000)).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  for (const agent of agents) {
    for (let round = 0; round < rounds; round++) expect(await world.effects({ key: `${agent}-${round}` })).toHaveLength(1)
    // No event of one run stands between those of another, and no two slices have the same epoch.
    const events = (await world.events(agent)).filter((event) => event.channel === 'progress')
    const order = events.map((event) => event.runId).filter((id, index, all) => id !== all[index - 1])
    expect(order).toHaveLength(rounds)
    const accepted = await world.sql<{ run_id: string }>(
      `select m.run_id from baton.messages m join baton.agents a using (agent_uid) where a.id = $1 and m.role = 'user' order by m.seq`,
      [agent],
    )
    expect(order).toEqual(accepted.map((message) => message.run_id))
  }
  await check(...agents)
})
