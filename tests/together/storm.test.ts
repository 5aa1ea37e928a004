import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { until } from '#tests/engine/helpers'
import { dieInCall, killOnce } from '#tests/deaths'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  const toolCosts = { echo: 70, charge: 700 }
  const templates = localTemplates({
    templates: [{ id: 'paid', model: 'local/scripted', permission: { ask: ['charge'] }, toolCosts }],
  })
  world = await startWorld({ servers: 2, env: { ...templates, BATON_SWEEP_EVERY: '1s' } })
})
afterAll(() => world.close())

const runs = 100
/** The calls of run i cost so much each: every sum tells which are in it. */
const callCost = (index: number): number => 3 * (1_000 + index)
/** A third of what the runs would cost; of the three or four that share an agent, one and a half fit, so that both limits refuse. */
const tenantLimit = 200_000
const agentLimit = 10_000
const callLimit = 60

/** Every row is a limit that was passed, or a counter that is not the sum of the ledger: in one snapshot. */
const faults = `with ledger as (
    select s.scope, sum(case when v.state = 'reserved' then 0 else v.cost_micros end) as spent, sum(case when v.state = 'reserved' then v.micros else 0 end) as reserved,
      count(*) filter (where v.model = s.scope and v.cost_micros > 0) as calls
    from baton.reservations v cross join lateral (values ('tenant'), ('agent:' || v.agent_id), (case when v.model like 'tool:%' then v.model end)) s(scope) group by s.scope)
  select c.scope, c.limit_micros, c.spent_micros, c.reserved_micros, c.calls, l.spent, l.reserved, l.calls as paid from baton.budget_totals c
    left join ledger l using (scope)
  where c.period = 'lifetime' and (coalesce(l.spent, 0) + coalesce(l.reserved, 0) > c.limit_micros or c.spent_micros <> coalesce(l.spent, 0)
    or c.reserved_micros <> coalesce(l.reserved, 0) or c.scope = 'tool:echo' and (c.calls > c.limit_calls or c.calls <> coalesce(l.calls, 0)))`

/** As a good client: the same key until somebody answers; a kill is waited out. */
async function send(index: number): Promise<number> {
  const usage = { input: callCost(index) / 3, output: 0 }
  const delayMs = 50 + ((index * 37) % 500)
  const tools = [
    { name: 'echo', input: { value: index } },
    ...(index % 3 === 0 ? [{ name: 'charge', input: { key: `c${index}`, cents: 1 } }] : []),
  ]
  const message = script({ tools, usage, delayMs }, { text: 'paid', usage, delayMs })
  const prefer = index % 3 === 0 ? 'respond-async' : 'wait=5'
  for (let attempt = 0; attempt < 200; attempt++) {
    const options = { template: 'paid', prefer, key: `k${index}`, server: (index + attempt) % 2 }
    const reply = await world.send(`s${index % 30}`, message, options).catch(() => null) // the server died, or is not up again
    // 423 of a run is its end; without one the message was refused, and the kill will be lifted.
    if (reply !== null && reply.status < 500 && (reply.status !== 423 || reply.body['runId'] !== undefined)) return reply.status
    await sleep(150)
  }
  throw new Error(`nobody answered message ${index}`)
}

const ask = (method: string, path: string, body?: unknown, server = 0) => world.http(method, path, body, {}, server).catch(() => null)
async function decideAll(turn: number): Promise<void> {
  const inbox = await ask('GET', '/api/approvals?state=pending&limit=50', undefined, turn % 2)
  const pending = (inbox?.body['data'] ?? []) as { id: string }[]
  await Promise.all(
    pending.map(({ id }, at) => ask('POST', `/api/approvals/${id}`, { decision: (turn + at) % 4 === 0 ? 'deny' : 'allow' }, at % 2)),
  )
}

