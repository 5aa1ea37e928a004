import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { authority, commit, execution, hold, ids, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

/* Two tenants of one database that name things alike, and two environments of it, where no other test saw one reach into the other (scripts/mutations/unheard-in-sql). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
})
afterAll(() => kit.close())

const two: Authority = { ...authority, credential: { operator: { tenant: 'two', name: 'tester' } } }
const elsewhere: Authority = { ...authority, environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'tester' } } }
const failed = { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } } as const

test('invariant 1: operators of one name in two tenants may have the same key; each finds the run of their own', async () => {
  const send = async (by: Authority) =>
    ok(await kit.store.open(openRequest('keyed', { ...by, idempotency: { key: 'the-same', hash: 'h' } })))
  const [mine, theirs] = [await send(authority), await send(two)]
  expect(theirs.replayed).toBe(false)
  expect(await send(authority)).toMatchObject({ replayed: true, run: { id: mine.run.id } })
  expect(await send(two)).toMatchObject({ replayed: true, run: { id: theirs.run.id } })
})

test('invariant 1: a key whose request is refused in one tenant is kept in another', async () => {
  const idempotency = { key: 'refused', hash: 'h' }
  const request = openRequest('kept', { idempotency })
  ok(await kit.store.open(request))
  const absent = { ...openRequest('absent', { ...two, idempotency }), agent: { ...request.agent, mustExist: true } }
  expect(await kit.store.open(absent)).toMatchObject({ ok: false, code: 'precondition_failed' })
  expect(ok(await kit.store.open(openRequest('kept', { idempotency }))).replayed).toBe(true)
})

test('invariant 1: operators of one name in two tenants may have the same key for a bulk retry; each is told of their own runs', async () => {
  const chosen = async (by: Authority) =>
    ok(await kit.store.retryCandidates(by, { filter: {}, limit: 1, newRunIds: [ids.make('run')], idempotency: { key: 'bulk', hash: 'h' } }))
  const answers = []
  for (const by of [authority, two]) {
    const held = await hold(kit, 'fails', by)
    await commit(kit, held, {}, failed)
    const { replayed, data } = await chosen(by)
    expect({ replayed, data }).toMatchObject({ replayed: false, data: [{ runId: held.runId }] })
    answers.push(data)
  }
  for (const [at, by] of [authority, two].entries()) expect(await chosen(by)).toMatchObject({ replayed: true, data: answers[at] })
})

const global = { scope: 'global', period: 'lifetime' } as const

test('invariant 9: a limit of all tenants holds in its environment alone, and counts nothing of another', async () => {
  // Whoever has no limit of their own is not even asked for it.
  ok(await kit.store.putBudget(elsewhere, { scope: 'tenant', period: 'day' }, { limitMicros: 1_000_000 }))
  const counted = async () => ok(await kit.store.putBudget(authority, global, { limitMicros: 0 })).budgets[0]
  const before = await counted()
  await hold(kit, 'paid', { ...elsewhere, execute: execution(2_000) })
  expect(await counted()).toMatchObject({ reservedMicros: before?.reservedMicros, spentMicros: before?.spentMicros })
  ok(await kit.store.deleteBudget(authority, global))
})

test('a limit of all tenants that is changed wakes no run of another environment', async () => {
  const held = await hold(kit, 'asleep', { ...elsewhere, execute: execution(0) })
  await commit(kit, held, { progress: false }, { wait: { kind: 'budget', ms: 3_600_000 } })
  const due = () => kit.sql('select due_at from baton.runs where run_id = $1', [held.runId])
  const asleep = await due()
  expect(ok(await kit.store.putBudget(authority, global, { limitMicros: 1_000_000_000 })).outbox).toEqual([])
  expect(await due()).toEqual(asleep)
  ok(await kit.store.deleteBudget(authority, global))
})

test('two environments on one database: nothing is changed, counted, exported or erased across', async () => {
  const id = ids.uuid()
  await hold(kit, 'theirs', { ...elsewhere, credential: { user: { id, tenant: 'other' } } })
  const range = { from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' }
  const seen = async (by: Authority) => ({
    patched: await kit.store.patchAgent(by, 'theirs', { metadata: { a: 1 } }),
    usage: ok(await kit.store.usage(by, { groupBy: 'user', ...range, after: null, limit: 10 })).data.map(({ group }) => group),
    runs: ok(await kit.store.stats(by, range)).runs.total > 0,
    page: await kit.store.exportPage(by, { scope: 'agent:theirs', at: null }),
    erased: ok(await kit.store.erase(by, { scope: `user:${id}`, confirm: null })).agents,
  })
  const none = { ok: false, code: 'agent_not_found' }
  expect(await seen({ ...elsewhere, environment: 'test' })).toMatchObject({ patched: none, usage: [], runs: false, page: none, erased: 0 })
  const found = await seen(elsewhere)
  expect(found).toMatchObject({ patched: { ok: true }, runs: true, page: { ok: true }, erased: 1 })
  expect(found.usage).toContain(id)
})
