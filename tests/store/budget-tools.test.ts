import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BudgetView } from '#lib/core/budget-store'
import { noUsage } from '#lib/core/run'
import type { Settlement } from '#lib/core/commit'
import {
  answered,
  authority,
  beside,
  commit,
  completed,
  execution,
  hold,
  ids,
  message,
  ok,
  openRequest,
  startStore,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const put = async (scope: string, limits: Record<string, number>, period: BudgetView['period'] = 'day'): Promise<unknown> =>
  ok(await kit.store.putBudget(authority, { scope, period }, limits))
const budget = async (scope: string): Promise<BudgetView | undefined> =>
  ok(await kit.store.getBudget(authority, { scope, period: 'day' })).budgets[0]

test('A70: a tool that is over its limit fails alone; what it costs is paid when it starts', async () => {
  await put('tool:echo', { limitCalls: 2 }, 'run')
  await put('tool:dear', { limitMicros: 1_000 })
  const held = await hold(kit, 'tools', { execute: execution(0) })
  const calls = [
    toolCall(0),
    toolCall(1),
    toolCall(2),
    toolCall(3, { name: 'dear', costMicros: 700 }),
    toolCall(4, { name: 'dear', costMicros: 700 }),
  ]
  const content = calls.map((call) => ({ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }))
  const start = calls.map((call) => call.callId)
  const answer = await commit(kit, held, { messages: [message('assistant', content)], calls, count: { step: 1, modelCalls: 1 } }, { start })
  expect(answer.refusedCalls?.map(({ callId }) => callId)).toEqual([start[2], start[4]])
  expect(answer).toMatchObject({ costMicros: 700, toolCalls: 3, entered: [] })
  expect(answer.refusedCalls?.[0]?.output).toMatchObject({
    type: 'error-json',
    value: { errorType: 'budget_exceeded', scope: 'tool:echo' },
  })
  expect(await budget('tool:dear')).toMatchObject({ spentMicros: 700, calls: 1 })
  const done = calls
    .filter((_, index) => index !== 2 && index !== 4)
    .map((call) => ({ ...call, state: 'completed' as const, output: { type: 'text' as const, value: '' } }))
  expect((await commit(kit, held, { calls: done })).entered).toHaveLength(1)
  expect(
    await kit.sql(`select model, state, cost_micros::int as cost from baton.reservations where run_id = $1 and model like 'tool:%'`, [
      held.runId,
    ]),
  ).toEqual([{ model: 'tool:dear', state: 'settled', cost: 700 }])
})

test('invariant 9: a call that never ran is given back to the limits, too, that were set while it was at work', async () => {
  const held = await hold(kit, 'back', { execute: execution(0) })
  const calls = [toolCall(0, { name: 'unrun', costMicros: 700 }), toolCall(1, { name: 'unrun', costMicros: 700 })]
  const content = calls.map((call) => ({ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }))
  const start = calls.map((call) => call.callId)
  await commit(kit, held, { messages: [message('assistant', content)], calls, count: { step: 1, modelCalls: 1 } }, { start })
  await put('agent:back', { limitMicros: 10_000 })
  await put('tool:unrun', { limitMicros: 10_000 })
  expect(await budget('agent:back')).toMatchObject({ spentMicros: 1_400 })
  expect(await budget('tool:unrun')).toMatchObject({ spentMicros: 1_400, calls: 2 })
  const output = { type: 'text' as const, value: '' }
  const done = calls.map((call, index) => ({
    ...call,
    state: 'completed' as const,
    output,
    ...(index === 0 ? { unbegun: true as const } : {}),
  }))
  // Once, however often it is said.
  for (const _time of ['first', 'again']) {
    await commit(kit, held, { calls: done })
    expect(await budget('agent:back')).toMatchObject({ spentMicros: 700 })
    expect(await budget('tool:unrun')).toMatchObject({ spentMicros: 700, calls: 1 })
  }
})

test('invariant 9: a call is given back to a limit that was being set when its outcome came', async () => {
  const held = await hold(kit, 'meanwhile', { execute: execution(0) })
  const call = toolCall(0, { name: 'unmade', costMicros: 700 })
  const content = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }]
  const happened = { messages: [message('assistant', content)], calls: [call], count: { step: 1, modelCalls: 1 } }
  await commit(kit, held, happened, { start: [call.callId] })
  const done = { ...call, state: 'completed' as const, output: { type: 'text' as const, value: '' }, unbegun: true as const }
  const limit = { ...authority, scope: 'agent:meanwhile', period: 'day', limitMicros: 10_000 }
  await beside(kit, 'put_budget', limit, () => commit(kit, held, { calls: [done] }))
  expect(await budget('agent:meanwhile')).toMatchObject({ spentMicros: 0, remainingMicros: 10_000 })
})

