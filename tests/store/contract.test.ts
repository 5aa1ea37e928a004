import { afterAll, beforeAll, expect, test } from 'vitest'
import { noUsage, type ToolCall } from '#lib/core/run'
import {
  answered,
  authority,
  claimRequest,
  commit,
  commitOf,
  completed,
  execution,
  hold,
  ids,
  message,
  ok,
  openRequest,
  startStore,
  take,
  toolCall,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

/* What the database alone must hold of the run contract, each rule by itself: see scripts/mutations. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const runOf = async (held: Held) => ok(await kit.store.getRun(authority, held.runId)).run
const leaseLeft = async (held: Held): Promise<number> => {
  const [row] = await kit.sql<{ ms: number }>(
    'select (extract(epoch from lease_until - baton.clock()) * 1000)::integer as ms from baton.agents where agent_uid = $1',
    [held.agentUid],
  )
  return row?.ms ?? -1
}
const openCalls = (held: Held): ToolCall[] => {
  if (!('opened' in held.answer) || held.answer.opened === undefined) throw new Error('nothing was opened')
  return held.answer.opened.calls
}

test('invariant 2: an epoch that is over commits and renews nothing, also under the slice that holds the lease again', async () => {
  const opened = ok(await kit.store.open(openRequest('again')))
  const first = await take(kit, opened.agentUid)
  await kit.advance(31_000)
  // The claim's reply was lost for longer than the lease: the same slice asks again and is given another epoch.
  const second = ok(await kit.store.claim(claimRequest(opened.agentUid, { sliceId: first.sliceId })))
  expect(second.opened.lease.epoch).toBeGreaterThan(first.epoch)
  expect(await kit.store.commit(commitOf(first, answered(), completed))).toMatchObject({ ok: false, code: 'lease_lost' })
  expect(await kit.store.renew({ ...first, leaseMs: 30_000 })).toMatchObject({ ok: false, code: 'lease_lost' })
  expect(await runOf(first)).toMatchObject({ state: 'running' })
  expect(await commit(kit, { ...first, epoch: second.opened.lease.epoch }, answered(), completed)).toMatchObject({ state: 'completed' })
})

test('invariant 2: each commit and each heartbeat renews the lease by its whole length', async () => {
  const held = await hold(kit, 'renewed')
  await kit.advance(20_000)
  await commit(kit, held, { progress: false })
  expect(await leaseLeft(held)).toBeGreaterThan(25_000)
  await kit.advance(20_000)
  ok(await kit.store.renew({ ...held, leaseMs: 30_000 }))
  expect(await leaseLeft(held)).toBeGreaterThan(25_000)
  expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ ok: false, code: 'lease_live' })
})

test('invariant 4: the intent to call is a row before the call: who takes over sees what may have happened', async () => {
  const held = await hold(kit, 'intent')
  const [once, idle] = [toolCall(0, { effect: 'once' }), toolCall(1)]
  await commit(kit, held, { calls: [once, idle], count: { step: 1 } }, { start: [once.callId] })
  await kit.advance(31_000)
  const next = await take(kit, held.agentUid)
  expect(openCalls(next)).toMatchObject([
    { callId: once.callId, state: 'executing', attempts: 1, epoch: held.epoch, idempotencyKey: once.idempotencyKey },
    { callId: idle.callId, state: 'pending', attempts: 0 },
  ])
  expect(next.epoch).not.toBe(held.epoch)
})

test('invariant 4: who takes over tells which calls may have happened: those at work that may happen once, and no others', async () => {
  const held = await hold(kit, 'told-of')
  const [once, pure, unbegun] = [toolCall(0, { effect: 'once' }), toolCall(1), toolCall(2, { effect: 'once' })]
  await commit(kit, held, { calls: [once, pure, unbegun], count: { step: 1 } }, { start: [once.callId, pure.callId] })
  await kit.advance(31_000)
  await take(kit, held.agentUid)
  const { data } = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50, types: ['resumed'] }))
  expect(data).toMatchObject([{ data: { strategy: 'crash', sealed: [once.callId] } }])
})

test('invariant 5: a run that ends leaves one result for each of its calls, whatever state they were in', async () => {
  const held = await hold(kit, 'sealed')
  const calls = [toolCall(0), toolCall(1), toolCall(2)]
  const [done, started] = calls
  if (done === undefined || started === undefined) throw new Error('three calls were made')
  const content = calls.map((call) => ({ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }))
  const both = [done.callId, started.callId]
  await commit(kit, held, { messages: [message('assistant', content)], calls, count: { step: 1 } }, { start: both })
  await commit(kit, held, { calls: [{ ...done, state: 'completed', output: { type: 'json', value: 'kept' } }] })
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_time', output: null, error: null } })
  const rows = await kit.sql<{ state: string; output: { value: string } }>(
    'select state, output from baton.tool_calls where run_id = $1 order by index',
    [held.runId],
  )
  expect(rows.map(({ state }) => state)).toEqual(['completed', 'sealed', 'sealed'])
  expect(rows[1]?.output.value).toContain('may have happened')
  expect(rows[2]?.output.value).toContain('was not executed')
  const history = (await kit.store.listMessages({ agentUid: held.agentUid, limit: 10 })).data
  expect(history.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool'])
  const results = history.at(-1)?.content as { toolCallId: string }[]
  expect(results.map(({ toolCallId }) => toolCallId)).toEqual(calls.map(({ callId }) => callId))
})

test('invariant 8: the events of agents that work at the same time have numbers of their own, without gaps', async () => {
  const names = ['gap-a', 'gap-b', 'gap-c']
  const held = await Promise.all(names.map((name) => hold(kit, name)))
  await Promise.all(held.map((one) => commit(kit, one, { events: [{ channel: 'monitor', type: 'custom', data: {} }], progress: false })))
  // A transaction that fails leaves no hole behind: its numbers stand in the row that it did not write.
  const [one] = held
  if (one === undefined) throw new Error('three agents are held')
  const broken = { ...toolCall(0), effect: 'nonsense' as 'pure' }
  await expect(
    kit.store.commit(commitOf(one, { calls: [broken], events: [{ channel: 'monitor', type: 'custom', data: {} }] })),
  ).rejects.toThrow()
  await Promise.all(held.map((each) => commit(kit, each, answered(), completed)))
  for (const { agentUid } of held) {
    const events = ok(await kit.store.listEvents({ agentUid, after: 0, limit: 100 })).data
    expect(events.length).toBeGreaterThan(3)
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1))
  }
})

test('invariant 8: who has seen up to a number is given what follows it, and that once', async () => {
  const held = await hold(kit, 'cursor')
  await commit(kit, held, answered(), completed)
  const all = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 100 })).data.map(({ seq }) => seq)
  const paged: number[] = []
  for (;;) {
    const page = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: paged.at(-1) ?? 0, limit: 2 })).data
    paged.push(...page.map(({ seq }) => seq))
    if (page.length < 2) break
  }
  expect(paged).toEqual(all)
})

/** A run whose first call has cost more than was reserved for it, which `settleLate` tells without a lease. */
async function overrun(agent: string): Promise<{ held: Held; settleLate: () => Promise<void>; told: () => Promise<string[]> }> {
  const { reserve, ...execute } = execution(4_000)
  const id = reserve?.id ?? ids.make('res')
  const held = await hold(kit, agent, { execute: { ...execute, reserve } })
  return {
    held,
    settleLate: () => kit.store.settle({ ...held, settle: [{ id, costMicros: 6_000, usage: noUsage, estimated: false }] }),
    told: async () => ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 50 })).data.map(({ type }) => type),
  }
}

