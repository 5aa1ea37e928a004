import { afterAll, beforeAll, expect, test } from 'vitest'
import { noUsage } from '#lib/core/run'
import {
  answered,
  asUser,
  authority,
  beside,
  claimRequest,
  commit,
  commitOf,
  completed,
  execution,
  hold,
  ids,
  ok,
  openRequest,
  settings,
  startStore,
  take,
  toolCall,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

/* Rules of runs and switches that no other test noticed when they were taken away (scripts/mutations/unlisted-sql). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const setHold = (scope: string) => kit.store.setSwitch(authority, { scope, mode: 'hold', reason: 'a test' })
const lift = async (scope: string) => ok(await kit.store.liftSwitch(authority, { scope, reason: null }))
const stateOf = async (runId: string) => ok(await kit.store.getRun(authority, runId)).run
const renew = async ({ agentUid, sliceId, epoch }: Held) => {
  const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'm', micros: 5 } as const
  return ok(await kit.store.renew({ agentUid, sliceId, epoch, leaseMs: 30_000, reserve }))
}

test('the gate of another environment closes nothing here', async () => {
  await kit.sql(`insert into baton.gates (environment, model, until)
    select 'elsewhere', m, baton.clock() + interval '1 hour' from unnest('{far/model,test/model}'::text[]) m`)
  const held = await hold(kit, 'gate-apart')
  expect(ok(await kit.store.getRun(authority, held.runId)).gateMs).toBeNull()
  expect((await commit(kit, held, answered(), completed)).gates).toEqual({})
})

test('invariant 1: an open with a key whose reply was lost gets its lease again', async () => {
  const request = openRequest('lost-key', { execute: execution(), idempotency: { key: 'lost-key', hash: 'h' } })
  const first = ok(await kit.store.open(request))
  expect(ok(await kit.store.open(request)).opened?.lease.epoch).toBe(first.opened?.lease.epoch)
  expect(ok(await kit.store.open({ ...request, execute: execution() })).opened).toBeUndefined()
})

test('invariant 10: a heartbeat sets nothing aside for a run that is held or whose authority is over', async () => {
  const held = await hold(kit, 'beat-held')
  ok(await setHold('agent:beat-held'))
  expect(await renew(held)).toMatchObject({ flags: { hold: true }, reserved: 'none' })
  await lift('agent:beat-held')
  expect(await renew(held)).toMatchObject({ flags: { hold: false }, reserved: 'granted' })
  const [row] = await kit.sql<{ at: Date }>(`select baton.clock() + interval '10 seconds' as at`)
  const run = { ...openRequest('x').run, narrowing: { expiresAt: row?.at.toISOString() ?? '' } }
  const over = await hold(kit, 'beat-over', { run })
  await kit.advance(10_001)
  expect(await renew(over)).toMatchObject({ reserved: 'none' })
})

test('invariant 10: a hold waits for the calls of this executor, not for those of one that died', async () => {
  const dead = await hold(kit, 'hold-dead')
  const call = toolCall(0, { effect: 'once' })
  await commit(kit, dead, { ...answered(), calls: [call] }, { start: [call.callId] })
  await kit.advance(31_000)
  const next = await take(kit, dead.agentUid)
  ok(await setHold('agent:hold-dead'))
  expect(await commit(kit, next, {})).toMatchObject({ released: true, state: 'waiting' })
  await lift('agent:hold-dead')
})

test('invariant 10: a run that was asked to stop ends although it is held', async () => {
  const held = await hold(kit, 'stop-held')
  ok(await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null))
  ok(await setHold('agent:stop-held'))
  expect(await commit(kit, held, answered())).toMatchObject({ released: false, flags: { stop: 'cancelled' } })
  const end = { state: 'cancelled', stopReason: 'cancelled', output: null, error: null } as const
  expect(await commit(kit, held, {}, { end })).toMatchObject({ state: 'cancelled' })
  await lift('agent:stop-held')
})

test('invariant 10: of two kills the first is named, and what a hold held goes on where the kill that took its place is lifted in time', async () => {
  const held = await hold(kit, 'two-kills')
  const kill = async (scope: string, reason: string) => ok(await kit.store.setSwitch(authority, { scope, mode: 'kill', reason }))
  await kit.sql(`insert into baton.switches (environment, tenant_id, scope, mode, reason, actor)
    values ('test', 'one', 'run:${held.runId}', 'kill', 'first', 'x'), ('test', '', 'global', 'hold', 'not this', 'x')`)
  await kit.advance(1_000)
  await kill('agent:two-kills', 'second')
  await commit(kit, held, answered())
  expect(await stateOf(held.runId)).toMatchObject({ stopRequested: 'killed', stopNote: 'first' })
  expect(ok(await kit.store.listSwitches(authority, { limit: 10, after: null })).data.map((one) => one.scope)).toContain('global')
  await kit.sql('delete from baton.switches')
  // As a kill of so many agents that this one's turn has not come.
  const waiting = ok(await kit.store.open(openRequest('taken-place')))
  ok(await setHold('agent:taken-place'))
  expect(await kit.store.claim(claimRequest(waiting.agentUid))).toMatchObject({ code: 'held' })
  await kit.sql(`update baton.switches set mode = 'kill' where scope = 'agent:taken-place'`)
  expect(await lift('agent:taken-place')).toMatchObject({ resumed: 1 })
})

test('invariant 10: a lift reaches every held run, however many batches that takes', async () => {
  await kit.store.ensureTenant({ id: 'many', environment: 'test', secret: 'sealed' })
  const many = { ...authority, credential: { operator: { tenant: 'many', name: 'tester' } } }
  ok(await kit.store.setSwitch(many, { scope: 'tenant', mode: 'hold', reason: 'a test' }))
  for (let n = 0; n < 5; n++) ok(await kit.store.open(openRequest(`held-${n}`, many)))
  await kit.sql(`delete from baton.switches where tenant_id = 'many'`)
  await kit.sql(`insert into baton.switch_work (environment, tenant_id, scope, kind) values ('test', 'many', 'tenant', 'lift')`)
  for (let batch = 0; batch < 3; batch++) await kit.store.applySwitchWork({ environment: 'test', limit: 2 })
  expect(await kit.sql(`select 1 from baton.runs where tenant_id = 'many' and due_at is null`)).toEqual([])
})

test('a queued run is told its turn in the order in which the queue goes: an interrupting message stands before those that wait longer', async () => {
  const held = await hold(kit, 'turns')
  const open = async (onBusy: string) => ok(await kit.store.open(openRequest('turns', { onBusy }))).run.id
  const [first, second] = [await open('enqueue'), await open('enqueue')]
  const ahead = await open('interrupt')
  const turns = await Promise.all([ahead, first, second].map(async (id) => ok(await kit.store.getRun(authority, id)).queuePosition))
  expect(turns).toEqual([1, 2, 3])
  const end = { state: 'cancelled', stopReason: 'interrupted', output: null, error: null } as const
  await commit(kit, held, answered(), { end })
  expect((await take(kit, held.agentUid)).runId).toBe(ahead)
  expect(ok(await kit.store.getRun(authority, ahead)).queuePosition).toBe(0)
  expect(ok(await kit.store.getRun(authority, second)).queuePosition).toBe(2)
})

test('a killed message of the queue does not stop those behind it', async () => {
  const held = await hold(kit, 'killed-queue')
  const [killed, next] = [ok(await kit.store.open(openRequest('killed-queue'))), ok(await kit.store.open(openRequest('killed-queue')))]
  // As a switch that another transaction has set and that this agent's turn has not come for.
  await kit.sql(
    `insert into baton.switches (environment, tenant_id, scope, mode, reason, actor) values ('test', 'one', $1, 'kill', 'x', 'x')`,
    [`run:${killed.run.id}`],
  )
  await commit(kit, held, answered(), completed)
  expect([(await stateOf(killed.run.id)).state, (await stateOf(next.run.id)).state]).toEqual(['killed', 'running'])
  await kit.sql('delete from baton.switches')
})

test('only a run that has ended can be retried', async () => {
  const held = await hold(kit, 'retry-open')
  const queued = ok(await kit.store.open(openRequest('retry-open')))
  const retry = (runId: string) =>
    kit.store.retry(authority, { runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null })
  expect(await retry(queued.run.id)).toMatchObject({ code: 'run_open', state: 'queued' })
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
  expect(await retry(held.runId)).toMatchObject({ code: 'run_open', state: 'waiting' })
})

test('from is inclusive and to is not', async () => {
  const held = await hold(kit, 'ranged')
  await commit(kit, held, answered(), completed)
  const { createdAt } = await stateOf(held.runId)
  const [row] = await kit.sql<{ at: string }>(
    'select to_json(created_at) #>> $2 as at from baton.messages where agent_uid = $1 and seq = 1',
    [held.agentUid, []],
  )
  const at = row?.at ?? ''
  const messages = async (range: object) => (await kit.store.listMessages({ agentUid: held.agentUid, limit: 1, ...range })).data.length
  expect([await messages({ from: at, role: 'user' }), await messages({ to: at, role: 'user' })]).toEqual([1, 0])
  const runs = async (range: object) =>
    (await kit.store.listRuns(authority, { agentUid: held.agentUid, limit: 5, after: null, ...range })).data.length
  expect([await runs({ from: createdAt }), await runs({ to: createdAt })]).toEqual([1, 0])
})

test('a run that fails takes in nothing: the steered message becomes the next run', async () => {
  const run = { ...openRequest('x').run, metadata: { of: 'the message' }, webhook: { url: 'https://example.com/steered', secret: null } }
  const held = await hold(kit, 'fails-steered', { run: { ...openRequest('x').run, webhook: run.webhook } })
  ok(await kit.store.open(openRequest('fails-steered', { onBusy: 'steer', run })))
  const end = { state: 'failed', stopReason: 'max_steps', output: null, error: null } as const
  expect(await commit(kit, held, answered(), { end })).toMatchObject({ state: 'failed', steered: false })
  const next = await take(kit, held.agentUid)
  expect(next.runId).not.toBe(held.runId)
  // What the message brought is that of its run.
  expect(await commit(kit, next, answered(), completed)).toMatchObject({ state: 'completed' })
  const told = `select d.url, r.metadata from baton.webhook_deliveries d join baton.runs r using (run_id) where run_id = $1`
  expect(await kit.sql(told, [next.runId])).toEqual([{ url: run.webhook.url, metadata: run.metadata }])
})

test('a message that came too late to steer becomes a run with what it brought', async () => {
  const owner = ids.uuid()
  const webhook = { url: 'https://example.com/both', secret: 'of the message' }
  const first = { ...openRequest('x').run, webhook: { ...webhook, secret: null }, limits: { maxSteps: 3 } }
  const held = await hold(kit, 'steered-too-late', { credential: asUser(owner), run: first })
  const run = { ...openRequest('x').run, metadata: { of: 'the message' }, webhook, limits: { maxSteps: 4 } }
  ok(await kit.store.open(openRequest('steered-too-late', { onBusy: 'steer', run })))
  expect(await kit.sql('select 1 from baton.runs where run_id = $1', [run.id])).toEqual([])
  const end = { state: 'failed', stopReason: 'max_steps', output: null, error: null } as const
  expect(await commit(kit, held, answered(), { end })).toMatchObject({ state: 'failed', steered: false })
  const { metadata, limits } = run
  expect(await take(kit, held.agentUid)).toMatchObject({ runId: run.id, answer: { opened: { run: { metadata, limits } } } })
  const whose = 'select owner_id, created_by, webhook from baton.runs where run_id = $1'
  expect(await kit.sql(whose, [run.id])).toEqual([{ owner_id: owner, created_by: 'tester', webhook }])
})

test('a run that was interrupted can still be cancelled, and its commits add up the time of its work', async () => {
  const held = await hold(kit, 'both-stops')
  await commit(kit, held, { count: { workMs: 100 }, progress: false })
  await commit(kit, held, { count: { workMs: 50 }, progress: false })
  for (const kind of ['interrupted', 'cancelled', 'interrupted'] as const)
    ok(await kit.store.stop(authority, { runId: held.runId }, kind, kind))
  expect(await stateOf(held.runId)).toMatchObject({ workMs: 150, stopRequested: 'cancelled', stopNote: 'cancelled' })
})

test('invariant 7: a continuation that the sweep has written anew is not written anew by the next sweep', async () => {
  const { agentUid } = ok(await kit.store.open(openRequest('swept-twice')))
  await kit.sql('update baton.outbox set sent_at = baton.clock() where agent_uid = $1', [agentUid])
  await kit.advance(10_001)
  const swept = async () => {
    const { outbox } = await kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 10_000, limit: 500 })
    return outbox.filter((row) => row.data.agentUid === agentUid).length
  }
  expect([await swept(), await swept()]).toEqual([1, 0])
})

test('usage adds up over the steps of a run, and a call that runs again after a crash has begun once', async () => {
  const held = await hold(kit, 'adds-up')
  const usage = { ...noUsage, inputTokens: 7, outputTokens: 3 }
  const call = toolCall(0)
  await commit(kit, held, { ...answered(), usage, calls: [call] }, { start: [call.callId] })
  await kit.advance(31_000)
  const next = await take(kit, held.agentUid)
  await commit(kit, next, { usage }, { start: [call.callId] })
  expect(await stateOf(held.runId)).toMatchObject({ usage: { inputTokens: 14, outputTokens: 6 }, toolCalls: 1 })
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['tool_start'] }))
  expect(data).toHaveLength(1)
})

test('a retry has no more than what the template gives by now', async () => {
  const held = await hold(kit, 'retry-limits')
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const lower = { ...settings, templateVersion: 'v2', limits: { ...settings.limits, maxSteps: 3 } }
  const request = { runId: held.runId, newRunId: ids.make('run'), versions: { plain: 'v2' }, settings: lower }
  expect(ok(await kit.store.retry(authority, request)).run.limits).toMatchObject({ maxSteps: 3 })
})

test('invariant 9: a settlement and a heartbeat beside a commit lose nothing of each other', async () => {
  const held = await hold(kit, 'settled-beside', { execute: execution(900) })
  const [row] = await kit.sql<{ id: `res_${string}` }>('select id from baton.reservations where run_id = $1', [held.runId])
  if (row === undefined) throw new Error('nothing was reserved')
  const settle = [{ id: row.id, costMicros: 700, usage: noUsage, estimated: false }]
  const { agentUid, runId, sliceId, epoch } = held
  await beside(kit, 'settle', { agentUid, runId, settle }, () => commit(kit, held, { count: { workMs: 10 }, progress: false }))
  expect(await stateOf(runId)).toMatchObject({ costMicros: 700, workMs: 10 })
  const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'm', micros: 5 } as const
  await beside(kit, 'commit', commitOf(held, { count: { workMs: 10 }, progress: false }), () =>
    kit.store.renew({ agentUid, sliceId, epoch, leaseMs: 30_000, reserve }),
  )
  expect(await stateOf(runId)).toMatchObject({ reservedMicros: 5, workMs: 20 })
})

test('a run that ends before it began, or without an executor, tells its readers from where and why', async () => {
  const held = await hold(kit, 'told-why')
  const queued = ok(await kit.store.open(openRequest('told-why')))
  ok(await kit.store.stop(authority, { runId: queued.run.id }, 'cancelled', null))
  const ended = await stateOf(queued.run.id)
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, runId: queued.run.id }))
  expect(ended).toMatchObject({ firstSeq: data[0]?.seq, endedAt: expect.any(String) })
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
  ok(await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null))
  expect(await stateOf(held.runId)).toMatchObject({ state: 'cancelled', error: { code: 'cancelled' } })
  const done = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, runId: held.runId, types: ['done'] })).data
  expect(done).toMatchObject([{ data: { state: 'cancelled', error: { code: 'cancelled' } } }])
})

test('invariant 7: rows that were never sent are given out in turns over the tenants', async () => {
  for (const tenant of ['flooded', 'quiet']) await kit.store.ensureTenant({ id: tenant, environment: 'apart', secret: 'sealed' })
  await kit.sql(`insert into baton.outbox (id, tenant_id, environment, kind, data, due_at, created_at)
    select 'out_flood' || n, 'flooded', 'apart', 'continue', '{}'::jsonb, baton.clock() - interval '2 hours', baton.clock() - interval '2 hours' from generate_series(1, 5) n
    union all select 'out_quiet', 'quiet', 'apart', 'continue', '{}'::jsonb, baton.clock() - interval '1 hour', baton.clock() - interval '1 hour'`)
  const { outbox } = await kit.store.sweep({ environment: 'apart', everyMs: 0, resendMs: 10_000, limit: 2 })
  expect(outbox.map(({ id }) => id)).toContain('out_quiet')
})

test('invariant 12: a run that is given up is given up at once, also where fewer crashes are borne than there are pauses', async () => {
  const first = await hold(kit, 'given-up')
  await kit.advance(31_000)
  await take(kit, first.agentUid, { maxStepCrashes: 1 })
  await kit.advance(31_000)
  expect((await take(kit, first.agentUid, { maxStepCrashes: 1 })).answer.opened?.run.crashes).toBe(2)
})

test('a run that waits for its template says so once, however often somebody looks', async () => {
  const { agentUid } = ok(await kit.store.open(openRequest('undeployed')))
  for (let look = 0; look < 3; look++) {
    expect(await kit.store.claim(claimRequest(agentUid, { versions: {} }))).toMatchObject({ code: 'template_missing' })
    await kit.advance(31_000)
  }
  const { data } = ok(await kit.store.listEvents({ agentUid, after: 0, limit: 100 }))
  expect(data.filter((event) => event.data['waitKind'] === 'template')).toHaveLength(1)
  await take(kit, agentUid)
})
