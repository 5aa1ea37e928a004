import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BudgetView } from '#lib/core/budget-store'
import { noUsage } from '#lib/core/run'
import type { Reservation, Settlement } from '#lib/core/commit'
import {
  answered,
  asUser,
  authority,
  claimRequest,
  commit,
  commitOf,
  completed,
  execution,
  hold,
  ids,
  ok,
  openRequest,
  startStore,
  take,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const dollars = (amount: number): number => Math.round(amount * 1_000_000)
const put = async (scope: string, limits: Record<string, number | null>, period: BudgetView['period'] = 'day', by = authority) =>
  ok(await kit.store.putBudget(by, { scope, period }, limits))
const budget = async (scope: string, period: BudgetView['period'] = 'day', by = authority): Promise<BudgetView | undefined> =>
  ok(await kit.store.getBudget(by, { scope, period })).budgets[0]
const reservation = (micros: number, step = 2): Reservation => ({
  id: ids.make('res'),
  step,
  attempt: 0,
  model: 'test/model',
  micros,
  tokens: 10,
})
const renew = async (held: Held, reserve: Reservation) => ok(await kit.store.renew({ ...held, leaseMs: 30_000, reserve }))
const paid = (id: string, costMicros: number): Settlement => ({
  id: id as Settlement['id'],
  costMicros,
  usage: { ...noUsage, inputTokens: 7, outputTokens: 3 },
  estimated: false,
})
const first = async (held: Held): Promise<string> =>
  (await kit.sql<{ id: string }>('select id from baton.reservations where run_id = $1 order by created_at', [held.runId]))[0]?.id ?? ''

test('invariant 9: what is reserved, settled and refused stands in every budget that applies', async () => {
  await put('agent:many', { limitMicros: 10_000 })
  await put('agent:many', { limitMicros: 9_000 }, 'month')
  const held = await hold(kit, 'many', { execute: execution(4_000) })
  for (const period of ['day', 'month'] as const)
    expect(await budget('agent:many', period)).toMatchObject({ reservedMicros: 4_000, spentMicros: 0, calls: 1 })
  const refused = await renew(held, reservation(5_001))
  expect(refused).toMatchObject({ reserved: 'refused', refusal: { scope: 'agent:many', period: 'month', hard: false } })
  expect(refused.refusal).toMatchObject({ limitMicros: 9_000, spentMicros: 0, reservedMicros: 4_000, estimateMicros: 5_001 })
  expect(await budget('agent:many')).toMatchObject({ reservedMicros: 4_000 })
  expect(await renew(held, reservation(5_000))).toMatchObject({ reserved: 'granted' })
  await commit(kit, held, { ...answered(), settle: [paid(await first(held), 1_500)] }, completed)
  // The second was never settled: the end of the run books it in full.
  expect(await budget('agent:many', 'month')).toMatchObject({
    reservedMicros: 0,
    spentMicros: 6_500,
    tokens: 20,
    calls: 2,
    remainingMicros: 2_500,
  })
})

test('invariant 9: a dead epoch is booked as estimated, and its late settlement replaces the estimate', async () => {
  await put('agent:dead', { limitMicros: 10_000 })
  const held = await hold(kit, 'dead', { execute: execution(4_000) })
  await kit.advance(31_000)
  const next = await take(kit, held.agentUid)
  expect(await budget('agent:dead')).toMatchObject({ reservedMicros: 0, spentMicros: 4_000 })
  const settle = { agentUid: held.agentUid, runId: held.runId, settle: [paid(await first(held), 700)] }
  await kit.store.settle(settle)
  await kit.store.settle(settle)
  expect(await budget('agent:dead')).toMatchObject({ reservedMicros: 0, spentMicros: 700, tokens: 10, calls: 1 })
  await commit(kit, next, answered(), completed)
  expect(await budget('agent:dead')).toMatchObject({ spentMicros: 700 })
})

test('invariant 9: a late settlement reaches the limit that was set while its estimate stood', async () => {
  const held = await hold(kit, 'between', { execute: execution(4_000) })
  await kit.advance(31_000)
  await take(kit, held.agentUid)
  for (const period of ['day', 'lifetime'] as const)
    expect((await put('agent:between', { limitMicros: 10_000 }, period)).budgets[0]).toMatchObject({ spentMicros: 4_000 })
  await kit.store.settle({ agentUid: held.agentUid, runId: held.runId, settle: [paid(await first(held), 700)] })
  for (const period of ['day', 'lifetime'] as const)
    expect(await budget('agent:between', period)).toMatchObject({ reservedMicros: 0, spentMicros: 700, tokens: 10, calls: 1 })
})

test('a settlement adjusts the period that it was reserved in, also after midnight', async () => {
  await put('agent:night', { limitMicros: 10_000 })
  const held = await hold(kit, 'night', { execute: execution(4_000) })
  await kit.advance(86_400_000)
  expect(await budget('agent:night')).toMatchObject({ reservedMicros: 0, spentMicros: 0, remainingMicros: 10_000 })
  await kit.store.settle({ agentUid: held.agentUid, runId: held.runId, settle: [paid(await first(held), 3_000)] })
  expect(await budget('agent:night')).toMatchObject({ spentMicros: 0 })
  const days = await kit.sql(
    `select spent_micros::int as spent, reserved_micros::int as reserved from baton.budget_totals where scope = 'agent:night'`,
  )
  expect(days).toEqual([{ spent: 3_000, reserved: 0 }])
})

test('the tenants count apart, and what all share counts for all', async () => {
  const elsewhere = { ...authority, environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'tester' } } }
  await put('agent:same', { limitMicros: 5_000 })
  await hold(kit, 'same', { execute: execution(5_000) })
  await hold(kit, 'same', { ...elsewhere, execute: execution(6_000) })
  expect(await budget('agent:same')).toMatchObject({ reservedMicros: 5_000 })
  expect(await budget('agent:same', 'day', elsewhere)).toBeUndefined()
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
  const two = { ...authority, credential: { operator: { tenant: 'two', name: 'tester' } } }
  await put('global', { limitMicros: dollars(50) }, 'lifetime')
  await hold(kit, 'g', { ...two, execute: execution(2_000) })
  expect(Number((await budget('global', 'lifetime', two))?.reservedMicros)).toBeGreaterThan(2_000)
  expect(await kit.store.putBudget({ ...authority, credential: asUser(ids.uuid()) }, { scope: 'global', period: 'day' }, {})).toMatchObject(
    { ok: false },
  )
  ok(await kit.store.deleteBudget(authority, { scope: 'global' }))
})

