import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
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

/** A tenant of its own for each test, so that they can run at the same time. */
async function tenant(limits: Record<string, object>): Promise<Authority> {
  const id = `ten-${ids.uuid()}`
  await kit.store.ensureTenant({ id, environment: 'test', secret: 'sealed' })
  const operator: Authority = { ...authority, credential: { operator: { tenant: id, name: 'tester' } } }
  for (const [scope, values] of Object.entries(limits)) ok(await kit.store.setLimit(operator, { scope, values }))
  return operator
}
const open = (who: Authority, agent: string, over = {}) => kit.store.open(openRequest(agent, { ...who, execute: execution(), ...over }))

test.concurrent('A12: of 12 starts at once exactly as many as the limit pass; one that ends makes room', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 2 } })
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => open(who, `a12-${n}`)))
  expect(answers.filter((answer) => answer.ok)).toHaveLength(2)
  const refusals = answers.filter((answer) => !answer.ok)
  expect(refusals).toHaveLength(10)
  for (const refusal of refusals)
    expect(refusal).toMatchObject({ code: 'queue_full', scope: 'tenant', limit: 2, running: 2, retryAfterMs: 5_000 })
  const [first] = answers.flatMap((answer) => (answer.ok ? [answer] : []))
  // A refused first message leaves no agent behind.
  const agents = await kit.store.listAgents(who, { limit: 50, after: null })
  expect(agents).toHaveLength(2)
  const opened = first?.opened
  if (first === undefined || opened === undefined) throw new Error('nothing was opened')
  const held = { agentUid: first.agentUid, runId: first.run.id, sliceId: opened.lease.sliceId, epoch: opened.lease.epoch, answer: first }
  await commit(kit, held, answered(), completed)
  ok(await open(who, 'a12-after'))
  expect(await open(who, 'a12-again')).toMatchObject({ code: 'queue_full' })
})

test('A12: a start waits for one that is not over yet before it counts the places', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 1 } })
  const first = openRequest('a12-first', { ...who, execute: execution() })
  expect(await beside(kit, 'open', first, () => open(who, 'a12-second'))).toMatchObject({ code: 'queue_full', scope: 'tenant', running: 1 })
})

test('A12: a start of a user waits for one of theirs that is not over yet before it counts their places', async () => {
  const operator = await tenant({ 'user:*': { concurrentRuns: 1 } })
  const of = 'operator' in operator.credential ? operator.credential.operator.tenant : ''
  const user: Authority = { ...operator, credential: { user: { id: ids.uuid(), tenant: of } } }
  const first = openRequest('a12-of-user', { ...user, execute: execution() })
  expect(await beside(kit, 'open', first, () => open(user, 'a12-of-user-too'))).toMatchObject({ code: 'queue_full', limit: 1, running: 1 })
})

test.concurrent('A12: the fourth queued message is refused, and the run that replaces an ended one is no new one', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 1 }, 'agent:*': { queuedMessages: 3 } })
  const held = await hold(kit, 'queue', who)
  for (let n = 0; n < 3; n++) ok(await open(who, 'queue'))
  expect(await open(who, 'queue')).toMatchObject({ code: 'queue_full', scope: 'agent:queue', limit: 3, queued: 3 })
  expect(await open(who, 'queue', { onBusy: 'reject' })).toMatchObject({ code: 'agent_busy' })
  await commit(kit, held, answered(), completed)
  expect(await kit.store.getAgent(who, 'queue')).toMatchObject({ agent: { state: 'working', queued: 2 } })
  expect(await open(who, 'other')).toMatchObject({ code: 'queue_full', scope: 'tenant' })
})

test.concurrent('a user may have 5 running runs unless something else is set, and others are not concerned', async () => {
  const operator = await tenant({})
  const id = 'operator' in operator.credential ? operator.credential.operator.tenant : ''
  const user = (uuid: string): Authority => ({ ...operator, credential: { user: { id: uuid, tenant: id } } })
  const one = user(ids.uuid())
  const all = await Promise.all(Array.from({ length: 8 }, (_, n) => open(one, `u-${n}`)))
  expect(all.filter((answer) => answer.ok)).toHaveLength(5)
  ok(await open(user(ids.uuid()), 'somebody-else'))
  ok(await open(operator, 'operator'))
  const [scope] = Object.keys(one.credential)
  expect(scope).toBe('user')
  const uuid = 'user' in one.credential ? one.credential.user.id : ''
  ok(await kit.store.setLimit(operator, { scope: `user:${uuid}`, values: { concurrentRuns: 6 } }))
  ok(await open(one, 'sixth'))
  expect(await open(one, 'seventh')).toMatchObject({ code: 'queue_full', scope: `user:${uuid}`, limit: 6 })
  ok(await kit.store.setLimit(operator, { scope: 'user:*', values: { concurrentRuns: 0 } }))
  expect(await open(user(ids.uuid()), 'zero')).toMatchObject({ code: 'queue_full', limit: 0 })
  expect(await open(one, 'eighth')).toMatchObject({ code: 'queue_full', limit: 6 })
})

test.concurrent('a run that waits for a hand-over counts, one that awaits an approval does not', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 1 } })
  const held = await hold(kit, 'waits', who)
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
  expect(await open(who, 'next')).toMatchObject({ code: 'queue_full' })
  await kit.sql(`update baton.runs set state = 'awaiting_approval', due_at = null where run_id = $1`, [held.runId])
  ok(await open(who, 'next'))
})

