import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Credential } from '#lib/core/store'
import { answerWith, askedCall, facts, paused } from '#tests/approvals/kit'
import {
  asUser,
  authority,
  beside,
  commit,
  hold,
  ids,
  message,
  ok,
  openRequest,
  startStore,
  take,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

/* Rules of approvals that no other test noticed when they were taken away (scripts/mutations). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const output = { type: 'text' as const, value: 'ok' }

test('"always" goes with an allowed permission alone: neither a denial nor a repeat of unknown outcome allows a tool for good', async () => {
  const [denied, unknown] = [askedCall(0), askedCall(1, {}, { kind: 'unknown_outcome' })]
  await paused(kit, 'never-always', [denied, unknown])
  ok(await kit.store.decide(authority, { approvalId: denied.approval.id, decision: 'deny', always: true }))
  ok(await kit.store.decide(authority, { approvalId: unknown.approval.id, decision: 'allow', always: true }))
  const allowed = askedCall(0)
  await paused(kit, 'always', [allowed])
  ok(await kit.store.decide(authority, { approvalId: allowed.approval.id, decision: 'allow', always: true }))
  const of = async (agent: string) => ok(await kit.store.getAgent(authority, agent)).agent.alwaysAllowed
  expect([await of('never-always'), await of('always')]).toEqual([[], ['charge']])
})

test('of a long reason the inbox keeps the first 500 characters', async () => {
  const call = askedCall(0, {}, { reason: 'r'.repeat(501) })
  const held = await paused(kit, 'long-reason', [call])
  expect((await facts(kit, held)).approvals).toMatchObject([{ id: call.approval.id, reason: 'r'.repeat(500) }])
})

test('a user answers the outside calls of their own agents alone, and a tenant those of its own', async () => {
  const [owner, other] = [ids.uuid(), ids.uuid()]
  const call = toolCall(0, { effect: 'external', name: 'outside' })
  const held = await paused(kit, 'answered-by', [call], { credential: asUser(owner) })
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
  const answer = (credential: Credential) =>
    kit.store.callResult({
      environment: 'test',
      credential,
      agentUid: held.agentUid,
      callId: call.callId,
      state: 'completed',
      output,
      requestId: 'r',
    })
  expect(await answer(asUser(other))).toMatchObject({ ok: false, code: 'call_not_found' })
  expect(await answer({ operator: { tenant: 'two', name: 'tester' } })).toMatchObject({ ok: false, code: 'call_not_found' })
  expect(await answer(asUser(owner))).toMatchObject({ ok: true })
})

test('events and webhooks that ask for an approval show the copy without secrets, and after an edit what was edited', async () => {
  const webhook = { url: 'https://example.com/hook', secret: null }
  const call = askedCall(0, { input: { card: '4242' }, shownInput: { card: '[redacted]' } })
  const held = await paused(kit, 'secretive', [call], { run: { ...openRequest('x').run, webhook } })
  const { events } = await facts(kit, held)
  expect(events.find((event) => event.type === 'approval_required')?.data).toMatchObject({ input: { card: '[redacted]' } })
  const [sent] = await kit.sql<{ data: object }>(`select payload -> 'data' as data from baton.webhook_deliveries where run_id = $1`, [
    held.runId,
  ])
  expect(sent?.data).toMatchObject({ approvals: [{ input: { card: '[redacted]' } }] })
  const sealed = askedCall(0, { input: { card: '4242' }, shownInput: { card: '[redacted]' } })
  const stopped = await paused(kit, 'secretive-stopped', [sealed])
  ok(await kit.store.stop(authority, { runId: stopped.runId }, 'cancelled', null))
  const ends = (await facts(kit, stopped)).events.filter((event) => event.type === 'tool_end')
  expect(ends).toMatchObject([{ data: { call: { state: 'sealed', input: { card: '[redacted]' } } } }])
  ok(await kit.store.decide(authority, { approvalId: call.approval.id, decision: 'allow', input: { amount: 5 }, inputHash: 'edited' }))
  await commit(kit, await take(kit, held.agentUid), { progress: false }, { start: [call.callId] })
  expect((await facts(kit, held)).events.find((event) => event.type === 'tool_start')?.data).toMatchObject({ input: { amount: 5 } })
})

test('a decision that met an executor which then died has left a result: who takes over finds it in the history', async () => {
  const [plain, asked] = [toolCall(0), askedCall(1)]
  const held = await hold(kit, 'left-result')
  await answerWith(kit, held, [plain, asked])
  await commit(kit, held, { calls: [{ ...plain, state: 'completed', output }] })
  ok(await kit.store.decide(authority, { approvalId: asked.approval.id, decision: 'deny' }))
  expect((await facts(kit, held)).roles).toEqual(['user', 'assistant'])
  await kit.advance(31_000)
  const { answer } = await take(kit, held.agentUid)
  expect(answer).toMatchObject({ opened: { calls: [] } })
  expect((await facts(kit, held)).roles).toEqual(['user', 'assistant', 'tool'])
})

test('a run that was cancelled while it waited outside is told nothing when that time is over', async () => {
  const call = toolCall(0, { effect: 'external', name: 'outside' })
  const held = await paused(kit, 'cancelled-outside', [call])
  ok(await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null))
  const before = (await facts(kit, held)).events.length
  await kit.advance(2 * 86_400_000)
  await kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 3_600_000, limit: 200 })
  const { calls, events } = await facts(kit, held)
  expect(calls).toMatchObject([{ state: 'sealed' }])
  expect(events).toHaveLength(before)
})

test('a cancelled run that waited for several decisions cancels each for its own call', async () => {
  const [one, other, outside] = [askedCall(0), askedCall(1), toolCall(2, { effect: 'external', name: 'outside' })]
  const held = await paused(kit, 'cancelled-twice', [one, other, outside])
  ok(await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null))
  const { approvals, calls, decided } = await facts(kit, held)
  expect(approvals).toMatchObject([{ state: 'cancelled' }, { state: 'cancelled' }])
  expect(calls.map(({ state }) => state)).toEqual(['sealed', 'sealed', 'sealed'])
  expect(decided.map(({ data }) => [data['approvalId'], data['callId']])).toEqual(
    [one, other].map(({ approval, callId }) => [approval.id, callId]),
  )
})

test('a cancelled run leaves what had been decided as it was', async () => {
  const call = askedCall(0)
  const held = await paused(kit, 'decided-once', [call])
  ok(await kit.store.decide(authority, { approvalId: call.approval.id, decision: 'allow' }))
  const next = await take(kit, held.agentUid)
  const again = askedCall(0, { callId: call.callId }, { kind: 'unknown_outcome' })
  await commit(kit, next, { calls: [again] }, { pause: true, waiting: [call.callId] })
  ok(await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null))
  const { approvals } = await facts(kit, held)
  expect(Object.fromEntries(approvals.map(({ id, state }) => [id, state]))).toEqual({
    [call.approval.id]: 'allowed',
    [again.approval.id]: 'cancelled',
  })
})

test('a call that waits outside has one result, also when two come at the same time', async () => {
  const call = toolCall(0, { effect: 'external', name: 'outside' })
  const held = await paused(kit, 'one-result', [call])
  const result = (value: string) => ({
    environment: 'test',
    agentUid: held.agentUid,
    callId: call.callId,
    state: 'completed' as const,
    output: { type: 'text' as const, value },
    requestId: 'r',
  })
  expect(await beside(kit, 'call_result', result('first'), () => kit.store.callResult(result('second')))).toMatchObject({
    code: 'already_decided',
  })
  expect((await facts(kit, held)).calls).toMatchObject([{ output: { value: 'first' } }])
})

test('invariant 5: what was decided while an executor held the agent that died then stands in the history of the next one', async () => {
  const held = await hold(kit, 'decided-and-died')
  const call = askedCall(0)
  const content = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }]
  await commit(kit, held, { messages: [message('assistant', content)], calls: [call], count: { step: 1, steps: 1, modelCalls: 1 } })
  ok(await kit.store.decide(authority, { approvalId: call.approval.id, decision: 'deny' }))
  await kit.advance(31_000)
  const { answer } = await take(kit, held.agentUid)
  expect(answer.opened?.calls).toEqual([])
  expect(answer.opened?.window.map((row) => row.role)).toEqual(['user', 'assistant', 'tool'])
})

test('each filter of the inbox leaves out what it should, and the end of a range is not in it', async () => {
  const early = await paused(kit, 'inbox-early', [askedCall(0)])
  const between = (await kit.sql<{ at: string }>(`select to_json(baton.clock()) #>> '{}' as at`))[0]?.at
  const late = await paused(kit, 'inbox-late', [askedCall(0, { name: 'transfer' }), askedCall(1, { name: 'transfer' })])
  const list = async (filter: Record<string, unknown>) => {
    const { data } = ok(await kit.store.listApprovals(authority, { limit: 200, after: null, ...filter }))
    return data.filter(({ agentId }) => agentId.startsWith('inbox-')).map(({ agentId, tool }) => `${agentId} ${tool}`)
  }
  const [one, two] = [['inbox-early charge'], ['inbox-late transfer', 'inbox-late transfer']]
  expect(await list({})).toEqual([...one, ...two])
  for (const filter of [{ to: between }, { agent: 'inbox-early' }, { runId: early.runId }, { tool: 'charge' }])
    expect(await list(filter), JSON.stringify(filter)).toEqual(one)
  for (const filter of [{ from: between }, { agent: 'inbox-late' }, { runId: late.runId }, { tool: 'transfer' }])
    expect(await list(filter), JSON.stringify(filter)).toEqual(two)
  const [row] = await kit.sql<{ at: string }>(`select to_json(created_at) #>> '{}' as at from baton.approvals where run_id = $1`, [
    late.runId,
  ])
  expect([await list({ to: row?.at }), await list({ from: row?.at })]).toEqual([one, two])
})