/** Switches come and go: holds of all, kills of single agents that have something to end. */
async function switches(turn: number): Promise<void> {
  const [busy] = await world.sql<{ id: string }>(
    `select a.id from baton.agents a join baton.runs r using (agent_uid) where baton.is_open(r.state) order by md5(a.id || $1) limit 1`,
    [turn],
  )
  const scope = turn % 3 === 0 ? 'tenant' : `agent:${busy?.id ?? 's0'}`
  const body = { scope, mode: scope === 'tenant' ? 'hold' : 'kill', reason: 'storm' }
  // Also where no answer came: the switch may stand.
  await ask('POST', '/api/kill', body, turn % 2)
  await sleep(200)
  await until('the switch is lifted', async () => {
    const reply = await ask('DELETE', `/api/kill/${scope}`, undefined, turn % 2)
    return reply?.status === 200 || reply?.status === 404
  })
}

test(
  'invariants 9 and 10: 100 runs with paid tools, approvals, holds and kills on two processes that die pass no limit, and the books are exact',
  { timeout: 240_000 },
  async () => {
    const budgets: [string, object][] = [
      ['tenant', { limitMicros: tenantLimit }],
      ['agent:*', { limitMicros: agentLimit }],
      ['tool:echo', { limitCalls: callLimit }],
      ['tool:charge', { limitMicros: 1_000_000 }],
    ]
    for (const [scope, limits] of budgets)
      expect((await world.http('PUT', `/api/budgets/${scope}`, { ...limits, period: 'lifetime' })).status).toBe(200)
    const found: unknown[] = []
    let samples = 0
    let mostReserved = 0
    let sending = true
    let storming = true
    const forever = async (work: (turn: number) => Promise<unknown>, pauseMs: number, on = () => storming): Promise<void> => {
      for (let turn = 0; on(); turn++) {
        await work(turn)
        await sleep(pauseMs)
      }
    }
    const others = [
      forever(async () => {
        found.push(...(await world.sql(faults)))
        const [held] = await world.sql<{ n: number }>(`select count(*)::int as n from baton.reservations where state = 'reserved'`)
        mostReserved = Math.max(mostReserved, held?.n ?? 0)
        samples++
      }, 50),
      forever(decideAll, 150),
      forever(switches, 700, () => sending),
    ]
    const sent = Promise.all(Array.from({ length: runs }, (_, index) => send(index)))
    for (let kill = 0; kill < 4; kill++) {
      await sleep(1_500)
      await (kill === 0 ? dieInCall(world, 0) : killOnce(world, kill % 2))
    }
    await world.stack.waitReady()
    const statuses = await sent
    sending = false
    // What is set aside may refuse early, but the money is there to be spent.
    await until('the limits of the tenant and of an agent have refused, and half of the money is spent', async () => {
      const { spentMicros } = (await world.http('GET', '/api/budgets/tenant')).body
      const refused = await world.sql<{ of: string }>(
        `select distinct split_part(scope, ':', 1) as of from baton.audit where decision = 'refused' and code = 'budget_exceeded'`,
      )
      return Number(spentMicros) > tenantLimit / 2 && ['tenant', 'agent'].every((limit) => refused.some(({ of }) => of === limit))
    })
    storming = false
    await Promise.all(others)
    expect(found.slice(0, 3)).toEqual([])
    expect(samples).toBeGreaterThan(20)
    expect(mostReserved, 'several calls at once').toBeGreaterThan(3)
    expect(statuses.filter((status) => ![200, 202, 402].includes(status) && !(status === 409 || status === 423))).toEqual([])

    // With room for all, and everybody decided, the rest ends.
    for (const [scope] of budgets) await world.http('PUT', `/api/budgets/${scope}`, { limitMicros: null, period: 'lifetime' })
    await until(
      'all runs have ended',
      async () => {
        await decideAll(1)
        return (await world.sql(`select 1 from baton.runs where baton.is_open(state) limit 1`)).length === 0
      },
      90_000,
    )
    expect(
      await world.sql(`select r.run_id from baton.runs r where r.reserved_micros <> 0 or r.cost_micros <> (select coalesce(sum(v.cost_micros), 0)
        from baton.reservations v where v.run_id = r.run_id)`),
    ).toEqual([])
    const rows = await world.sql<{
      run: string
      state: string
      settled: number
      estimated: number
      received: number
      usages: number
      ended: Date
    }>(`
      select r.run_id as run, r.state, r.ended_at as ended,
        (select coalesce(sum(v.cost_micros), 0)::int from baton.reservations v where v.run_id = r.run_id and v.state = 'settled' and v.model not like 'tool:%') as settled,
        (select count(*)::int from baton.reservations v where v.run_id = r.run_id and v.state = 'estimated') as estimated,
        (select count(*)::int from baton.events e where e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'usage') as usages,
        (select coalesce(sum((e.data ->> 'costMicros')::int), 0)::int from baton.events e where e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'usage') as received
      from baton.runs r`)
    const effects = await world.effects()
    for (const row of rows) {
      expect(row.settled, `settled of ${row.run}`).toBe(row.received)
      const begun = effects.filter((line) => line.kind === 'model' && line.runId === row.run).length
      expect(begun).toBeLessThanOrEqual(row.usages + row.estimated)
      expect(begun).toBeGreaterThanOrEqual(row.usages)
    }
    // Tools: each call that ran was paid once, and what never ran was not; a denied or cancelled one is no effect.
    const calls = await world.sql<{ id: string; name: string; state: string; attempts: number; paid: number }>(`
      select c.call_id as id, c.name, c.state, c.attempts, (select coalesce(sum(v.cost_micros), 0)::int from baton.reservations v where v.id = c.charges ->> 'reservation') as paid
      from baton.tool_calls c`)
    const price: Record<string, number> = { echo: 70, charge: 700 }
    for (const call of calls) {
      const lines = effects.filter((line) => line.callId === call.id)
      // A call that was stopped between its start and its effect was given back.
      if (lines.length > 0 || call.paid > 0) expect({ ...call }).toEqual({ ...call, paid: price[call.name] })
      if (call.attempts === 0) expect(call.paid).toBe(0)
      if (call.attempts === 0 || call.state === 'denied') expect(lines).toEqual([])
      if (call.name === 'charge') expect(lines.length).toBeLessThanOrEqual(1)
    }
    const [paidByLedger] = await world.sql<{ n: number }>(
      `select sum(cost_micros)::int as n from baton.reservations where model like 'tool:%'`,
    )
    expect(paidByLedger?.n).toBe(calls.reduce((sum, call) => sum + call.paid, 0))
    // Nothing begins after a kill has ended its run.
    for (const row of rows.filter(({ state }) => state === 'killed')) {
      const late = effects.filter((line) => line.runId === row.run && Date.parse(line.at) > row.ended.getTime() + 100)
      expect(late, `effects of ${row.run} after its end`).toEqual([])
    }
    // One entry for each decision and for each paid call; each approval has ended.
    const [entries] = await world.sql<Record<string, number>>(`select
      (select count(*)::int from baton.approvals where state = 'pending') as pending,
      (select count(*)::int from baton.approvals where state in ('allowed', 'denied')) as decided,
      (select count(*)::int from baton.audit where action = 'approval.decide' and decision = 'recorded') as told,
      (select count(*)::int from baton.audit where action = 'model.call' and decision = 'allowed') as models,
      (select count(*)::int from baton.audit where action = 'tool.call' and decision = 'allowed' and cost_micros is not null) as tools,
      (select count(*)::int from baton.reservations where model like 'tool:%') as paid,
      (select count(*)::int from baton.runs where state = 'killed') as killed,
      (select count(*)::int from baton.audit where action = 'run.kill') as kills,
      (select coalesce(sum(failures), 0)::int from baton.audit_failures) as failures`)
    expect(entries).toMatchObject({
      pending: 0,
      told: entries?.['decided'],
      tools: entries?.['paid'],
      kills: entries?.['killed'],
      failures: 0,
    })
    expect(entries?.['models']).toBe(rows.reduce((sum, row) => sum + row.usages + row.estimated, 0))
    expect(await world.sql('select deadlocks::int as n from pg_stat_database where datname = current_database()')).toEqual([{ n: 0 }])
    const estimated = rows.reduce((sum, row) => sum + row.estimated, 0)
    console.log(
      `${rows.length} runs, ${effects.length} effects, ${calls.length} tool calls, ${estimated} estimated, ${samples} samples, at most ${mostReserved} reserved at once`,
      entries,
    )
    expect(estimated).toBeGreaterThan(0)
    expect(entries?.['killed']).toBeGreaterThan(0)
    expect(entries?.['decided']).toBeGreaterThan(5)
  },
)
