import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Verdict } from '#lib/core/budget'
import { poll } from '#local/poll'
import { authority, commit, execution, hold, ids, ok, startStore, toolCall, type Held, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

/** The operator of a tenant of its own, whose default of the day is lifted: only what the test sets limits it. */
async function freshTenant(name: string): Promise<typeof authority> {
  await kit.store.ensureTenant({ id: name, environment: 'test', secret: 'sealed' })
  const of = { ...authority, credential: { operator: { tenant: name, name: 'tester' } } }
  ok(await kit.store.putBudget(of, { scope: 'tenant', period: 'day' }, { limitMicros: null }))
  return of
}

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: kit.databaseUrl, query_timeout: 20_000 })
  await client.connect()
  return client
}

/** Reserves in whatever transaction the client has open. */
async function reserveBy(client: pg.Client, run: Held | undefined, micros: number): Promise<unknown> {
  const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros, tokens: 10 }
  const argument = JSON.stringify({ ...run, answer: null, leaseMs: 30_000, reserve })
  for (let more = 10; ; more--) {
    try {
      const { rows } = await client.query<{ answer: Verdict }>('select public.baton_renew($1::jsonb) as answer', [argument])
      return rows[0]?.answer.reserved
    } catch (error) {
      // The time-out of a lock that was held by a machine at a halt.
      if (more === 0 || (error as { code?: unknown }).code !== '55P03') throw error
    }
  }
}