test('invariant 8: what a late settlement tells has a number, and what the run tells next has another', async () => {
  const { held, settleLate, told } = await overrun('late-overrun')
  await settleLate()
  await commit(kit, held, answered(), completed)
  expect((await told()).filter((type) => type === 'budget' || type === 'done')).toEqual(['budget', 'done'])
})

test('invariant 11: after its end a run tells nothing: what is settled late is booked alone, also when the agent is gone', async () => {
  const [ended, gone] = [await overrun('ended-overrun'), await overrun('gone-overrun')]
  await commit(kit, ended.held, answered(), completed)
  ok(await kit.store.deleteAgent(authority, 'gone-overrun'))
  for (const { held, settleLate } of [ended, gone]) {
    await settleLate()
    const booked = await kit.sql('select state, cost_micros::integer as cost from baton.reservations where run_id = $1', [held.runId])
    expect(booked).toEqual([{ state: 'settled', cost: 6_000 }])
  }
  expect((await ended.told()).at(-1)).toBe('done')
  expect(await runOf(ended.held)).toMatchObject({ costMicros: 6_000 })
})

test('invariant 11: every end has one terminal event and one webhook event, and none can be ended again', async () => {
  const webhook = { url: 'https://example.com/hook', secret: null }
  const ends = [
    { state: 'completed', stopReason: 'end_turn' },
    { state: 'failed', stopReason: 'max_steps' },
    { state: 'cancelled', stopReason: 'cancelled' },
    { state: 'budget_exceeded', stopReason: 'budget_exceeded' },
    { state: 'expired', stopReason: 'expired' },
  ] as const
  for (const [index, end] of ends.entries()) {
    const request = openRequest(`end-${index}`)
    const held = await hold(kit, `end-${index}`, { run: { ...request.run, webhook } })
    const step = commitOf(held, {}, { end: { ...end, output: null, error: null } })
    ok(await kit.store.commit(step))
    ok(await kit.store.commit(step))
    expect(await kit.store.commit({ ...step, commitId: ids.make('commit') })).toMatchObject({ ok: false })
    await kit.store.stop(authority, { runId: held.runId }, 'cancelled', 'too late')
    expect(await runOf(held)).toMatchObject(end)
    const done = await kit.sql<{ data: object }>(`select data from baton.events where run_id = $1 and type = 'done'`, [held.runId])
    expect(done).toHaveLength(1)
    expect(done[0]?.data).toMatchObject(end)
    const hooks = await kit.sql<{ n: number; ids: number }>(
      'select count(*)::integer as n, count(distinct event_id)::integer as ids from baton.webhook_deliveries where run_id = $1',
      [held.runId],
    )
    expect(hooks).toEqual([{ n: 1, ids: 1 }])
  }
})

