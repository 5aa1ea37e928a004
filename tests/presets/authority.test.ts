import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Narrowing } from '#lib/core/overrides'
import { noUsage } from '#lib/core/run'
import type { Settlement } from '#lib/core/commit'
import type { RunView } from '#lib/core/store'
import {
  answered,
  authority,
  beside,
  commit,
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
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const make = async (name: string, narrowing: Narrowing) =>
  ok(
    await kit.store.createAgent({
      ...authority,
      versions: { plain: 'v1' },
      settings,
      agent: { name, uid: ids.uuid(), mustExist: false, template: 'plain', overrides: {}, narrowing },
    }),
  ).agent
const inMs = async (ms: number): Promise<string> => {
  const [row] = await kit.sql<{ at: Date }>(`select baton.clock() + $1 * interval '1 millisecond' as at`, [ms])
  return (row?.at ?? new Date(0)).toISOString()
}
const reserve = (step: number) => ({ id: ids.make('res'), step, attempt: 0, model: 'test/model', micros: 10 })
/** A message of a narrower run. */
const withRun = (agent: string, narrowing: Narrowing) => {
  const request = openRequest(agent)
  return { ...request, run: { ...request.run, narrowing } }
}

test('A77: after T no call starts and nothing is set aside, whatever the executor believes; what has happened is stored', async () => {
  await make('t', { expiresAt: await inMs(20_000) })
  const held = await hold(kit, 't')
  const call = toolCall(0)
  const answer = await commit(kit, held, { ...answered(), calls: [call] }, { start: [call.callId] })
  expect(answer).toMatchObject({ allowed: true })
  expect(answer.flags.expiresInMs).toBeGreaterThan(15_000)
  await kit.advance(21_000)
  const next = toolCall(1)
  const late = await commit(
    kit,
    held,
    { calls: [{ ...call, state: 'completed', output: { type: 'text', value: 'done' } }, next] },
    { start: [next.callId] },
  )
  expect(late.allowed).toBe(false)
  expect(late.flags.expiresInMs).toBeLessThanOrEqual(0)
  const states = await kit.sql('select state from baton.tool_calls where run_id = $1 order by index', [held.runId])
  expect(states).toEqual([{ state: 'completed' }, { state: 'pending' }])
  const renewed = ok(
    await kit.store.renew({ agentUid: held.agentUid, sliceId: held.sliceId, epoch: held.epoch, leaseMs: 30_000, reserve: reserve(2) }),
  )
  expect(renewed).toMatchObject({ reserved: 'none' })
  expect(
    (await commit(kit, held, { calls: [{ ...next, state: 'denied', output: { type: 'text', value: 'no' } }] }, { reserve: reserve(2) }))
      .reserved,
  ).toBe('none')
  const error = { code: 'authority_expired', message: 'over' }
  const end = await commit(kit, held, {}, { end: { state: 'expired', stopReason: 'expired', output: null, error } })
  expect(end).toMatchObject({ state: 'expired', stopReason: 'expired', released: true })
  expect(await kit.sql(`select decision, code from baton.audit where action = 'run.expire' and run_id = $1`, [held.runId])).toEqual([
    { decision: 'refused', code: 'authority_expired' },
  ])
})

test('A77: a message to an agent whose authority is over, or that brings its own, is refused and leaves nothing', async () => {
  await make('gone', { expiresInMs: 5_000 })
  const queued = await hold(kit, 'gone')
  await kit.advance(6_000)
  expect(await kit.store.open(openRequest('gone'))).toMatchObject({ ok: false, code: 'authority_expired' })
  expect(await kit.store.open(withRun('never', { expiresAt: await inMs(-1) }))).toMatchObject({ ok: false, code: 'authority_expired' })
  expect(await kit.store.getAgent(authority, 'never')).toMatchObject({ code: 'agent_not_found' })
  await commit(kit, queued, answered(), { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const retried = await kit.store.retry(authority, {
    runId: queued.runId,
    newRunId: ids.make('run'),
    versions: { plain: 'v1' },
    settings: null,
  })
  expect(retried).toMatchObject({ ok: false, code: 'authority_expired' })
  expect(
    await kit.sql(`select agent_id, code from baton.audit where action = 'message.accept' and code = 'authority_expired' order by id`),
  ).toEqual([
    { agent_id: 'gone', code: 'authority_expired' },
    { agent_id: 'never', code: 'authority_expired' },
  ])
})

test('an answer that needed nothing more ends as completed, also after T', async () => {
  await make('done', { expiresInMs: 5_000 })
  const held = await hold(kit, 'done')
  await kit.advance(6_000)
  expect(await commit(kit, held, answered(), completed)).toMatchObject({ state: 'completed', allowed: true })
})

test('a message may end earlier than its agent and never later; the earlier instant counts', async () => {
  const agent = await make('two', { expiresAt: await inMs(60_000) })
  expect(await kit.store.open(withRun('two', { expiresAt: await inMs(90_000) }))).toMatchObject({
    code: 'override_refused',
    field: 'expiresAt',
  })
  const earlier = await inMs(10_000)
  const opened = ok(await kit.store.open({ ...withRun('two', { expiresAt: earlier }), execute: execution() }))
  expect(Date.parse(String((opened.run satisfies RunView).expiresAt))).toBe(Date.parse(earlier))
  expect(opened.opened?.flags.expiresInMs).toBeLessThanOrEqual(10_000)
  expect(opened.opened?.run.narrowing).toEqual({ expiresAt: earlier })
  expect(agent.expiresAt).not.toBeNull()
})

test('limits of agent and message lower those of the run, each alone and both together', async () => {
  await make('limits', { limits: { maxCostMicros: 500_000, maxPerCallMicros: 900 } })
  const plain = ok(await kit.store.open(openRequest('limits')))
  expect(plain.run.limits).toMatchObject({ maxCostMicros: 500_000, maxPerCallMicros: 900, maxSteps: 50 })
  const lower = ok(await kit.store.open(withRun('limits', { limits: { maxCostMicros: 1_000_000, maxPerCallMicros: 20 } })))
  expect(lower.run.limits).toMatchObject({ maxCostMicros: 500_000, maxPerCallMicros: 20 })
  const held = await take(kit, plain.agentUid)
  const { agentUid, sliceId, epoch } = held
  const ask = async (micros: number) =>
    ok(await kit.store.renew({ agentUid, sliceId, epoch, leaseMs: 30_000, reserve: { ...reserve(1), micros } })).reserved
  expect(await ask(901)).toBe('refused')
  expect(await ask(900)).toBe('granted')
})

test('A84: the total of a preset is a budget of the agent over all its runs; one that stands is only lowered', async () => {
  // As the budgets' own migration makes it.
  await kit.sql(`create table if not exists baton.budgets (environment text, tenant_id text, scope text, period text, limit_micros bigint, limit_tokens bigint,
    limit_calls bigint, max_per_call_micros bigint, updated_at timestamptz, updated_by text, primary key (environment, tenant_id, scope, period))`)
  const budget = (agent: string) =>
    kit.sql(`select period, limit_micros, max_per_call_micros from baton.budgets where scope = $1`, [`agent:${agent}`])
  await make('total', { limits: { maxCostMicros: 500, maxPerCallMicros: 50 } })
  expect(await budget('total')).toEqual([{ period: 'lifetime', limit_micros: '500', max_per_call_micros: '50' }])
  ok(await kit.store.deleteAgent(authority, 'total'))
  await make('total', { limits: { maxCostMicros: 700 } })
  expect(await budget('total')).toEqual([{ period: 'lifetime', limit_micros: '500', max_per_call_micros: '50' }])
  await make('unlimited', { expiresInMs: 1_000 })
  expect(await budget('unlimited')).toEqual([])
})

test('a message that narrows cannot steer a run under other rules: it becomes the next one', async () => {
  const held = await hold(kit, 'steered')
  const request = withRun('steered', { expiresInMs: 60_000 })
  const answer = ok(await kit.store.open({ ...request, onBusy: 'steer' }))
  expect(answer.run).toMatchObject({ id: request.run.id, state: 'queued' })
  await commit(kit, held, answered(), completed)
  const next = await take(kit, held.agentUid)
  expect(next.runId).toBe(request.run.id)
  expect(next.answer.opened?.run.narrowing).toEqual({ expiresInMs: 60_000 })
  expect(next.answer.opened?.narrowing).toEqual({})
})

test('the rate of an agent counts model and tool calls of its window, and a full window refuses messages', async () => {
  await make('rate', { rate: { calls: 3, ms: 60_000 } })
  const held = await hold(kit, 'rate')
  expect(held.answer.opened?.flags.rate).toMatchObject({ left: 2 })
  const calls = [toolCall(0), toolCall(1)]
  const answer = await commit(kit, held, { ...answered(), calls }, { start: calls.map(({ callId }) => callId) })
  expect(answer.flags.rate?.left).toBe(0)
  expect(answer.flags.rate?.resetInMs).toBeGreaterThan(50_000)
  expect(await kit.store.open(openRequest('rate'))).toMatchObject({ ok: false, code: 'rate_limited', scope: 'agent:rate' })
  await kit.advance(60_000)
  expect(ok(await kit.store.open(openRequest('rate'))).run.state).toBe('queued')
})

test('another model than the one on the agent row is not reserved for at its price', async () => {
  await make('model', { model: 'test/other' })
  const held = await hold(kit, 'model')
  expect(held.answer).toMatchObject({ reserved: 'none' })
  expect(held.answer.opened?.narrowing).toEqual({ model: 'test/other' })
  expect(await kit.store.open(withRun('model', { model: 'test/model' }))).toMatchObject({ code: 'override_refused', field: 'model' })
})

test('the same creation twice is one agent; another preset is a conflict', async () => {
  const create = (overrides: object, narrowing: Narrowing) =>
    kit.store.createAgent({
      ...authority,
      versions: { plain: 'v1' },
      settings,
      agent: { name: 'same', uid: ids.uuid(), mustExist: false, template: 'plain', overrides, narrowing },
    })
  const first = ok(await create({ preset: 'restricted' }, { expiresInMs: 1_000 }))
  await kit.advance(10)
  const second = ok(await create({ preset: 'restricted' }, { expiresInMs: 1_000 }))
  expect([first.created, second.created]).toEqual([true, false])
  expect(second.agent.expiresAt).toBe(first.agent.expiresAt)
  expect(await create({ preset: 'temporary' }, {})).toMatchObject({ ok: false, code: 'conflict' })
})

test('invariant 9: the total of an agent that is made anew counts what its name has spent, and nothing drifts', async () => {
  const past = await hold(kit, 'anew', { execute: execution(900) })
  ok(await kit.store.deleteAgent(authority, 'anew'))
  await make('anew', { limits: { maxCostMicros: 1_000 } })
  const budgets = async () => ok(await kit.store.getBudget(authority, { scope: 'agent:anew', period: 'lifetime' })).budgets
  expect(await budgets()).toMatchObject([{ limitMicros: 1_000, spentMicros: 900, remainingMicros: 100 }])
  expect(await kit.store.open(openRequest('anew', { execute: execution(101) }))).toMatchObject({ code: 'budget_exceeded' })
  await hold(kit, 'anew', { execute: execution(100) })
  // The executor of the agent that is gone may settle still.
  const [entry] = await kit.sql<{ id: string }>('select id from baton.reservations where run_id = $1', [past.runId])
  const settled = { id: entry?.id ?? '', costMicros: 300, usage: noUsage, estimated: false }
  await kit.store.settle({ agentUid: past.agentUid, runId: past.runId, settle: [settled as Settlement] })
  expect(await budgets()).toMatchObject([{ spentMicros: 300, reservedMicros: 100 }])
  expect((await kit.store.fsck({ environment: 'test', after: null, repair: false })).budgets).toEqual([])
})

test('invariant 9: a settlement that is under way while its name is made anew counts once', async () => {
  const { agentUid, runId } = await hold(kit, 'twice', { execute: execution(900) })
  ok(await kit.store.deleteAgent(authority, 'twice'))
  const [entry] = await kit.sql<{ id: string }>('select id from baton.reservations where run_id = $1', [runId])
  const settle = [{ id: entry?.id, costMicros: 300, usage: noUsage, estimated: false }]
  await beside(kit, 'settle', { agentUid, runId, settle }, () => make('twice', { limits: { maxCostMicros: 1_000 } }))
  expect(ok(await kit.store.getBudget(authority, { scope: 'agent:twice', period: 'lifetime' })).budgets).toMatchObject([
    { spentMicros: 300, remainingMicros: 700 },
  ])
})

test('of two rates the stricter is told, two of one window share its count, and the earlier end of two holds', async () => {
  await make('rates', { rate: { calls: 10, ms: 60_000 }, expiresAt: await inMs(20_000) })
  const run = { ...openRequest('rates').run, narrowing: { rate: { calls: 4, ms: 60_000 }, expiresInMs: 3_600_000 } }
  const held = await hold(kit, 'rates', { run })
  expect(held.answer.opened?.flags.rate).toMatchObject({ left: 3 })
  expect(held.answer.opened?.flags.expiresInMs).toBeLessThanOrEqual(20_000)
})

test('a message with a model of its own is not reserved for at the price of the agent’s', async () => {
  const held = await hold(kit, 'own-model', { run: { ...openRequest('x').run, narrowing: { model: 'test/dear' } } })
  expect(held.answer).toMatchObject({ reserved: 'none' })
})

test('a retry lasts no longer than the run that it goes on from', async () => {
  const run = { ...openRequest('x').run, narrowing: { expiresAt: await inMs(30_000) } }
  const held = await hold(kit, 'brief', { run })
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const request = { runId: held.runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null }
  expect(ok(await kit.store.retry(authority, request)).run.expiresAt).toBe(ok(await kit.store.getRun(authority, held.runId)).run.expiresAt)
})

test('a retry has the lowered limits, the webhook, the metadata and the trace of the run that it goes on from', async () => {
  const webhook = { url: 'https://example.com/hook', secret: null }
  const brought = { metadata: { of: 'the message' }, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
  const held = await hold(kit, 'lowered', { run: { ...openRequest('x').run, limits: { maxSteps: 3 }, webhook, ...brought } })
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const request = { runId: held.runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null }
  expect(ok(await kit.store.retry(authority, request)).run.limits).toEqual({ ...settings.limits, maxSteps: 3 })
  const next = await take(kit, held.agentUid)
  await commit(kit, next, answered(), completed)
  expect(await kit.sql('select metadata, traceparent from baton.runs where run_id = $1', [next.runId])).toEqual([brought])
  const told = 'select type, url from baton.webhook_deliveries where run_id = $1'
  expect(await kit.sql(told, [next.runId])).toEqual([{ type: 'run.completed', url: webhook.url }])
})