test('when all calls of an answer are refused, their results enter at once', async () => {
  await put('tool:never', { limitCalls: 0 }, 'day')
  const held = await hold(kit, 'refused', { execute: execution(0) })
  const call = toolCall(0, { name: 'never' })
  const content = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }]
  const answer = await commit(
    kit,
    held,
    { messages: [message('assistant', content)], calls: [call], count: { step: 1 } },
    { start: [call.callId] },
  )
  expect(answer).toMatchObject({ toolCalls: 0, entered: [{ role: 'tool' }] })
})

test.each([
  ['tokens', { limitTokens: 100 }, 80],
  ['calls', { limitCalls: 1 }, 100],
])('a threshold of a limit of %s is told like one of money', async (name, limits, level) => {
  await put(`agent:of-${name}`, limits)
  const held = await hold(kit, `of-${name}`)
  const [row] = await kit.sql<{ id: Settlement['id'] }>('select id from baton.reservations where run_id = $1', [held.runId])
  if (row === undefined) throw new Error('nothing was reserved')
  const usage = { ...noUsage, inputTokens: 80, outputTokens: 5 }
  await commit(kit, held, { settle: [{ id: row.id, costMicros: 1, usage, estimated: false }], progress: false })
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['budget'] }))
  expect(data.map((event) => event.data)).toMatchObject([{ level, scope: `agent:of-${name}`, tokens: 85, calls: 1 }])
})

const sweep = () => kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 0, limit: 10, from: 'cron' })

test('a budget with less left than a call may cost is told once, at its first refusal, and anew when it has another limit', async () => {
  const refused = async (micros = 1_001) =>
    expect(await kit.store.open(openRequest('tight', { execute: execution(micros) }))).toMatchObject({ code: 'budget_exceeded' })
  const lines = async () =>
    (await kit.sql<{ text: string }>(`select text from baton.alerts where cause = 'budget:one:agent:tight:day'`)).map(({ text }) => text)
  // A call above what one may cost says nothing of what is left.
  await put('agent:tight', { limitMicros: 2_000, maxPerCallMicros: 500 })
  await refused()
  expect(await lines()).toEqual([])
  await put('agent:tight', { limitMicros: 1_000 })
  await refused()
  expect(await lines()).toEqual([
    expect.stringMatching(/agent:tight \(one, day, \$0\.001\) is used up, or what is left .*, until \d{4}-.* UTC\.$/),
  ])
  const { alerts } = await sweep()
  await kit.store.alertsTold({ environment: 'test', causes: alerts.map(({ cause }) => cause) })
  await kit.advance(601_000)
  await refused()
  expect((await sweep()).alerts).toEqual([])
  await put('agent:tight', { limitMicros: 1_002 })
  await refused(1_003)
  expect((await sweep()).alerts).toMatchObject([{ text: expect.stringContaining('$0.001002') }])
  // A run in hand is refused its next call: that is told as well.
  await put('agent:tight', { limitMicros: 5_000 })
  await kit.advance(601_000)
  const held = await hold(kit, 'tight', { execute: execution(1_000) })
  const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 4_001, tokens: 1 }
  expect(ok(await kit.store.renew({ ...held, leaseMs: 30_000, reserve }))).toMatchObject({ reserved: 'refused' })
  expect((await sweep()).alerts).toMatchObject([{ text: expect.stringContaining('$0.005') }])
  ok(await kit.store.deleteBudget(authority, { scope: 'agent:tight' }))
})

test('a budget for life that an agent has used up is told no more once the agent is deleted', async () => {
  await put('agent:brief', { limitCalls: 1 }, 'lifetime')
  const held = await hold(kit, 'brief')
  const [row] = await kit.sql<{ id: Settlement['id'] }>('select id from baton.reservations where run_id = $1', [held.runId])
  const settle = [{ id: row?.id as Settlement['id'], costMicros: 1, usage: { ...noUsage, inputTokens: 1 }, estimated: false }]
  await commit(kit, held, { ...answered(), settle }, completed)
  const ratio = async () => {
    const { samples } = ok(await kit.store.readMetrics(authority, 'one'))
    return samples.find(([name, { period }]) => name === 'baton_budget_utilization_ratio' && period === 'lifetime')?.[3]
  }
  expect(await ratio()).toBe(1)
  ok(await kit.store.deleteAgent(authority, 'brief'))
  expect(await ratio()).toBeUndefined()
})

test('a limit of tokens or calls alone has no money that remains, and does not stand before one of money', async () => {
  await put('agent:no-money', { limitCalls: 1_000 })
  await put('agent:no-money', { limitMicros: 2_000 }, 'month')
  const { budgets } = ok(await kit.store.getBudget(authority, { scope: 'agent:no-money' }))
  expect(budgets.map(({ period, remainingMicros }) => [period, remainingMicros])).toEqual([
    ['month', 2_000],
    ['day', null],
  ])
})
