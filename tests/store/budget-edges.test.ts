import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Reservation, Settlement } from '#lib/core/commit'
import type { BudgetView } from '#lib/core/budget-store'
import type { Authority } from '#lib/core/store'
import { noUsage } from '#lib/core/run'
import {
  answered,
  asUser,
  authority,
  commit,
  commitOf,
  completed,
  execution,
  hold,
  ids,
  message,
  ok,
  openRequest,
  settings,
  startStore,
  take,
  toolCall,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

/* Rules of budgets that no other test noticed when they were taken away (scripts/mutations). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const put = async (scope: string, limits: Record<string, number | null>, period: BudgetView['period'] = 'day', by: Authority = authority) =>
  ok(await kit.store.putBudget(by, { scope, period }, limits))
const budget = async (scope: string, period: BudgetView['period'] = 'day'): Promise<BudgetView | undefined> =>
  ok(await kit.store.getBudget(authority, { scope, period })).budgets[0]
const reservation = (micros: number, tokens = 10): Reservation => ({
  id: ids.make('res'),
  step: 2,
  attempt: 0,
  model: 'test/model',
  micros,
  tokens,
})
const renew = async (held: Held, reserve: Reservation) => ok(await kit.store.renew({ ...held, leaseMs: 30_000, reserve }))
const first = async (held: Held): Promise<Settlement['id']> => {
  const [row] = await kit.sql<{ id: Settlement['id'] }>('select id from baton.reservations where run_id = $1 order by created_at', [
    held.runId,
  ])
  if (row === undefined) throw new Error('nothing was reserved')
  return row.id
}
const used = (id: Settlement['id'], costMicros: number, usage = { ...noUsage, inputTokens: 7, outputTokens: 3 }): Settlement => ({
  id,
  costMicros,
  usage,
  estimated: false,
})

test('the defaults hold in a tenant that has set nothing, and what is set for all counts there, too', async () => {
  await kit.store.ensureTenant({ id: 'plain', environment: 'test', secret: 'sealed' })
  const plain: Authority = { ...authority, credential: { operator: { tenant: 'plain', name: 'tester' } } }
  const user: Authority['credential'] = { user: { id: ids.uuid(), tenant: 'plain' } }
  const dear = (credential: Authority['credential'], micros: number) =>
    kit.store.open(openRequest(ids.uuid(), { credential, execute: execution(micros) }))
  expect(await dear(user, 5_000_001)).toMatchObject({ code: 'budget_exceeded', scope: `user:${'user' in user ? user.user.id : ''}` })
  expect(await dear(plain.credential, 100_000_001)).toMatchObject({ code: 'budget_exceeded', scope: 'tenant' })
  await put('global', { limitMicros: 2_000 })
  expect(await dear(plain.credential, 2_001)).toMatchObject({ code: 'budget_exceeded', scope: 'global' })
  ok(await kit.store.deleteBudget(authority, { scope: 'global' }))
})

test('a month begins with its first day', async () => {
  await put('agent:monthly', { limitMicros: 1 }, 'month')
  const [row] = await kit.sql<{ at: Date }>(`select date_trunc('month', baton.clock(), 'UTC') + interval '1 month' as at`)
  expect(new Date((await budget('agent:monthly', 'month'))?.resetsAt ?? '')).toEqual(row?.at)
})

test('a call that cost nothing and used nothing was none, and gives its place back', async () => {
  await put('agent:free', { limitCalls: 1 })
  const held = await hold(kit, 'free')
  expect(await renew(held, reservation(1))).toMatchObject({ reserved: 'refused', refusal: { reason: 'calls' } })
  await commit(kit, held, { settle: [used(await first(held), 0, noUsage)], progress: false })
  expect(await budget('agent:free')).toMatchObject({ calls: 0 })
  expect(await renew(held, reservation(1))).toMatchObject({ reserved: 'granted' })
})

test('what is late known of a dead epoch replaces its estimated tokens, too', async () => {
  await put('agent:late', { limitTokens: 1_000 })
  const held = await hold(kit, 'late', { execute: execution(0) })
  await commit(kit, held, { settle: [used(await first(held), 0, noUsage)], progress: false })
  const dead = reservation(100, 400)
  expect(await renew(held, dead)).toMatchObject({ reserved: 'granted' })
  await kit.advance(31_000)
  await take(kit, held.agentUid)
  expect(await budget('agent:late')).toMatchObject({ tokens: 400 })
  await kit.store.settle({ agentUid: held.agentUid, runId: held.runId, settle: [used(dead.id, 50)] })
  expect(await budget('agent:late')).toMatchObject({ tokens: 10 })
})

test('a limit of a day that is set today counts nothing of yesterday', async () => {
  const held = await hold(kit, 'yesterday')
  await commit(kit, held, { ...answered(), settle: [used(await first(held), 900)] }, completed)
  await kit.advance(86_400_000)
  expect((await put('agent:yesterday', { limitMicros: 1_000 })).budgets[0]).toMatchObject({ spentMicros: 0, calls: 0 })
  expect((await put('agent:yesterday', { limitMicros: 1_000 }, 'lifetime')).budgets[0]).toMatchObject({ spentMicros: 900, calls: 1 })
})

test('a threshold that was told is not told again by the next call', async () => {
  await put('agent:often', { limitMicros: 1_000 })
  const held = await hold(kit, 'often', { execute: execution(820) })
  await commit(kit, held, { settle: [used(await first(held), 820)], progress: false }, { reserve: reservation(50) })
  const rest = await kit.sql<{ id: Settlement['id'] }>(`select id from baton.reservations where run_id = $1 and state = 'reserved'`, [
    held.runId,
  ])
  await commit(kit, held, { ...answered(), settle: rest.map(({ id }) => used(id, 50)) }, completed)
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['budget'] }))
  expect(data.map((event) => event.data['level'])).toEqual([80])
})

test('the first call of a run that thinks sets aside what thinking may cost', async () => {
  const thinking = { ...settings, thinkingTokens: 2_000 }
  const [plain, deep] = [
    await hold(kit, 'thinks-not', { execute: execution(null) }),
    await hold(kit, 'thinks', { settings: thinking, execute: execution(null) }),
  ]
  const reserved = async (held: Held) => ok(await kit.store.getRun(authority, held.runId)).run.reservedMicros
  // 2,000 more tokens at 15 dollars a million, and the few that the agents' names differ by.
  expect((await reserved(deep)) - (await reserved(plain))).toBeGreaterThan(29_900)
})

test('A70: a limit of calls in a run counts the calls of its own tool alone, and one that never ran is given back', async () => {
  await put('tool:mine', { limitCalls: 3 }, 'run')
  await put('tool:mine', { limitCalls: 2 })
  const held = await hold(kit, 'counted', { execute: execution(0), credential: asUser(ids.uuid()) })
  const started = async (name: string) => {
    const call = toolCall(0, { name, costMicros: 5 })
    const content = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: name, input: call.input }]
    const start = [call.callId]
    const { refusedCalls } = await commit(kit, held, { messages: [message('assistant', content)], calls: [call] }, { start })
    return { call, refused: (refusedCalls ?? []).length }
  }
  const ended = (call: ReturnType<typeof toolCall>) => ({
    ...call,
    state: 'completed' as const,
    output: { type: 'text' as const, value: '' },
  })
  for (const name of ['theirs', 'theirs']) await commit(kit, held, { calls: [ended((await started(name)).call)] })
  const [unbegun, begun] = [await started('mine'), await started('mine')]
  expect([unbegun.refused, begun.refused]).toEqual([0, 0])
  expect(await budget('tool:mine')).toMatchObject({ calls: 2 })
  await commit(kit, held, { calls: [{ ...ended(unbegun.call), unbegun: true }, ended(begun.call)] })
  expect(await budget('tool:mine')).toMatchObject({ calls: 1 })
  // One that began in a process that died stays paid, whatever who takes over says of it.
  const { call } = await started('mine')
  await kit.sql('update baton.tool_calls set attempts = 2 where call_id = $1', [call.callId])
  await commit(kit, held, { calls: [{ ...ended(call), unbegun: true }] })
  expect(await budget('tool:mine')).toMatchObject({ calls: 2 })
  expect(ok(await kit.store.getRun(authority, held.runId)).run.costMicros).toBe(20)
})

test('a limit of all tenants wakes the runs of each that wait for room', async () => {
  const held = await hold(kit, 'waits-for-all', { execute: execution(0) })
  await commit(kit, held, { progress: false }, { wait: { kind: 'budget', ms: 3_600_000 } })
  const { outbox } = await put('global', { limitMicros: 1_000_000_000 })
  expect(outbox).toMatchObject([{ kind: 'continue', data: { runId: held.runId } }])
  ok(await kit.store.deleteBudget(authority, { scope: 'global' }))
})

test('a run cannot be retried while its budget is used up', async () => {
  const held = await hold(kit, 'used-up')
  await commit(
    kit,
    held,
    { settle: [used(await first(held), 900)] },
    { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } },
  )
  await put('agent:used-up', { limitMicros: 900 })
  const request = { runId: held.runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null }
  expect(await kit.store.retry(authority, request)).toMatchObject({ code: 'budget_exceeded', scope: 'agent:used-up' })
})

test('usage of a range ends before its end, a user sees their own alone, and pages of budgets repeat none', async () => {
  const id = ids.uuid()
  const held = await hold(kit, 'of-user', { credential: asUser(id) })
  const [row] = await kit.sql<{ at: string }>(`select to_json(created_at) #>> '{}' as at from baton.reservations where run_id = $1`, [
    held.runId,
  ])
  const at = row?.at ?? ''
  const groups = async (by: Authority, from: string, to: string) =>
    ok(await kit.store.usage(by, { groupBy: 'agent', from, to, after: null, limit: 200 })).data.map(({ group }) => group)
  expect(await groups(authority, '2020-01-01T00:00:00Z', at)).not.toContain('of-user')
  expect(await groups({ ...authority, credential: asUser(id) }, '2020-01-01T00:00:00Z', '2099-01-01T00:00:00Z')).toEqual(['of-user'])
  const pages: string[] = []
  for (let after: string | null = null; ;) {
    const data: BudgetView[] = ok(await kit.store.listBudgets(authority, { limit: 3, after })).data
    const names: string[] = data.map(({ scope, period }) => `${scope} ${period}`)
    pages.push(...names)
    if (names.length < 3 || pages.length > 50) break
    after = names.at(-1) ?? null
  }
  expect(new Set(pages).size).toBe(pages.length)
})

test('a run has reserved what was granted to it, not what it asked for, and pays no tool above its own limit', async () => {
  await put('agent:lowered', { limitMicros: 300 })
  const held = await hold(kit, 'lowered', { execute: execution(0), run: { ...openRequest('x').run, limits: { maxCostMicros: 400 } } })
  const lowered = await renew(held, { ...reservation(500), least: { micros: 100, tokens: 1 } })
  expect(lowered).toMatchObject({ reserved: 'granted', granted: { micros: 300 } })
  expect(ok(await kit.store.getRun(authority, held.runId)).run.reservedMicros).toBe(300)
  await put('agent:lowered', { limitMicros: 10_000 })
  expect(await renew(held, reservation(200))).toMatchObject({ reserved: 'refused', refusal: { scope: `run:${held.runId}` } })
  const call = toolCall(0, { name: 'dear', costMicros: 200 })
  const content = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: 'dear', input: call.input }]
  const { refusedCalls } = await commit(kit, held, { messages: [message('assistant', content)], calls: [call] }, { start: [call.callId] })
  expect(refusedCalls).toMatchObject([{ output: { value: { errorType: 'budget_exceeded', scope: `run:${held.runId}` } } }])
})

test('a limit that is raised has thresholds of its own', async () => {
  await put('agent:raised', { limitMicros: 1_000 })
  const held = await hold(kit, 'raised', { execute: execution(820) })
  await commit(kit, held, { settle: [used(await first(held), 820)], progress: false })
  await put('agent:raised', { limitMicros: 2_000 })
  const more = reservation(800)
  await renew(held, more)
  await commit(kit, held, { settle: [used(more.id, 800)], progress: false })
  expect(await levels(held)).toEqual([
    [80, 1_000],
    [80, 2_000],
  ])
})

const levels = async (held: Held) =>
  ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['budget'] })).data.map(({ data }) => [
    data['level'],
    data['limitMicros'],
  ])

test('nothing is told of a budget that was deleted, and the limit that applies in its place is told at once', async () => {
  const spend = async (name: string) => {
    await put(`agent:${name}`, { limitMicros: 1_000 })
    const held = await hold(kit, name, { execute: execution(1_000) })
    ok(await kit.store.deleteBudget(authority, { scope: `agent:${name}` }))
    await commit(kit, held, { settle: [used(await first(held), 1_000)], progress: false })
    return levels(held)
  }
  expect(await spend('deleted')).toEqual([])
  expect(await kit.sql(`select text from baton.alerts where cause like 'budget:one:agent:deleted:%'`)).toEqual([])
  await put('agent:*', { limitMicros: 1_200 })
  expect(await spend('wider')).toEqual([[80, 1_200]])
  ok(await kit.store.deleteBudget(authority, { scope: 'agent:*' }))
})

test('a limit of all agents that is raised has thresholds of its own, also for what was reserved before', async () => {
  await put('agent:*', { limitMicros: 1_000 })
  const [held, other] = [
    await hold(kit, 'one-of-all', { execute: execution(820) }),
    await hold(kit, 'another', { execute: execution(1_000) }),
  ]
  await commit(kit, held, { settle: [used(await first(held), 820)], progress: false })
  await put('agent:own', { limitMicros: 1_500 })
  await hold(kit, 'own')
  await put('agent:*', { limitMicros: 2_000 })
  const limits = await kit.sql(`select limit_micros::integer as most from baton.budget_counters where scope = 'agent:own'`)
  expect(limits).toEqual([{ most: 1_500 }])
  const more = reservation(800)
  await renew(held, more)
  await commit(kit, held, { settle: [used(more.id, 800)], progress: false })
  await commit(kit, other, { settle: [used(await first(other), 1_000)], progress: false })
  ok(await kit.store.deleteBudget(authority, { scope: 'agent:*' }))
  expect(await levels(held)).toEqual([
    [80, 1_000],
    [80, 2_000],
  ])
  expect(await levels(other)).toEqual([])
})

test('invariant 9: tokens that are set aside count against a limit of tokens', async () => {
  await put('agent:tokens', { limitTokens: 100 })
  const held = await hold(kit, 'tokens', { execute: execution(0) })
  expect(await renew(held, reservation(1, 60))).toMatchObject({ reserved: 'granted' })
  expect(await renew(held, reservation(1, 60))).toMatchObject({ reserved: 'refused', refusal: { reason: 'tokens', tokens: 60 } })
})

test('invariants 3 and 9: a commit whose next call found no room says so again when its reply was lost', async () => {
  await put('agent:no-room-twice', { limitMicros: 1_000 })
  const held = await hold(kit, 'no-room-twice')
  const asking = commitOf(held, { progress: false }, { reserve: reservation(1_000) })
  const first = ok(await kit.store.commit(asking))
  expect(first).toMatchObject({ reserved: 'refused', refusal: { scope: 'agent:no-room-twice' } })
  expect(ok(await kit.store.commit(asking))).toMatchObject({ reserved: 'refused', refusal: first.refusal })
})
