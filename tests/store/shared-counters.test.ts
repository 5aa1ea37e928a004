import { afterAll, beforeAll, expect, test } from 'vitest'
import { noUsage } from '#lib/core/run'
import type { Settlement } from '#lib/core/commit'
import type { AgentUid, RunId } from '#lib/core/ids'
import { walked } from '#tests/repair/kit'
import { authority, execution, hold, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const limit = 128_000
const amount = 1_000
const totals = async (): Promise<unknown> =>
  (
    await kit.sql(
      `select t.reserved_micros::int as reserved, t.spent_micros::int as spent, t.calls::int as calls, t.told from baton.budget_totals t where t.scope = 'tenant' and t.period = 'lifetime'`,
    )
  )[0]
const inParts = async (): Promise<number> =>
  Number(
    (
      await kit.sql(`select coalesce(sum(abs(p.reserved_micros)), 0) as held from baton.budget_parts p where p.key like '%|lifetime|%'`)
    )[0]?.['held'],
  )

/** As late settlements, for that needs no lease: all at once. */
async function settleAll(): Promise<void> {
  const usage = { ...noUsage, inputTokens: 7, outputTokens: 3 }
  const ledger = await kit.sql<{ id: Settlement['id']; run_id: RunId; agent_uid: AgentUid }>(
    `select id, run_id, agent_uid from baton.reservations where state = 'reserved'`,
  )
  await Promise.all(
    ledger.map(({ id, run_id: runId, agent_uid: agentUid }) =>
      kit.store.settle({ agentUid, runId, settle: [{ id, costMicros: amount, usage, estimated: false }] }),
    ),
  )
}

test('invariant 9: reservations that come at once fill a limit that many share to its last part, and not more; each threshold is told once', async () => {
  ok(await kit.store.putBudget(authority, { scope: 'tenant', period: 'lifetime' }, { limitMicros: limit }))
  // Whoever comes first makes the counter.
  await hold(kit, 'first', { execute: execution(amount) })
  await Promise.all(Array.from({ length: 103 }, (_, n) => hold(kit, `few-${n}`, { execute: execution(amount) })))
  expect(await totals()).toEqual({ reserved: 104 * amount, spent: 0, calls: 104, told: 0 })
  expect(await inParts(), 'far from the limit nobody waits for the one row').toBe(103 * amount)
  await settleAll()
  expect(await totals()).toEqual({ reserved: 0, spent: 104 * amount, calls: 104, told: 80 })
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, n) => kit.store.open(openRequest(`many-${n}`, { execute: execution(amount) }))),
  )
  expect(await totals()).toEqual({ reserved: 24 * amount, spent: 104 * amount, calls: 128, told: 80 })
  for (const answer of answers)
    if (!answer.ok) expect(answer).toMatchObject({ code: 'budget_exceeded', scope: 'tenant', limitMicros: limit })
  await settleAll()
  expect(await totals()).toEqual({ reserved: 0, spent: limit, calls: 128, told: 100 })
  const levels = await kit.sql(
    `select data ->> 'level' as level from baton.events where type = 'budget' and data ->> 'level' is not null order by 1 desc`,
  )
  expect(levels).toEqual([{ level: '80' }, { level: '100' }])
  expect(await kit.sql(`select count(*)::int as n, sum(cost_micros)::int as micros from baton.reservations`)).toEqual([
    { n: 128, micros: limit },
  ])
})

test('a limit that is set while runs are under way counts what stands in the parts; without it the default counts on', async () => {
  const other = { ...authority, credential: { operator: { tenant: 'parted', name: 'tester' } } }
  await kit.store.ensureTenant({ id: 'parted', environment: 'test', secret: 'sealed' })
  const put = (limitMicros: number) => kit.store.putBudget(other, { scope: 'tenant', period: 'day' }, { limitMicros })
  const budget = async () => ok(await kit.store.getBudget(other, { scope: 'tenant', period: 'day' })).budgets[0]
  await Promise.all(Array.from({ length: 8 }, (_, n) => hold(kit, `p${n}`, { ...other, execute: execution(amount) })))
  expect(await budget()).toMatchObject({ source: 'default', reservedMicros: 8 * amount })
  ok(await put(8 * amount))
  expect(await budget()).toMatchObject({ source: 'set', reservedMicros: 8 * amount, remainingMicros: 0 })
  expect(await kit.store.open(openRequest('p8', { ...other, execute: execution(amount) }))).toMatchObject({ code: 'budget_exceeded' })
  ok(await kit.store.deleteBudget(other, { scope: 'tenant', period: 'day' }))
  await hold(kit, 'p9', { ...other, execute: execution(amount) })
  await hold(kit, 'p10', { ...other, execute: execution(amount) })
  expect(await budget()).toMatchObject({ source: 'default', reservedMicros: 10 * amount })
  expect(ok(await kit.store.fsck({ environment: 'test', tenant: 'parted', after: null, repair: false })).budgets).toEqual([])
})

