import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BudgetView } from '#lib/core/budget-store'
import { authority, beside, commit, execution, hold, message, ok, startStore, toolCall, type StoreKit } from '#tests/store/kit'

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
  await commit(kit, held, { calls: done })
  expect(await budget('agent:back')).toMatchObject({ spentMicros: 700 })
  expect(await budget('tool:unrun')).toMatchObject({ spentMicros: 700, calls: 1 })
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