const blocked = async (): Promise<boolean> =>
  (await kit.sql(`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).length > 0

test.each([
  ['one counter', 'solo', []],
  ['several counters', 'many', ['agent:*', 'global']],
])('A60: of 24 that reserve at once under one limit of 10, ten are granted (%s)', async (_, tenant, more) => {
  const of = await freshTenant(tenant)
  for (const scope of more) ok(await kit.store.putBudget(of, { scope, period: 'month' }, { limitMicros: 1_000_000 }))
  const held = await Promise.all(
    Array.from({ length: 24 }, (_run, index) => hold(kit, `${tenant}-${index}`, { ...of, execute: execution(0) })),
  )
  ok(await kit.store.putBudget(of, { scope: 'tenant', period: 'lifetime' }, { limitMicros: 10_000 }))
  const verdicts = await Promise.all(
    held.map(async (run) => {
      const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 1_000, tokens: 10 }
      return ok(await kit.store.renew({ ...run, leaseMs: 30_000, reserve })).reserved
    }),
  )
  expect(verdicts.filter((verdict) => verdict === 'granted')).toHaveLength(10)
  expect(verdicts.filter((verdict) => verdict === 'refused')).toHaveLength(14)
  const [budget] = ok(await kit.store.getBudget(of, { scope: 'tenant', period: 'lifetime' })).budgets
  expect(budget).toMatchObject({ spentMicros: 0, reservedMicros: 10_000, remainingMicros: 0 })
  const rows = await kit.sql(`select count(*)::int as n from baton.reservations where tenant_id = $1 and micros > 0`, [tenant])
  expect(rows).toEqual([{ n: 10 }])
})

test.each([
  ['one counter', 'wait-one', []],
  ['several counters', 'wait-many', ['agent:*']],
])('invariant 9: a reservation waits for one whose transaction is still open (%s)', async (_, tenant, more) => {
  const of = await freshTenant(tenant)
  for (const scope of more) ok(await kit.store.putBudget(of, { scope, period: 'month' }, { limitMicros: 1_000_000 }))
  const held = await Promise.all([1, 2].map((index) => hold(kit, `${tenant}-${index}`, { ...of, execute: execution(0) })))
  ok(await kit.store.putBudget(of, { scope: 'tenant', period: 'lifetime' }, { limitMicros: 1_000 }))
  const clients = [await connected(), await connected()] as const
  try {
    await clients[0].query('begin')
    expect(await reserveBy(clients[0], held[0], 1_000)).toBe('granted')
    const second = reserveBy(clients[1], held[1], 1_000)
    await poll(blocked, { everyMs: 20, forMs: 60_000 })
    await clients[0].query('commit')
    expect(await second).toBe('refused')
  } finally {
    for (const client of clients) await client.end()
  }
})

test.each([
  ['a large one for a small one that nobody sees yet', 'wait-large', 55_000, 9_000],
  ['a small one near the limit for another in a different part', 'wait-near', 63_000, 1_000],
])('invariant 9: of a counter with parts %s waits', async (_, tenant, used, micros) => {
  const of = await freshTenant(tenant)
  await hold(kit, `${tenant}-before`, { ...of, execute: execution(used) })
  const held = await Promise.all([1, 2].map((index) => hold(kit, `${tenant}-${index}`, { ...of, execute: execution(0) })))
  ok(await kit.store.putBudget(of, { scope: 'tenant', period: 'lifetime' }, { limitMicros: 64_000 }))
  const first = await connected()
  let second = await connected()
  const partOf = async (client: pg.Client): Promise<unknown> => (await client.query('select pg_backend_pid() % 8 as part')).rows[0]
  try {
    while (JSON.stringify(await partOf(first)) === JSON.stringify(await partOf(second))) {
      await second.end()
      second = await connected()
    }
    await first.query('begin')
    expect(await reserveBy(first, held[0], 1_000)).toBe('granted')
    const answer = reserveBy(second, held[1], micros)
    await poll(blocked, { everyMs: 20, forMs: 60_000 })
    await first.query('commit')
    expect(await answer).toBe('refused')
  } finally {
    for (const client of [first, second]) await client.end()
  }
})

test('a limit that is set while others reserve counts all of them', async () => {
  const of = await freshTenant('late')
  const held = await Promise.all(Array.from({ length: 16 }, (_run, index) => hold(kit, `late-${index}`, { ...of, execute: execution(0) })))
  const reserving = held.map(async (run) => {
    const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 1_000, tokens: 10 }
    return ok(await kit.store.renew({ ...run, leaseMs: 30_000, reserve })).reserved
  })
  const putting = kit.store.putBudget(of, { scope: 'tenant', period: 'lifetime' }, { limitMicros: 8_000 })
  await Promise.all([...reserving, putting])
  const [budget] = ok(await kit.store.getBudget(of, { scope: 'tenant', period: 'lifetime' })).budgets
  const [ledger] = await kit.sql<{ reserved: number }>(
    `select coalesce(sum(micros), 0)::int as reserved from baton.reservations where tenant_id = 'late' and state = 'reserved'`,
  )
  expect(budget?.reservedMicros).toBe(ledger?.reserved)
})

test('invariant 9: a limit that is set beside an open reservation counts it', async () => {
  const of = await freshTenant('beside')
  const run = await hold(kit, 'beside', { ...of, execute: execution(0) })
  const client = new pg.Client({ connectionString: kit.databaseUrl, query_timeout: 20_000 })
  await client.connect()
  try {
    // The limit stands, and nobody sees it yet.
    await client.query('begin')
    const limit = JSON.stringify({ ...of, scope: 'tenant', period: 'lifetime', limitMicros: 8_000 })
    await client.query('select public.baton_put_budget($1::jsonb)', [limit])
    const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 1_000, tokens: 10 }
    const reserved = kit.store.renew({ ...run, leaseMs: 30_000, reserve })
    expect(await poll(blocked, { everyMs: 20, forMs: 60_000 })).toBe(true)
    await client.query('commit')
    expect(ok(await reserved).reserved).toBe('granted')
  } finally {
    await client.end()
  }
  const [budget] = ok(await kit.store.getBudget(of, { scope: 'tenant', period: 'lifetime' })).budgets
  expect(budget).toMatchObject({ reservedMicros: 1_000 })
})

test('a counter that is made while it is waited for is waited for in its place, with none of the later ones in hand', async () => {
  const of = await freshTenant('in-place')
  for (const scope of ['agent:*', 'tenant'])
    ok(await kit.store.putBudget(of, { scope, period: 'lifetime' }, { limitMicros: 1_000_000_000 }))
  await hold(kit, 'in-place-1', { ...of, execute: execution(0) })
  const other = await connected()
  try {
    await other.query('begin')
    await other.query(
      `insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start)
      values (baton.counter_key('test', 'in-place', 'agent:in-place-2', 'lifetime'), 'test', 'in-place', 'agent:in-place-2', 'lifetime', 'epoch')`,
    )
    const held = hold(kit, 'in-place-2', { ...of, execute: execution(0) })
    expect(await poll(blocked, { everyMs: 20, forMs: 60_000 })).toBe(true)
    // What comes next for the other one: were it taken, both would wait for each other.
    const next = `select 1 from baton.budget_counters where key = baton.counter_key('test', 'in-place', 'tenant', 'lifetime') for update nowait`
    expect((await other.query(next)).rowCount).toBe(1)
    await other.query('commit')
    await held
  } finally {
    await other.end()
  }
})

test('invariant 9: a counter that comes while it is looked for is waited for together with its parts', async () => {
  const of = await freshTenant('between')
  ok(await kit.store.putBudget(of, { scope: 'tenant', period: 'lifetime' }, { limitMicros: 1_000_000_000 }))
  const key = `baton.counter_key('test', 'between', 'tenant', 'lifetime')`
  const maker = await connected()
  const seeker = await connected()
  try {
    // Its plans are made before: to make them it looks at all tables.
    await seeker.query(`select baton.lock_counter('none')`)
    await maker.query('begin')
    await maker.query(
      `insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start)
      values (${key}, 'test', 'between', 'tenant', 'lifetime', 'epoch')`,
    )
    await maker.query(`select baton.make_parts(${key}, 'tenant')`)
    // Holds up whoever looks for a counter, and nobody who looks for parts.
    await maker.query('lock table baton.budget_counters in access exclusive mode')
    await seeker.query('begin')
    const locked = seeker.query<{ scope: string }>(`select c.scope from baton.lock_counter(${key}) c`)
    expect(await poll(blocked, { everyMs: 20, forMs: 60_000 })).toBe(true)
    await maker.query('commit')
    expect((await locked).rows).toEqual([{ scope: 'tenant' }])
    // Were they free, somebody would take them and then wait for the counter, and whoever has that would wait for them.
    expect(await kit.sql(`select p.part from baton.budget_parts p where p.key = ${key} for update skip locked`)).toEqual([])
  } finally {
    for (const client of [maker, seeker]) await client.end()
  }
})

test('a settlement that waits for a new limit has none of the entries in hand that the limit must mark', async () => {
  const of = await freshTenant('marks')
  const execute = execution(1_000)
  const held = await hold(kit, 'marks', { ...of, execute })
  const id = execute.reserve?.id ?? ids.make('res')
  const setter = await connected()
  try {
    await setter.query('begin')
    await setter.query('lock table baton.reservations in share row exclusive mode')
    const usage = { inputTokens: 1, outputTokens: 1 } as never
    const settled = commit(kit, held, { settle: [{ id, costMicros: 900, usage, estimated: false }] }, {})
    expect(await poll(blocked, { everyMs: 20, forMs: 60_000 })).toBe(true)
    expect((await setter.query('select 1 from baton.reservations where id = $1 for update nowait', [id])).rowCount).toBe(1)
    await setter.query('commit')
    await settled
  } finally {
    await setter.end()
  }
  expect(await kit.sql('select state, cost_micros::int as cost from baton.reservations where id = $1', [id])).toEqual([
    { state: 'settled', cost: 900 },
  ])
})

test('a call that is paid for while a day ends is charged to the counters that are locked for it, and stands in the ledger of that day', async () => {
  const of = await freshTenant('midnight')
  ok(await kit.store.putBudget(of, { scope: 'tenant', period: 'day' }, { limitMicros: 1_000_000 }))
  ok(await kit.store.putBudget(of, { scope: 'tool:paid', period: 'lifetime' }, { limitCalls: 1_000 }))
  const start = async (name: string): Promise<void> => {
    const held = await hold(kit, name, { ...of, execute: execution(0) })
    const call = toolCall(0, { name: 'paid', costMicros: 5 })
    await commit(kit, held, { calls: [call], count: { step: 1 } }, { start: [call.callId] })
  }
  /** Milliseconds that are left of the day on the database's clock; it jumps up when the next one begins. */
  const leftOfDay = async (): Promise<number> =>
    Number((await kit.sql<{ ms: string }>(`select baton.millis(baton.resets_at('day') - baton.clock()) as ms`))[0]?.ms)
  await start('midnight-1')
  const other = await connected()
  try {
    for (let attempt = 2; ; attempt++) {
      await kit.advance((await leftOfDay()) - 1_500)
      await start(`midnight-before-${attempt}`)
      await other.query('begin')
      await other.query(`select 1 from baton.budget_counters where tenant_id = 'midnight' and scope = 'tool:paid' for update`)
      const second = start(`midnight-${attempt}`)
      expect(await poll(blocked, { everyMs: 20, forMs: 60_000 })).toBe(true)
      // A slow machine was late: the next day is as good.
      const inTime = (await leftOfDay()) <= 3_000
      if (inTime) expect(await poll(async () => (await leftOfDay()) > 3_000, { everyMs: 50, forMs: 60_000 })).toBe(true)
      await other.query('commit')
      await second
      if (inTime) break
      expect(attempt).toBeLessThan(10)
    }
  } finally {
    await other.end()
  }
  const charged = await kit.sql<{ day: string; began: string; booked: string }>(
    `select split_part(k.key, '|', 4) as day, to_char(c.created_at at time zone 'UTC', 'YYYY-MM-DD') as began, to_char(v.created_at at time zone 'UTC', 'YYYY-MM-DD') as booked
      from baton.tool_calls c join baton.reservations v on v.id = c.charges ->> 'reservation'
      cross join lateral jsonb_array_elements_text(c.charges -> 'keys') k(key) where c.tenant_id = 'midnight' and k.key like '%|day|%' order by c.call_id desc limit 1`,
  )
  const day = charged[0]?.began
  expect(charged).toEqual([{ day, began: day, booked: day }])
})
