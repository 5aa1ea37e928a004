import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditEntry, AuditQuery } from '#lib/core/audit'
import type { Authority } from '#lib/core/store'
import { asUser, authority, commit, hold, ids, ok, openRequest, settings, startStore, toolCall, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

async function audit(query: Partial<AuditQuery> = {}, as: Authority = authority): Promise<AuditEntry[]> {
  return ok(await kit.store.listAudit(as, { limit: 200, order: 'asc', after: null, ...query })).data
}
const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const asked = (over: Partial<Authority> = {}): Authority => ({ ...authority, requestId: 'req_1', ...over })

test('A81: an accepted message is one entry, with actor, request, trace and run; repeats of it are none', async () => {
  const request = openRequest('accepted', {
    ...asked(),
    run: { id: ids.make('run'), limits: null, metadata: {}, webhook: null, traceparent: `00-${trace}-00f067aa0ba902b7-01` },
    idempotency: { key: 'k1', hash: 'h' },
  })
  const answer = ok(await kit.store.open(request))
  await kit.store.open(request)
  // A repeated key: another request, the same run.
  await kit.store.open({ ...request, run: { ...request.run, id: ids.make('run') } })
  const entries = await audit({ agent: 'accepted' })
  expect(entries).toHaveLength(1)
  expect(entries[0]).toMatchObject({
    actor: 'tester',
    action: 'message.accept',
    decision: 'allowed',
    code: null,
    agentId: 'accepted',
    agentUid: answer.agentUid,
    runId: answer.run.id,
    requestId: 'req_1',
    traceId: trace,
    data: { state: 'running' },
  })
})

test('A81: each refusal is an entry with its code, and a refused repeat is none', async () => {
  const limits = openRequest('refused', { run: { ...openRequest('x').run, limits: { maxSteps: 1_000 } } })
  expect(await kit.store.open(limits)).toMatchObject({ ok: false, code: 'limit_above_template' })
  await kit.store.open(limits)
  expect(await kit.store.open(openRequest('refused', { settings: null }))).toMatchObject({ code: 'template_required' })
  expect(await kit.store.open(openRequest('refused', { versions: {} }))).toMatchObject({ code: 'template_missing' })
  // What the caller's process mends by asking again is no decision.
  await hold(kit, 'changed')
  expect(await kit.store.open(openRequest('changed', { versions: { plain: 'v2' }, settings: null }))).toMatchObject({
    code: 'template_changed',
  })
  await hold(kit, 'full')
  for (let n = 0; n < settings.maxQueued; n++) ok(await kit.store.open(openRequest('full')))
  expect(await kit.store.open(openRequest('full'))).toMatchObject({ code: 'queue_full' })
  expect(await kit.store.open(openRequest('full', { onBusy: 'reject' }))).toMatchObject({ code: 'agent_busy' })
  const codes = async (agent: string): Promise<(string | null)[]> =>
    (await audit({ agent, decision: 'refused' })).map((entry) => entry.code)
  expect(await codes('refused')).toEqual(['limit_above_template', 'template_required', 'template_missing'])
  expect(await codes('changed')).toEqual([])
  expect(await codes('full')).toEqual(['queue_full', 'agent_busy'])
  expect(await audit({ agent: 'full', decision: 'allowed' })).toHaveLength(settings.maxQueued + 1)
})

test('a steered message is an entry of the run that it found', async () => {
  const held = await hold(kit, 'steered')
  ok(await kit.store.open(openRequest('steered', { onBusy: 'steer' })))
  const entries = await audit({ agent: 'steered' })
  expect(entries.map((entry) => [entry.runId, entry.data?.['mode'] ?? null])).toEqual([
    [held.runId, null],
    [held.runId, 'steer'],
  ])
})

test('A81: each start of a call that may happen once or happens outside is an entry, and a denial tells its reason as far as there is room', async () => {
  const held = await hold(kit, 'starts')
  const [once, external, pure] = [
    toolCall(0, { effect: 'once', name: 'pay' }),
    toolCall(1, { effect: 'external', name: 'ask_outside' }),
    toolCall(2),
  ]
  const denied = toolCall(3, { name: 'wipe', state: 'denied', output: { type: 'text', value: 'no' }, note: 'n'.repeat(501) })
  const start = [once, external, pure].map(({ callId }) => callId)
  await commit(kit, held, { calls: [once, external, pure, denied], count: { step: 1 } }, { start })
  const calls = (await audit({ runId: held.runId })).filter(({ action }) => action === 'tool.call')
  expect(calls).toMatchObject([
    { decision: 'refused', code: 'denied', scope: 'tool:wipe', reason: 'n'.repeat(500) },
    { decision: 'allowed', scope: 'tool:pay', data: { attempt: 1, effect: 'once' } },
    { decision: 'allowed', scope: 'tool:ask_outside', data: { attempt: 1, effect: 'external' } },
  ])
})

test('agents made, changed and deleted, runs cancelled, interrupted and retried', async () => {
  const agent = { name: 'life', uid: ids.uuid(), mustExist: false, template: null }
  const create = { ...asked(), versions: { plain: 'v1' }, settings, agent }
  await kit.store.createAgent(create)
  await kit.store.createAgent(create)
  await kit.store.patchAgent(asked(), 'life', { metadata: { a: 1 } })
  const first = ok(await kit.store.open(openRequest('life')))
  await kit.store.stop(asked(), { runId: first.run.id }, 'cancelled', 'enough')
  const again = { runId: first.run.id, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null }
  ok(await kit.store.retry(asked(), again))
  ok(await kit.store.retry(asked(), again))
  await kit.store.stop(asked(), { agent: 'life' }, 'interrupted', null)
  const entries = async () =>
    (await audit({ agent: 'life' })).map(({ action, decision, code, reason, data }) => [action, decision, code ?? reason, data])
  const before = await entries()
  expect(before).toEqual([
    ['agent.create', 'allowed', null, { template: 'plain' }],
    ['agent.patch', 'allowed', null, { changed: ['metadata'] }],
    ['message.accept', 'allowed', null, { state: 'running' }],
    ['run.cancel', 'allowed', 'enough', { state: 'cancelled' }],
    ['run.retry', 'allowed', null, { retryOf: first.run.id }],
    ['run.interrupt', 'allowed', null, { state: 'cancelled' }],
  ])
  await kit.store.deleteAgent(asked(), 'life')
  expect(await kit.store.deleteAgent(asked(), 'life')).toMatchObject({ code: 'agent_not_found' })
  // What was said goes with the agent; who decided what, and when, stays.
  expect(await entries()).toEqual([
    ...before.map(([action, decision]) => [action, decision, null, null]),
    ['agent.delete', 'allowed', null, null],
    ['agent.delete', 'refused', 'agent_not_found', null],
  ])
  expect((await audit({ runId: first.run.id })).map((entry) => entry.action)).toEqual(['message.accept', 'run.cancel'])
})

test('nobody changes, removes or empties the log: no role, not the service key, not its owner', async () => {
  await hold(kit, 'kept')
  for (const text of [
    `update baton.audit set reason = 'x'`,
    'delete from baton.audit',
    'truncate baton.audit',
    `insert into baton.audit (tenant_id, environment, actor, action, decision) values ('one', 'test', 'x', 'x.y', 'allowed')`,
    'select 1 from baton.audit',
    'alter table baton.audit disable trigger all',
  ]) {
    for (const role of ['anon', 'authenticated', 'service_role'])
      await expect(as(role, text), `${role}: ${text}`).rejects.toThrow(/permission denied|must be owner/)
  }
  await expect(kit.sql(`update baton.audit set reason = 'x' where agent_id = 'kept'`)).rejects.toThrow('append-only')
  // Free text goes with what it is about, and not before.
  await expect(kit.sql(`update baton.audit set reason = null, data = null where agent_id = 'kept'`)).rejects.toThrow('append-only')
  await expect(kit.sql(`delete from baton.audit where agent_id = 'kept'`)).rejects.toThrow('append-only')
  await expect(kit.sql('truncate baton.audit')).rejects.toThrow('append-only')
  expect(await audit({ agent: 'kept' })).toHaveLength(1)
})

async function as(role: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query(`set local role ${role}`)
    return await client.query(text)
  } finally {
    await client.end()
  }
}

