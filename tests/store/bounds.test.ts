import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { askedCall, facts, paused } from '#tests/approvals/kit'
import { endedRun, register, success, attempt } from '#tests/webhooks/kit'
import {
  answered,
  asUser,
  authority,
  commit,
  hold,
  ids,
  ok,
  openRequest,
  settings,
  startStore,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

/* Where one caller, agent, tenant or environment ends and another begins, on paths that no other test noticed (scripts/mutations/bounds). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
})
afterAll(() => kit.close())

const two: Authority = { ...authority, credential: { operator: { tenant: 'two', name: 'tester' } } }
const elsewhere: Authority = { ...authority, environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'tester' } } }
const stateOf = async (runId: string, by = authority) => ok(await kit.store.getRun(by, runId)).run.state
const noLimits = { limitMicros: 1_000, limitTokens: null, limitCalls: null, maxPerCallMicros: null }

test('A86: an interrupt that names the run of another agent, of this tenant or another one, ends nothing', async () => {
  await hold(kit, 'mine')
  const theirs = [await hold(kit, 'theirs'), await hold(kit, 'theirs', two)]
  for (const { runId } of theirs)
    expect(await kit.store.stop(authority, { agent: 'mine', runId }, 'interrupted', null)).toMatchObject({ code: 'run_not_found' })
  expect([await stateOf(theirs[0]?.runId ?? ''), await stateOf(theirs[1]?.runId ?? '', two)]).toEqual(['running', 'running'])
})

test('invariant 1: two callers of a tenant may have the same key; each finds the run of their own', async () => {
  const second: Authority = { ...authority, credential: { operator: { tenant: 'one', name: 'second' } } }
  const idempotency = { key: 'the-same', hash: 'h' }
  const send = async (by: Authority) => ok(await kit.store.open({ ...openRequest('keyed', { ...by, idempotency }) }))
  const runs = [(await send(authority)).run.id, (await send(second)).run.id]
  expect(new Set(runs).size).toBe(2)
  for (const runId of runs) ok(await kit.store.stop(authority, { runId }, 'cancelled', null))
  await kit.advance(25 * 3_600_000)
  // What another environment does not keep any longer is its own.
  await kit.store.prune({ environment: 'elsewhere', limit: 1_000 })
  for (const by of [second, authority])
    expect(await send(by)).toMatchObject({ replayed: true, run: { id: by === second ? runs[1] : runs[0] } })
})

test('a switch of everything is lifted in its own environment and stands in the others', async () => {
  for (const by of [authority, elsewhere]) ok(await kit.store.setSwitch(by, { scope: 'global', mode: 'hold', reason: 'a test' }))
  ok(await kit.store.liftSwitch(elsewhere, { scope: 'global', reason: null }))
  expect(ok(await kit.store.listSwitches(authority, { limit: 10, after: null })).data).toMatchObject([{ scope: 'global' }])
  ok(await kit.store.liftSwitch(authority, { scope: 'global', reason: null }))
})

test('the sweep of another environment decides nothing of this one, for its rows would go to another clock', async () => {
  const call = askedCall(0, {}, { expiresMs: 1_000 })
  const outside = toolCall(1, { effect: 'external', name: 'outside' })
  const held = await paused(kit, 'swept-elsewhere', [call, outside])
  const looked = async () => {
    const { approvals, calls } = await facts(kit, held)
    return [approvals[0]?.state, calls.find(({ callId }) => callId === outside.callId)?.state]
  }
  await kit.advance(25 * 3_600_000)
  const sweep = (environment: string) => kit.store.sweep({ environment, everyMs: 0, resendMs: 10_000, limit: 100 })
  await sweep('elsewhere')
  expect(await looked()).toEqual(['pending', 'waiting_external'])
  await sweep('test')
  expect(await looked()).toEqual(['expired', 'failed'])
})

test('a retry may do no more than the run that it goes on from', async () => {
  const narrowing = { permission: { mode: 'readonly' as const } }
  const held = await hold(kit, 'narrow', { run: { ...openRequest('x').run, overrides: narrowing, narrowing } })
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const newRunId = ids.make('run')
  ok(await kit.store.retry(authority, { runId: held.runId, newRunId, versions: { plain: 'v1' }, settings: null }))
  expect(await kit.sql('select narrowing, overrides from baton.runs where run_id = $1', [newRunId])).toEqual([
    { narrowing, overrides: narrowing },
  ])
})

test('A77: of an instant and a time from now that end the authority of an agent, the earlier one counts', async () => {
  const [row] = await kit.sql<{ at: Date }>(`select baton.clock() + interval '1 day' as at`)
  const agent = { name: 'two-ends', uid: ids.uuid(), mustExist: false, template: 'plain', overrides: {} }
  const narrowing = { expiresAt: row?.at.toISOString() ?? '', expiresInMs: 60_000 }
  const made = ok(await kit.store.createAgent({ ...authority, versions: { plain: 'v1' }, settings, agent: { ...agent, narrowing } })).agent
  expect(Date.parse(made.expiresAt ?? '')).toBeLessThan(Number(row?.at) - 3_600_000)
})

test('what is set for the queue of one agent comes before what is set for all', async () => {
  ok(await kit.store.setLimit(two, { scope: 'agent:*', values: { queuedMessages: 1 } }))
  ok(await kit.store.setLimit(two, { scope: 'agent:roomy', values: { queuedMessages: 2 } }))
  await hold(kit, 'roomy', two)
  for (let queued = 0; queued < 2; queued++) ok(await kit.store.open(openRequest('roomy', two)))
  expect(await kit.store.open(openRequest('roomy', two))).toMatchObject({ code: 'queue_full', limit: 2 })
})

test('keys that open nothing any more take no place among those that may be made', async () => {
  await kit.sql(`insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by, revoked_at)
    select 'key_' || g, 'two', 'test', lpad(to_hex(g), 64, '0'), 'bt_', 'x', '{admin}', 'test', baton.clock() from generate_series(1, 100) g`)
  const key = { id: ids.make('key'), hash: 'c'.repeat(64), prefix: 'bt_', name: 'x', scopes: ['admin'] as const, expiresAt: null }
  expect(ok(await kit.store.createKey(two, key)).key.active).toBe(true)
  const health = async (hash: string) => (await kit.store.health({ environment: 'test', ownTenant: 'two', keyHash: hash })).details
  expect([await health(key.hash), await health('1'.padStart(64, '0'))]).toEqual([true, false])
})

test('deleting a user takes their budgets with them, and who waits for room looks again when a budget goes', async () => {
  const id = ids.uuid()
  const of = { scope: `user:${id}`, period: 'day' } as const
  ok(await kit.store.putBudget(authority, of, noLimits))
  const held = await hold(kit, 'waits-for-room', { credential: asUser(id) })
  await commit(kit, held, { ...answered(), progress: false }, { wait: { kind: 'budget', ms: 3_600_000 } })
  expect(ok(await kit.store.deleteBudget(authority, of)).outbox).toMatchObject([{ kind: 'continue', dueInMs: 0 }])
  ok(await kit.store.putBudget(authority, of, { limitMicros: 1_000 }))
  for (let more = true; more;) more = ok(await kit.store.erase(authority, { scope: of.scope, confirm: null })).more
  expect(await kit.sql('select 1 from baton.budgets where scope = $1', [of.scope])).toEqual([])
  // What is settled late is measured by what every user has.
  const limits = await kit.sql('select limit_micros::integer as most from baton.budget_counters where scope = $1', [of.scope])
  expect(limits).toEqual([{ most: 5_000_000 }])
})

test('a delivery is found by the address that it belongs to, and by no other', async () => {
  const [first, second] = [await register(kit), await register(kit)]
  const { runId, deliveries } = await endedRun(kit, 'addressed')
  const [delivery = ''] = deliveries
  expect(await kit.store.takeDelivery({ id: delivery, environment: 'elsewhere', holdMs: 60_000 })).toMatchObject({ code: 'nothing_due' })
  await attempt(kit, delivery, success)
  const owner = ok(await kit.store.listDeliveries(authority, { webhook: first.id, limit: 1, after: null })).data[0]?.id === delivery
  const [of, other] = owner ? [first.id, second.id] : [second.id, first.id]
  expect(await kit.store.getDelivery(authority, { webhook: of, delivery })).toMatchObject({ ok: true })
  expect(await kit.store.getDelivery(authority, { webhook: other, delivery })).toMatchObject({ code: 'delivery_not_found' })
  expect(await kit.store.redeliver(authority, { runId, delivery })).toMatchObject({ code: 'delivery_not_found' })
})

test('fsck of one tenant looks at the agents of that tenant', async () => {
  await hold(kit, 'of-one')
  await hold(kit, 'of-two', two)
  const [{ n } = { n: 0 }] = await kit.sql<{ n: number }>(`select count(*)::integer as n from baton.agents where tenant_id = 'two'`)
  expect((await kit.store.fsck({ environment: 'test', tenant: 'two', after: null, repair: false })).checked).toBe(n)
})

test('without a filter a bulk retry takes what has failed, and nothing that somebody has ended', async () => {
  const held = await hold(kit, 'bulk-cancelled', two)
  ok(await kit.store.stop(two, { runId: held.runId }, 'cancelled', null))
  await commit(kit, held, {}, { end: { state: 'cancelled', stopReason: 'cancelled', output: null, error: null } })
  const request = { limit: 10, newRunIds: [ids.make('run')], idempotency: null }
  expect(ok(await kit.store.retryCandidates(two, { ...request, filter: {} })).data).toEqual([])
  const asked = { ...request, filter: { state: 'cancelled' as const } }
  expect(ok(await kit.store.retryCandidates(two, asked)).data).toMatchObject([{ runId: held.runId }])
})

test('what all tenants share is shown to the operator, and to no key of a tenant', async () => {
  const hash = 'd'.repeat(64)
  const key = { id: ids.make('key'), hash, prefix: 'bt_', name: 'x', scopes: ['admin'] as const, expiresAt: null }
  ok(await kit.store.createKey(authority, key))
  const of = { scope: 'global', period: 'day' } as const
  ok(await kit.store.putBudget(authority, of, { ...noLimits, limitMicros: 1_000_000_000 }))
  const scopes = async (by: Authority) => ok(await kit.store.listBudgets(by, { limit: 50, after: null })).data.map(({ scope }) => scope)
  expect(await scopes(authority)).toContain('global')
  expect(await scopes({ ...authority, credential: { keyHash: hash } })).not.toContain('global')
  ok(await kit.store.deleteBudget(authority, of))
})

test('the status of health is kept for longer than a day: a process that looks later tells nothing that was told', async () => {
  const tell = async () => (await kit.store.tellHealth({ environment: 'elsewhere', status: 'degraded', text: 'x' })).send
  expect([await tell(), await tell()]).toEqual([true, false])
  await kit.advance(25 * 3_600_000)
  await kit.store.sweep({ environment: 'elsewhere', everyMs: 0, resendMs: 10_000, limit: 10, from: 'cron' })
  expect(await tell()).toBe(false)
})

test('refusals that were counted are told by the retention of their own environment, into its own log', async () => {
  const credential = asUser(ids.uuid())
  for (let n = 0; n < 3; n++) await kit.rpc('baton_list_keys', { ...authority, credential, limit: 1, after: null })
  await kit.advance(61_000)
  const told = () =>
    kit.sql(`select environment, (data ->> 'count')::integer as count from baton.audit where actor = $1 order by id`, [
      `user:${'user' in credential ? credential.user.id : ''}`,
    ])
  const first = { environment: 'test', count: 1 }
  await kit.store.prune({ environment: 'elsewhere', part: 'rows', limit: 1_000 })
  expect(await told()).toEqual([first])
  await kit.store.prune({ environment: 'test', part: 'rows', limit: 1_000 })
  expect(await told()).toEqual([first, { environment: 'test', count: 2 }])
})

test('a place without a key that lets anybody in is said to have none: revoked and expired ones open nothing', async () => {
  await kit.store.ensureTenant({ id: 'shut', environment: 'shut', secret: 'sealed' })
  const shut: Authority = { ...authority, environment: 'shut', credential: { operator: { tenant: 'shut', name: 'tester' } } }
  const make = async (expiresAt: string | null) => {
    const key = { id: ids.make('key'), hash: ids.uuid().replaceAll('-', '').repeat(2), prefix: 'bt_', name: 'x', expiresAt }
    return ok(await kit.store.createKey(shut, { ...key, scopes: ['admin'] })).key.id
  }
  const revoked = await make(null)
  expect(await kit.store.hasKeys('shut')).toBe(true)
  ok(await kit.store.revokeKey(shut, revoked))
  expect(await kit.store.hasKeys('shut')).toBe(false)
  const [{ at } = { at: new Date(0) }] = await kit.sql<{ at: Date }>(`select baton.clock() + interval '1 minute' as at`)
  await make(at.toISOString())
  await kit.advance(61_000)
  expect(await kit.store.hasKeys('shut')).toBe(false)
  // A tenant is of one environment: another one has it not, whoever asks for it there.
  expect(await kit.store.ensureTenant({ id: 'shut', environment: 'test', secret: 'sealed' })).toBe(false)
})

test('limits are set for a thousand scopes and no more; one that is set already may be set anew', async () => {
  await kit.store.ensureTenant({ id: 'many', environment: 'test', secret: 'sealed' })
  const many: Authority = { ...authority, credential: { operator: { tenant: 'many', name: 'tester' } } }
  await kit.sql(`insert into baton.limits (tenant_id, scope, settings, updated_by)
    select 'many', 'agent:a' || g, '{"queuedMessages": 1}', 'test' from generate_series(1, 1000) g`)
  const values = { queuedMessages: 2 }
  expect(await kit.store.setLimit(many, { scope: 'agent:one-more', values })).toMatchObject({ code: 'conflict', most: 1_000 })
  ok(await kit.store.setLimit(many, { scope: 'agent:a7', values }))
  ok(await kit.store.setLimit(many, { scope: 'agent:a8', values: {} }))
  ok(await kit.store.setLimit(many, { scope: 'agent:one-more', values }))
})

test('a key that was revoked long before its end is as old as its revocation', async () => {
  const key = (id: string, revokedDays: number, expiredDays: number) =>
    kit.sql(
      `insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by, revoked_at, expires_at) values
        ($1::text, 'two', 'test', encode(sha256($1::text::bytea), 'hex'), 'bt_', 'x', '{admin}', 'test', baton.clock() - $2::integer * interval '1 day', baton.clock() - $3::integer * interval '1 day')`,
      [id, revokedDays, expiredDays],
    )
  await key('key_revoked_long_ago', 401, 10)
  await key('key_ended_long_ago', 10, 401)
  await key('key_of_late', 10, 20)
  await kit.store.prune({ environment: 'test', part: 'rows', limit: 1_000 })
  const left = await kit.sql(`select id from baton.api_keys where id ~ '^key_(revoked|ended|of)_l'`)
  expect(left).toEqual([{ id: 'key_of_late' }])
})

test('what was set for a key goes with it, and what was set for another stays', async () => {
  for (const [id, revokedDays] of [
    ['key_gone', 401],
    ['key_there', 399],
  ] as const) {
    await kit.sql(
      `insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by, revoked_at)
        values ($1::text, 'two', 'test', encode(sha256($1::text::bytea), 'hex'), 'bt_', 'x', '{admin}', 'test', baton.clock() - $2::integer * interval '1 day')`,
      [id, revokedDays],
    )
    ok(await kit.store.setLimit(two, { scope: `key:${id}`, values: { requestsPerMinute: 7 } }))
    ok(await kit.store.putBudget(two, { scope: `key:${id}`, period: 'day' }, noLimits))
  }
  await kit.store.prune({ environment: 'test', part: 'rows', limit: 1_000 })
  for (const table of ['limits', 'budgets'])
    expect(await kit.sql(`select scope from baton.${table} where scope ~ '^key:key_(gone|there)'`), table).toEqual([
      { scope: 'key:key_there' },
    ])
})

test('a run that has completed is retried by no bulk, whatever reason for its stop is asked for', async () => {
  const held = await hold(kit, 'cut-short', two)
  await commit(kit, held, answered(), { end: { state: 'completed', stopReason: 'max_tokens', output: 'so', error: null } })
  const request = { limit: 10, newRunIds: [ids.make('run')], idempotency: null }
  expect(ok(await kit.store.retryCandidates(two, { ...request, filter: { stopReason: 'max_tokens' } })).data).toEqual([])
})

test('invariant 7: a round that was full of what nobody here can take is followed by another one', async () => {
  const environment = 'rounds'
  await kit.store.ensureTenant({ id: environment, environment, secret: 'sealed' })
  const of = { environment, credential: { operator: { tenant: environment, name: 'tester' } } }
  const newer = await hold(kit, 'of-newer-code', of)
  await kit.advance(1_000)
  const due = await hold(kit, 'due', of)
  await kit.sql('update baton.runs set format = 99 where run_id = $1', [newer.runId])
  await kit.sql(`update baton.outbox set sent_at = baton.clock() where environment = $1`, [environment])
  await kit.advance(60_000)
  const sweep = (after?: string) =>
    kit.store.sweep({ environment, everyMs: 0, resendMs: 10_000, limit: 1, maxFormat: 1, ...(after === undefined ? {} : { after }) })
  const first = await sweep()
  expect(first).toMatchObject({ outbox: [], more: true })
  expect((await sweep(first.at)).outbox).toMatchObject([{ kind: 'continue', data: { runId: due.runId } }])
})