test('A65: a limit of zero allows nothing, and a call of no cost all the same', async () => {
  await put('agent:zero', { limitMicros: 0 })
  expect(await kit.store.open(openRequest('zero', { execute: execution(1) }))).toMatchObject({
    ok: false,
    code: 'budget_exceeded',
    scope: 'agent:zero',
  })
  expect(await kit.sql(`select 1 from baton.agents where id = 'zero'`)).toEqual([])
  expect(await kit.store.open(openRequest('zero'))).toMatchObject({ ok: false, code: 'budget_exceeded', estimateMicros: null })
  expect((await hold(kit, 'zero', { execute: execution(0) })).answer).toMatchObject({ reserved: 'granted' })
  await put('agent:none', { limitCalls: 0 })
  expect(await kit.store.open(openRequest('none', { execute: execution(0) }))).toMatchObject({ code: 'budget_exceeded', reason: 'calls' })
})

test('A61: a call above what one call may cost is refused hard, before anything', async () => {
  await put('agent:single', { maxPerCallMicros: dollars(0.1) }, 'lifetime')
  expect(await kit.store.open(openRequest('single', { execute: execution(dollars(0.5)) }))).toMatchObject({
    code: 'budget_exceeded',
    hard: true,
    limitMicros: 100_000,
  })
  expect((await hold(kit, 'single', { execute: execution(dollars(0.1)) })).answer).toMatchObject({ reserved: 'granted' })
  // What limits no sum is not counted: its row would be one more that turns wait for.
  expect(await kit.sql(`select 1 from baton.budget_counters where scope = 'agent:single'`)).toEqual([])
})