test.concurrent('a message that interrupts a paused agent needs a place: what awaits an approval has none to leave', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 1 } })
  const held = await hold(kit, 'paused', who)
  const call = toolCall(0, { state: 'approval_required' })
  await commit(kit, held, { ...answered(), calls: [call] }, { pause: true })
  expect(await kit.store.getAgent(who, 'paused')).toMatchObject({ agent: { state: 'paused' } })
  await hold(kit, 'other', who)
  const interrupt = () => open(who, 'paused', { onBusy: 'interrupt' })
  expect(await interrupt()).toMatchObject({ code: 'queue_full', scope: 'tenant', limit: 1, running: 1 })
  // What only waits behind it takes no place, and who is at work leaves its own.
  ok(await open(who, 'paused', { onBusy: 'enqueue' }))
  ok(await open(who, 'other', { onBusy: 'interrupt' }))
  ok(await kit.store.setLimit(who, { scope: 'tenant', values: { concurrentRuns: 2 } }))
  const { run } = ok(await interrupt())
  expect(await take(kit, held.agentUid)).toMatchObject({ runId: run.id })
})

test.concurrent('a run of a user that waits for a hand-over keeps its place among those of the user', async () => {
  const operator = await tenant({ 'user:*': { concurrentRuns: 1 } })
  const of = 'operator' in operator.credential ? operator.credential.operator.tenant : ''
  const user: Authority = { ...operator, credential: { user: { id: ids.uuid(), tenant: of } } }
  await commit(kit, await hold(kit, 'waits', user), { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
  expect(await open(user, 'next')).toMatchObject({ code: 'queue_full', limit: 1, running: 1 })
})

test.concurrent('a user of two tenants has as many runs and agents in each as that one gives them', async () => {
  const id = ids.uuid()
  const userOf = (operator: Authority): Authority => {
    const of = 'operator' in operator.credential ? operator.credential.operator.tenant : ''
    return { ...operator, credential: { user: { id, tenant: of } } }
  }
  const wide = userOf(await tenant({}))
  const narrow = userOf(await tenant({ 'user:*': { concurrentRuns: 1, agents: 1 } }))
  for (const agent of ['first', 'second']) ok(await open(wide, agent))
  ok(await open(narrow, 'first'))
  expect(await open(narrow, 'second')).toMatchObject({ ok: false, code: 'conflict', reason: 'too_many_agents', most: 1 })
})

test.concurrent('a retry starts a run like a message does', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 1 } })
  const failing = await hold(kit, 'fails', who)
  const end = { state: 'failed', stopReason: 'internal_error', output: null, error: null } as const
  await commit(kit, failing, {}, { end })
  await hold(kit, 'works', who)
  const retry = () => kit.store.retry(who, { runId: failing.runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null })
  expect(await retry()).toMatchObject({ code: 'queue_full', scope: 'tenant' })
  ok(await kit.store.setLimit(who, { scope: 'tenant', values: { concurrentRuns: 2 } }))
  ok(await retry())
  // While the agent is at work it waits in the queue, which has a bound for it, too.
  for (let queued = 0; queued < settings.maxQueued; queued++) ok(await retry())
  expect(await retry()).toMatchObject({ code: 'queue_full', queued: settings.maxQueued })
})

test.concurrent('limits are read, replaced and taken away; each change and each refusal stands in the audit log', async () => {
  const who = await tenant({ tenant: { concurrentRuns: 0 }, 'tool:echo': { requestsPerMinute: 3 } })
  const of = 'operator' in who.credential ? who.credential.operator.tenant : ''
  expect(await kit.store.limitsOf(who)).toMatchObject({ tenant: of, caller: 'tester', limits: { tenant: { concurrentRuns: 0 } } })
  expect(await kit.store.tenantLimits({ tenant: of, environment: 'elsewhere' })).toMatchObject({ limits: {} })
  expect(await open(who, 'none')).toMatchObject({ code: 'queue_full', limit: 0 })
  ok(await kit.store.setLimit(who, { scope: 'tenant', values: {} }))
  ok(await open(who, 'none'))
  ok(await kit.store.limitRefused(who, { limit: 'user', perWindow: 60, count: 7 }))
  expect(ok(await kit.store.listLimits(who)).data).toMatchObject([{ scope: 'tool:echo', requestsPerMinute: 3, updatedBy: 'tester' }])
  const audit = await kit.sql(
    `select action, decision, code, scope, data from baton.audit where tenant_id = $1 and action in ('limit.set', 'message.accept', 'request.admit') and (decision <> 'allowed') order by id`,
    [of],
  )
  expect(audit).toMatchObject([
    { action: 'limit.set', scope: 'tenant', data: { concurrentRuns: 0 } },
    { action: 'limit.set', scope: 'tool:echo' },
    { action: 'message.accept', decision: 'refused', code: 'queue_full', scope: 'tenant' },
    { action: 'limit.set', scope: 'tenant', data: null },
    { action: 'request.admit', code: 'rate_limited', data: { limit: 'user', count: 7 } },
  ])
})

test('the sweep takes due runs in turns over the tenants', async () => {
  const many = await tenant({})
  for (let n = 0; n < 12; n++) ok(await kit.store.open(openRequest(`many-${n}`, many)))
  await kit.advance(1_000)
  const few = await tenant({})
  const theirs = [ok(await kit.store.open(openRequest('few-1', few))), ok(await kit.store.open(openRequest('few-2', few)))]
  await kit.sql('update baton.outbox set sent_at = created_at')
  await kit.advance(11_000)
  const { outbox } = await kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 10_000, limit: 6 })
  const swept = outbox.map((row) => row.data.agentUid)
  for (const { agentUid } of theirs) expect(swept).toContain(agentUid)
})