test('A86: another tenant and another environment read none of it, whatever they name', async () => {
  await hold(kit, 'mine')
  const other = { environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'spy' } }, requestId: null }
  expect(await audit({ agent: 'mine' }, other)).toEqual([])
  expect(await audit({ agent: 'mine' }, { ...authority, environment: 'elsewhere' })).toEqual([])
  // A neighbour in the same environment, with an agent of the same name.
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
  const two = { ...authority, credential: { operator: { tenant: 'two', name: 'neighbour' } } }
  await hold(kit, 'mine', two)
  expect((await audit({ agent: 'mine' }, two)).map((entry) => entry.actor)).toEqual(['neighbour'])
  expect((await audit({ agent: 'mine' })).map((entry) => entry.actor)).toEqual(['tester'])
  const forged = await kit.rpc('baton_list_audit', { ...other, tenant: 'one', limit: 10 })
  expect(forged).toEqual({ ok: true, data: [] })
  expect(
    await kit.store.listAudit({ ...authority, credential: { keyHash: 'unknown' } }, { limit: 1, order: 'asc', after: null }),
  ).toMatchObject({ ok: false })
})

test('what users do is told with their id', async () => {
  const user = ids.uuid()
  await hold(kit, 'of-a-user', { credential: asUser(user) })
  expect(await audit({ actor: `user:${user}` })).toMatchObject([{ action: 'message.accept', agentId: 'of-a-user' }])
})
