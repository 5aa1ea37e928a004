import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '#tests/engine/helpers'
import { dieInCall, killOnce } from '#tests/deaths'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
})
afterAll(() => world.close())

const runs = 100
/** The two calls of run i cost so much each: every sum tells which calls are in it. */
const callCost = (index: number): number => 3 * (1_000 + index)
/** About half of the runs fit into it. */
const tenantLimit = 300_000
/** Of each agent; three runs share one, of which not all fit. */
const agentLimit = 15_000

/** Every row is a limit that was passed, or a counter that is not the sum of the ledger of its scope: looked at in one snapshot. */
const faults = `with ledger as (
    select s.scope, sum(case when v.state = 'reserved' then 0 else v.cost_micros end) as spent, sum(case when v.state = 'reserved' then v.micros else 0 end) as reserved
    from baton.reservations v cross join lateral (values ('tenant'), ('agent:' || v.agent_id)) s(scope) group by s.scope)
  select c.scope, c.limit_micros, c.spent_micros, c.reserved_micros, l.spent, l.reserved from baton.budget_totals c left join ledger l using (scope)
  where c.period = 'lifetime' and (coalesce(l.spent, 0) + coalesce(l.reserved, 0) > c.limit_micros
    or c.spent_micros <> coalesce(l.spent, 0) or c.reserved_micros <> coalesce(l.reserved, 0))`

/** As a good client: the same key until somebody answers. */
async function send(index: number): Promise<number> {
  const usage = { input: callCost(index) / 3, output: 0 }
  const delayMs = 100 + ((index * 37) % 700)
  const message = script({ tools: [{ name: 'echo', input: { value: index } }], usage, delayMs }, { text: 'paid', usage, delayMs })
  const prefer = index % 3 === 0 ? 'respond-async' : 'wait=5'
  for (let attempt = 0; attempt < 100; attempt++) {
    const reply = await world.send(`s${index % 35}`, message, { prefer, key: `k${index}`, server: (index + attempt) % 2 }).catch(() => null) // the server died, or is not up again
    if (reply !== null && reply.status < 500) return reply.status
    await sleep(200)
  }
  throw new Error(`nobody answered message ${index}`)
}

test(
  'invariant 9: 100 runs of one tenant on two processes with kills in between pass no limit at any instant',
  { timeout: 240_000 },
  async () => {
    for (const [scope, limitMicros] of [
      ['tenant', tenantLimit],
      ['agent:*', agentLimit],
    ] as const)
      expect((await world.http('PUT', `/api/budgets/${scope}`, { limitMicros, period: 'lifetime' })).status).toBe(200)
    const found: unknown[] = []
    let samples = 0
    let most = 0
    let sampling = true
    const sampler = (async () => {
      while (sampling) {
        found.push(...(await world.sql(faults)))
        const [held] = await world.sql<{ n: number }>(`select count(*)::int as n from baton.reservations where state = 'reserved'`)
        most = Math.max(most, held?.n ?? 0)
        samples++
        await sleep(20)
      }
    })()
    const sent = Promise.all(Array.from({ length: runs }, (_, index) => send(index)))
    for (let kill = 0; kill < 4; kill++) {
      await sleep(1_500)
      await (kill === 0 ? dieInCall(world, 0) : killOnce(world, kill % 2))
    }
    await world.stack.waitReady()
    const statuses = await sent
    // What is still open now waits for room, the rest of each queue behind it.
    const atWork = `select 1 from baton.runs where state = 'running' or due_at < baton.clock() + interval '20 seconds' limit 1`
    await until('all that have room are done', async () => (await world.sql(atWork)).length === 0, 60_000)
    sampling = false
    await sampler
    expect(found.slice(0, 3)).toEqual([])
    expect(samples).toBeGreaterThan(20)
    expect(most, 'several calls at once').toBeGreaterThan(3)
    expect(statuses.every((status) => [200, 202, 402].includes(status))).toBe(true)
    const refused = await world.sql(`select distinct scope from baton.audit where decision = 'refused' and code = 'budget_exceeded'`)
    expect(refused).toEqual(expect.arrayContaining([{ scope: 'tenant' }, { scope: expect.stringMatching(/^agent:s/) }]))
    const budget = (await world.http('GET', '/api/budgets/tenant')).body
    expect(Number(budget['spentMicros'])).toBeGreaterThan(tenantLimit * 0.7)

    // With room for all the rest ends, and the books are looked at.
    for (const scope of ['tenant', 'agent:*']) await world.http('PUT', `/api/budgets/${scope}`, { limitMicros: null, period: 'lifetime' })
    await until(
      'all runs have ended',
      async () => (await world.sql(`select 1 from baton.runs where baton.is_open(state) limit 1`)).length === 0,
      60_000,
    )
    expect(
      await world.sql(`select r.run_id from baton.runs r where r.reserved_micros <> 0 or r.cost_micros <> (select coalesce(sum(v.cost_micros), 0)
    from baton.reservations v where v.run_id = r.run_id)`),
    ).toEqual([])
    // To the micro-dollar: each received usage is one settled row of its cost, and what else was begun is listed as estimated.
    const rows = await world.sql<{
      agent: string
      run: string
      settled: number
      estimated: number
      received: number
      usages: number
      begun: number
    }>(`
    select r.run_id as run, (select coalesce(sum(v.cost_micros), 0)::int from baton.reservations v where v.run_id = r.run_id and v.state = 'settled') as settled,
      (select count(*)::int from baton.reservations v where v.run_id = r.run_id and v.state = 'estimated') as estimated,
      (select count(*)::int from baton.events e where e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'usage') as usages,
      (select coalesce(sum((e.data ->> 'costMicros')::int), 0)::int from baton.events e where e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'usage') as received
    from baton.runs r`)
    const effects = (await world.effects()).filter((line) => line.kind === 'model')
    for (const row of rows) {
      expect(row.settled).toBe(row.received)
      const begun = effects.filter((line) => line.runId === row.run).length
      expect(begun, `calls begun by ${row.run}`).toBeLessThanOrEqual(row.usages + row.estimated)
      expect(begun).toBeGreaterThanOrEqual(row.usages)
    }
    const estimated = rows.reduce((sum, row) => sum + row.estimated, 0)
    console.log(
      `${runs} messages, ${rows.length} runs, ${effects.length} calls, ${estimated} estimated, ${samples} samples, at most ${most} reserved at once`,
    )
    expect(estimated, 'kills left calls whose usage nobody received').toBeGreaterThan(0)
    const audited = await world.sql<{ n: number }>(
      `select count(*)::int as n from baton.audit where action = 'model.call' and decision = 'allowed'`,
    )
    expect(audited[0]?.n).toBe(rows.reduce((sum, row) => sum + row.usages + row.estimated, 0))
  },
)
