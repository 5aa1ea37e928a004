import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { answered, authority, commit, completed, hold, ids, ok, startStore, type StoreKit } from '#tests/store/kit'
import { codes, findings, repaired, walked, worked } from '#tests/repair/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const fsck = (repair = false, tenant?: string) => walked(kit, { repair, ...(tenant === undefined ? {} : { tenant }) })

test('run_money_differs and reservation_open: the ledger is right, and money of an ended run is booked', async () => {
  const { agent, runId, secondRun } = await worked(kit, 'money')
  await kit.sql('update baton.runs set cost_micros = cost_micros + 7, reserved_micros = 9 where run_id = $1', [runId])
  await kit.sql(
    `insert into baton.reservations (id, tenant_id, environment, agent_uid, agent_id, run_id, step, attempt, epoch, micros)
      select $2, 'one', 'test', agent_uid, 'money', run_id, 1, 0, 1, 11 from baton.runs where run_id = $1`,
    [secondRun, ids.make('res')],
  )
  const found = await findings(kit, agent)
  expect(codes(found)).toEqual(['reservation_open', 'run_money_differs'])
  expect(found).toContainEqual({ code: 'reservation_open', runId: secondRun, details: { micros: 11 } })
  await repaired(kit, agent)
  expect(
    await kit.sql(
      'select cost_micros::integer as cost, reserved_micros::integer as reserved from baton.runs where run_id = any($1) order by 1',
      [[runId, secondRun]],
    ),
  ).toEqual([
    { cost: 1_000, reserved: 0 },
    { cost: 1_011, reserved: 0 },
  ])
})

test('budget_drift: counters are counted again from the ledger, also one that the ledger knows nothing of', async () => {
  const { runId } = await worked(kit, 'counted')
  // What no counter was told of.
  await kit.sql('update baton.reservations set cost_micros = cost_micros + 11 where run_id = $1', [runId])
  expect(codes((await fsck(true)).budgets)).toEqual(['budget_drift'])
  expect((await fsck()).budgets).toEqual([])
  const before = await kit.sql(`select scope, spent_micros, reserved_micros, tokens from baton.budget_totals order by key`)
  expect(before.length).toBeGreaterThan(0)
  await kit.sql('update baton.budget_counters set spent_micros = spent_micros + 5000, reserved_micros = 77')
  const drift = (await fsck()).budgets
  expect(drift).toMatchObject([
    { code: 'budget_drift', details: { scope: 'tenant', period: 'day', reservedMicros: 77, shouldBeReserved: 0 } },
  ])
  expect((await fsck(false, 'another')).budgets).toEqual([])
  await fsck(true)
  expect((await fsck()).budgets).toEqual([])
  expect(await kit.sql(`select scope, spent_micros, reserved_micros, tokens from baton.budget_totals order by key`)).toEqual(before)
  const key = await kit.sql<{ key: string }>(`select baton.counter_key('test', 'one', 'user:x', 'day') as key`)
  await kit.sql(
    `insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start, reserved_micros) values ($1, 'test', 'one', 'user:x', 'day', baton.period_start('day'), 5)`,
    [key[0]?.key],
  )
  expect((await fsck()).budgets).toMatchObject([{ details: { scope: 'user:x' } }])
  await fsck(true)
  expect((await fsck()).budgets).toEqual([])
  expect(await kit.sql(`select code from baton.audit where action = 'budget.repair'`)).toHaveLength(3)
})

test('budget_drift: a lifetime has spent what its ledger no longer shows, and what all tenants share is looked at where all are', async () => {
  const spent = async (scope: string) => ok(await kit.store.getBudget(authority, { scope, period: 'lifetime' })).budgets[0]?.spentMicros
  for (const scope of ['agent:old', 'global'])
    ok(await kit.store.putBudget(authority, { scope, period: 'lifetime' }, { limitMicros: 1_000_000_000 }))
  const { agentUid } = await worked(kit, 'old')
  const once = await spent('agent:old')
  expect(once).toBeGreaterThan(0)
  await kit.sql('delete from baton.reservations where agent_uid = $1', [agentUid])
  const lifetimes = async (repair: boolean) => (await fsck(repair)).budgets.filter(({ details }) => details['period'] === 'lifetime')
  expect(await lifetimes(false)).toEqual([])
  await kit.sql(
    `update baton.budget_counters set reserved_micros = reserved_micros + 5, reserved_tokens = 9 where scope in ('agent:old', 'global') and period = 'lifetime'`,
  )
  const scopes = (found: Awaited<ReturnType<typeof lifetimes>>) => found.map(({ details }) => details['scope'])
  const ofOne = await fsck(false, 'one')
  expect(scopes(ofOne.budgets.filter(({ details }) => details['period'] === 'lifetime'))).toEqual(['agent:old'])
  expect(scopes(await lifetimes(true))).toEqual(['agent:old', 'global'])
  expect(await lifetimes(false)).toEqual([])
  expect(await spent('agent:old')).toBe(once)
  const left = `select reserved_tokens::integer as left from baton.budget_counters where scope = 'agent:old' and period = 'lifetime'`
  expect(await kit.sql(left)).toEqual([{ left: 0 }])
  ok(await kit.store.deleteBudget(authority, { scope: 'global' }))
})

