import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Verdict } from '#lib/core/budget'
import { poll } from '#local/poll'
import { authority, execution, hold, ids, ok, startStore, type StoreKit } from '#tests/store/kit'

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
  const clients = [1, 2].map(() => new pg.Client({ connectionString: kit.databaseUrl, query_timeout: 20_000 }))
  for (const client of clients) await client.connect()
  const renew = async (at: 0 | 1): Promise<unknown> => {
    const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 1_000, tokens: 10 }
    const argument = JSON.stringify({ ...held[at], answer: null, leaseMs: 30_000, reserve })
    const { rows } = (await clients[at]?.query<{ answer: Verdict }>('select public.baton_renew($1::jsonb) as answer', [argument])) ?? {
      rows: [],
    }
    return rows[0]?.answer.reserved
  }
  try {
    await clients[0]?.query('begin')
    expect(await renew(0)).toBe('granted')
    const second = renew(1)
    const blocked = `select 1 from pg_locks where not granted and pid <> pg_backend_pid()`
    await poll(async () => (await kit.sql(blocked)).length > 0, { everyMs: 20, forMs: 2_000 })
    await clients[0]?.query('commit')
    expect(await second).toBe('refused')
  } finally {
    for (const client of clients) await client.end()
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
    const blocked = `select 1 from pg_locks where not granted and pid <> pg_backend_pid()`
    expect(await poll(async () => (await kit.sql(blocked)).length > 0, { everyMs: 20, forMs: 5_000 })).toBe(true)
    await client.query('commit')
    expect(ok(await reserved).reserved).toBe('granted')
  } finally {
    await client.end()
  }
  const [budget] = ok(await kit.store.getBudget(of, { scope: 'tenant', period: 'lifetime' })).budgets
  expect(budget).toMatchObject({ reservedMicros: 1_000 })
})