test('invariant 12: take-overs without a commit between them are counted and spaced; a commit sets the count to 0', async () => {
  const opened = ok(await kit.store.open(openRequest('poison')))
  const crashed = async (): Promise<unknown> => {
    await kit.advance(31_000)
    return kit.store.claim(claimRequest(opened.agentUid))
  }
  let held = await take(kit, opened.agentUid)
  expect(await crashed()).toMatchObject({ ok: true, opened: { run: { crashes: 1 } } })
  expect(await crashed()).toMatchObject({ ok: false, code: 'not_due', dueInMs: 5_000 })
  await kit.advance(5_001)
  held = await take(kit, opened.agentUid)
  expect(await runOf(held)).toMatchObject({ crashes: 2 })
  // A hand-over is no progress: the count stays.
  await commit(kit, held, { progress: false }, { release: 'hard_limit' })
  held = await take(kit, opened.agentUid)
  expect(await runOf(held)).toMatchObject({ crashes: 2 })
  expect(await crashed()).toMatchObject({ ok: false, code: 'not_due', dueInMs: 30_000 })
  await kit.advance(30_001)
  held = await take(kit, opened.agentUid)
  await commit(kit, held, { count: { step: 1 } })
  expect(await runOf(held)).toMatchObject({ crashes: 0 })
  expect(await crashed()).toMatchObject({ ok: true, opened: { run: { crashes: 1 } } })
})