test('what is left is reserved where the answer can be cut', async () => {
  await put('agent:cut', { limitMicros: 10_000 })
  const held = await hold(kit, 'cut', { execute: execution(4_000) })
  const least = { micros: 6_000, tokens: 5 }
  const cut = { ...reservation(9_000), least }
  expect(await renew(held, cut)).toMatchObject({ reserved: 'granted', granted: { micros: 6_000, tokens: 10 } })
  expect(await renew(held, cut)).toMatchObject({ reserved: 'granted', granted: { micros: 6_000 } })
  expect(await budget('agent:cut')).toMatchObject({ reservedMicros: 10_000, remainingMicros: 0 })
  expect(await renew(held, { ...reservation(9_000), least: { micros: 1, tokens: 1 } })).toMatchObject({ reserved: 'refused' })
})

test('a real cost above its reservation is booked in full, told, and stops what comes after', async () => {
  await put('agent:over', { limitMicros: 5_000 })
  const held = await hold(kit, 'over', { execute: execution(4_000) })
  await commit(kit, held, { settle: [paid(await first(held), 6_000)], progress: false })
  expect(await budget('agent:over')).toMatchObject({ spentMicros: 6_000, reservedMicros: 0, remainingMicros: 0 })
  expect(await renew(held, reservation(1))).toMatchObject({ reserved: 'refused' })
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['budget'] }))
  expect(data.map((event) => event.data)).toMatchObject([
    { overrun: true, reservedMicros: 4_000, costMicros: 6_000 },
    { level: 100, scope: 'agent:over' },
  ])
  const entries = await kit.sql(
    `select decision, code, estimate_micros::int as estimate, cost_micros::int as cost, total_micros::int as total from baton.audit where action = 'model.call' and run_id = $1 order by id`,
    [held.runId],
  )
  expect(entries).toEqual([
    { decision: 'allowed', code: 'overrun', estimate: 4_000, cost: 6_000, total: 6_000 },
    { decision: 'refused', code: 'budget_exceeded', estimate: 1, cost: null, total: 6_000 },
  ])
})

test('each threshold is told once, by event and webhook', async () => {
  await put('agent:told', { limitMicros: 1_000 })
  const webhook = { url: 'https://example.com/hook', secret: null }
  const run = { id: ids.make('run'), limits: null, metadata: {}, webhook, traceparent: null }
  const held = await hold(kit, 'told', { run, execute: execution(790) })
  await commit(kit, held, { settle: [paid(await first(held), 790)], progress: false }, { reserve: reservation(10) })
  const rest = await kit.sql<{ id: string }>(`select id from baton.reservations where run_id = $1 and state = 'reserved'`, [held.runId])
  await commit(kit, held, { settle: [paid(rest[0]?.id ?? '', 10)], progress: false }, { reserve: reservation(200) })
  const last = await kit.sql<{ id: string }>(`select id from baton.reservations where run_id = $1 and state = 'reserved'`, [held.runId])
  await commit(kit, held, { ...answered(), settle: [paid(last[0]?.id ?? '', 200)] }, completed)
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['budget', 'done'] }))
  expect(data.map((event) => event.data['level'] ?? event.type)).toEqual([80, 'done', 100])
  const sent = await kit.sql<{ type: string }>('select type from baton.webhook_deliveries where run_id = $1 order by created_at, id', [
    held.runId,
  ])
  expect(sent.map((row) => row.type).toSorted()).toEqual(['budget.threshold', 'budget.threshold', 'run.completed'])
})

test('a limit counts what was spent before it was set, reservations in flight included', async () => {
  const held = await hold(kit, 'early', { execute: execution(4_000) })
  await commit(kit, held, { settle: [paid(await first(held), 3_000)], progress: false }, { reserve: reservation(2_000) })
  expect((await put('agent:early', { limitMicros: 6_000 })).budgets[0]).toMatchObject({
    spentMicros: 3_000,
    reservedMicros: 2_000,
    remainingMicros: 1_000,
  })
  expect(await renew(held, reservation(1_001))).toMatchObject({ reserved: 'refused' })
  const open = await kit.sql<{ id: string }>(`select id from baton.reservations where run_id = $1 and state = 'reserved'`, [held.runId])
  await commit(kit, held, { ...answered(), settle: [paid(open[0]?.id ?? '', 500)] }, completed)
  expect(await budget('agent:early')).toMatchObject({ spentMicros: 3_500, reservedMicros: 0, calls: 2 })
})