test('a limit that was lifted is not counted and no drift; what was spent meanwhile counts when a limit applies again', async () => {
  const month = { scope: 'agent:lifted', period: 'month' } as const
  const spent = async (): Promise<number | null | undefined> => ok(await kit.store.getBudget(authority, month)).budgets[0]?.spentMicros
  const limited = async (limitMicros: number | null): Promise<void> => {
    ok(await kit.store.putBudget(authority, month, { limitMicros, limitTokens: null, limitCalls: null, maxPerCallMicros: null }))
  }
  ok(
    await kit.store.putBudget(
      authority,
      { ...month, scope: 'agent:*' },
      { limitMicros: 900_000, limitTokens: null, limitCalls: null, maxPerCallMicros: null },
    ),
  )
  await limited(500_000)
  await worked(kit, 'lifted')
  const once = await spent()
  expect(once).toBeGreaterThan(0)
  await limited(null)
  const held = await hold(kit, 'lifted')
  await commit(kit, held, answered('while it was lifted'), completed)
  expect((await fsck()).budgets).toEqual([])
  // The limit of all agents applies to this one again.
  ok(await kit.store.deleteBudget(authority, month))
  expect(await spent()).toBeGreaterThan(Number(once))
  expect((await fsck()).budgets).toEqual([])
})

test('fsck walks all agents of its environment, repairs what is free and leaves what is at work', async () => {
  for (let n = 0; n < 30; n++) {
    const held = await hold(kit, `many-${n}`)
    await commit(kit, held, answered(), completed)
  }
  const busy = await hold(kit, 'many-busy')
  await kit.sql(`update baton.agents set queued = 3 where id in ('many-3', 'many-busy')`)
  expect(await walked(kit, { environment: 'elsewhere', repair: true })).toMatchObject({ checked: 0, data: [] })
  const looked = await fsck()
  expect(looked.checked).toBeGreaterThan(30)
  expect(looked.data.map(({ agentId }) => agentId).toSorted()).toEqual(['many-3', 'many-busy'])
  const mended = await fsck(true)
  expect(mended.data.find(({ agentId }) => agentId === 'many-3')).toMatchObject({ left: [], repaired: [{ code: 'counter_differs' }] })
  expect(mended.data.find(({ agentId }) => agentId === 'many-busy')).toMatchObject({ busy: true })
  await kit.sql(`update baton.agents set queued = 0 where id = 'many-busy'`)
  await commit(kit, busy, answered(), completed)
  expect((await fsck()).data).toEqual([])
  expect(ok(await kit.store.consistency(authority, 'many-3')).findings).toEqual([])
})

test('run_money_differs: of a run that goes on, too, and while the ledger is kept', async () => {
  const held = await hold(kit, 'goes-on')
  await commit(kit, held, { progress: false }, { release: 'slice_deadline' })
  await kit.sql('update baton.runs set cost_micros = 7 where run_id = $1', [held.runId])
  const before = (days: number) =>
    kit.sql(`update baton.runs set created_at = baton.clock() - $2::integer * interval '1 day' where run_id = $1`, [held.runId, days])
  await before(391)
  expect(await findings(kit, 'goes-on')).toEqual([])
  await before(389)
  expect(await findings(kit, 'goes-on')).toMatchObject([{ code: 'run_money_differs', details: { is: 7, shouldBe: 0 } }])
  await repaired(kit, 'goes-on')
})

test('fsck repairs one agent a call, hands out what it has woken, and waits for nobody who holds another', async () => {
  await kit.store.ensureTenant({ id: 'mended', environment: 'test', secret: 'sealed' })
  const of: Authority = { ...authority, credential: { operator: { tenant: 'mended', name: 'tester' } } }
  const stuck = async (agent: string) => {
    const held = await hold(kit, agent, of)
    await commit(kit, held, { progress: false }, { release: 'slice_deadline' })
    await kit.sql('update baton.runs set due_at = null where run_id = $1', [held.runId])
    return held
  }
  const [locked, first, second] = [await stuck('locked'), await stuck('first'), await stuck('second')]
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  const pages: Awaited<ReturnType<typeof kit.store.fsck>>[] = []
  try {
    await client.query('begin')
    await client.query('select 1 from baton.agents where agent_uid = $1 for update', [locked.agentUid])
    for (let after: string | null = null; pages.length === 0 || after !== null; after = pages.at(-1)?.next ?? null)
      pages.push(await kit.store.fsck({ environment: 'test', tenant: 'mended', after, repair: true }))
  } finally {
    await client.end()
  }
  expect(pages.flatMap(({ data }) => data)).toMatchObject([
    { agentId: 'locked', busy: true },
    { agentId: 'first', repaired: [{ code: 'run_stuck' }], left: [] },
    { agentId: 'second', repaired: [{ code: 'run_stuck' }], left: [] },
  ])
  for (const { data } of pages) expect(data.filter(({ repaired: mended }) => mended !== undefined).length).toBeLessThan(2)
  const woken = pages.flatMap(({ outbox }) => outbox.map(({ data }) => data.runId))
  expect(woken).toEqual([first.runId, second.runId])
})