test('keys that have spent before `key:*` gets a limit have parts, too', async () => {
  const other = { ...authority, credential: { operator: { tenant: 'keyed', name: 'tester' } } }
  await kit.store.ensureTenant({ id: 'keyed', environment: 'test', secret: 'sealed' })
  await hold(kit, 'by-key', { ...other, execute: execution(amount) })
  await kit.sql(`update baton.reservations set created_by = 'key:shop' where tenant_id = 'keyed'`)
  ok(await kit.store.putBudget(other, { scope: 'key:*', period: 'month' }, { limitMicros: limit }))
  const parts = `select count(*)::int as n from baton.budget_parts p join baton.budget_counters c using (key) where c.tenant_id = 'keyed' and c.scope = 'key:shop'`
  expect(await kit.sql(parts)).toEqual([{ n: 8 }])
})

test('invariant 9: a rotated key goes on with what is spent of its budgets, also when they are counted anew', async () => {
  const other = { ...authority, credential: { operator: { tenant: 'rotated', name: 'tester' } } }
  await kit.store.ensureTenant({ id: 'rotated', environment: 'test', secret: 'sealed' })
  const as = (letter: string) => ({ ...authority, credential: { keyHash: letter.repeat(64) } })
  const made = (letter: string) => ({ id: `key_${letter}`, hash: letter.repeat(64), prefix: 'bt_x' })
  const put = async (scope: string, period: 'day' | 'lifetime') =>
    ok(await kit.store.putBudget(other, { scope, period }, { limitMicros: limit }))
  const budgets = async (letter: string) =>
    ok(await kit.store.getBudget(other, { scope: `key:key_${letter}` })).budgets.toSorted((one, two) =>
      one.period.localeCompare(two.period),
    )
  const drift = async () => (await walked(kit, { tenant: 'rotated', repair: true })).budgets
  ok(await kit.store.createKey(other, { ...made('a'), name: 'x', scopes: ['agents:run'], expiresAt: null }))
  await put('key:key_a', 'lifetime')
  await put('key:*', 'day')
  await hold(kit, 'settled', { ...as('a'), execute: execution(amount) })
  await settleAll()
  await hold(kit, 'open', { ...as('a'), execute: execution(amount) })
  ok(await kit.store.rotateKey(other, 'key_a', { ...made('b'), overlapMs: 0 }))
  // What is set aside counts as spent there: it is given back to the key that had it alone.
  const spent = { spentMicros: 2 * amount, reservedMicros: 0, calls: 2, limitMicros: limit }
  expect(await budgets('b')).toMatchObject([
    { ...spent, period: 'day', source: 'inherited' },
    { ...spent, period: 'lifetime', source: 'set' },
  ])
  expect(await drift()).toEqual([])
  await hold(kit, 'next', { ...as('b'), execute: execution(amount) })
  await settleAll()
  await put('key:key_b', 'day')
  await put('key:key_b', 'lifetime')
  const all = { spentMicros: 3 * amount, reservedMicros: 0, calls: 3 }
  expect(await budgets('b')).toMatchObject([all, all])
  expect(await drift()).toEqual([])
  await kit.sql(`update baton.budget_counters set spent_micros = 1 where scope in ('key:key_a', 'key:key_b') and period = 'day'`)
  expect(await drift()).toHaveLength(2)
  expect((await budgets('a')).map(({ spentMicros }) => spentMicros)).toEqual([2 * amount, 2 * amount])
  ok(await kit.store.rotateKey(other, 'key_b', { ...made('c'), overlapMs: 0 }))
  expect(await budgets('c')).toMatchObject([all, all])
  // It has spent nothing itself: all that it counts is from before.
  await kit.sql(`update baton.budget_counters set spent_micros = 1 where scope = 'key:key_c' and period = 'day'`)
  expect(await drift()).toHaveLength(1)
  expect(await budgets('c')).toMatchObject([all, all])
})