test('defaults: $5 a user and day, $100 a tenant and day; a row of the user or of all users replaces the first', async () => {
  const id = ids.uuid()
  const other = ids.uuid()
  expect(await budget('tenant')).toMatchObject({ limitMicros: dollars(100), source: 'default' })
  expect(await budget(`user:${id}`)).toMatchObject({ limitMicros: dollars(5), source: 'default' })
  expect(await kit.store.open(openRequest('u1', { credential: asUser(id), execute: execution(dollars(5) + 1) }))).toMatchObject({
    code: 'budget_exceeded',
    scope: `user:${id}`,
  })
  await put('user:*', { limitMicros: dollars(1) })
  await put(`user:${id}`, { limitMicros: dollars(2) })
  expect(await budget(`user:${other}`)).toMatchObject({ limitMicros: dollars(1), source: 'inherited' })
  expect(await kit.store.open(openRequest('u2', { credential: asUser(other), execute: execution(dollars(1) + 1) }))).toMatchObject({
    scope: `user:${other}`,
  })
  await hold(kit, 'u1', { credential: asUser(id), execute: execution(dollars(2)) })
  expect(await budget(`user:${id}`)).toMatchObject({ reservedMicros: dollars(2), source: 'set' })
  expect(await kit.store.getBudget({ ...authority, credential: asUser(id) }, { scope: `user:${id}` })).toMatchObject({
    ok: false,
    code: 'forbidden',
  })
})

test('PUT wakes the runs that wait for room', async () => {
  const held = await hold(kit, 'waits', { execute: execution(0) })
  await commit(kit, held, { progress: false }, { wait: { kind: 'budget', ms: 3_600_000 } })
  expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ code: 'not_due' })
  const { outbox } = await put('agent:waits', { limitMicros: 1 })
  expect(outbox).toMatchObject([{ kind: 'continue', data: { runId: held.runId } }])
  expect((await take(kit, held.agentUid)).runId).toBe(held.runId)
})

test('the ledger outlives its agent, and a zombie may still settle in it', async () => {
  await put('agent:gone', { limitMicros: 10_000 })
  const held = await hold(kit, 'gone', { execute: execution(4_000) })
  const id = await first(held)
  ok(await kit.store.deleteAgent(authority, 'gone'))
  expect(await budget('agent:gone')).toMatchObject({ spentMicros: 4_000, reservedMicros: 0 })
  await kit.store.settle({ agentUid: held.agentUid, runId: held.runId, settle: [paid(id, 900)] })
  expect(await budget('agent:gone')).toMatchObject({ spentMicros: 900 })
  expect(await kit.store.commit(commitOf(held, {}))).toMatchObject({ code: 'lease_lost' })
})

test('usage is the ledger by group, in pages', async () => {
  const range = { from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' }
  const all = ok(await kit.store.usage(authority, { groupBy: 'agent', ...range, after: null, limit: 200 })).data
  expect(all.find((row) => row.group === 'over')).toMatchObject({ calls: 1, settledMicros: 6_000, estimatedMicros: 0, inputTokens: 7 })
  const paged = []
  for (let after: string | null = null; ;) {
    const { data }: { data: typeof all } = ok(await kit.store.usage(authority, { groupBy: 'agent', ...range, after, limit: 3 }))
    paged.push(...data)
    if (data.length < 3) break
    after = data.at(-1)?.group ?? null
  }
  expect(paged).toEqual(all)
  const [sums] = await kit.sql<{ cost: number }>(`select sum(cost_micros)::int as cost from baton.reservations where tenant_id = 'one'`)
  expect(all.reduce((sum, row) => sum + row.costMicros, 0)).toBe(sums?.cost)
})

test('usage counts the calls that were made or may have been: one that is reserved, and none that was given back', async () => {
  const range = { from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' }
  const held = await hold(kit, 'counts', { execute: execution(4_000) })
  const of = async () => {
    const { data } = ok(await kit.store.usage(authority, { groupBy: 'agent', ...range, after: null, limit: 200 }))
    return data.find(({ group }) => group === 'counts')
  }
  expect(await of()).toMatchObject({ calls: 1, reservedMicros: 4_000, settledMicros: 0 })
  const unmade = { ...paid(await first(held), 0), usage: noUsage }
  await commit(kit, held, { ...answered(), settle: [unmade] }, completed)
  expect(await of()).toMatchObject({ calls: 0, reservedMicros: 0, costMicros: 0 })
})
