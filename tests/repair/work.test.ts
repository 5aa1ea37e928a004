import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  answered,
  authority,
  commit,
  completed,
  hold,
  message,
  ok,
  openRequest,
  startStore,
  take,
  toolCall,
  type Held,
  type StoreKit,
} from '#tests/store/kit'
import { asked, codes, findings, history, repaired, worked } from '#tests/repair/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

/** Released in the middle, and due: somebody may take it. */
async function released(agent: string): Promise<Held> {
  const held = await hold(kit, agent)
  await commit(
    kit,
    held,
    { messages: [message('assistant', 'so far')], count: { step: 1, steps: 1, modelCalls: 1 } },
    { release: 'slice_deadline' },
  )
  return held
}

/** Paused before a call that somebody must decide. */
async function paused(agent: string): Promise<{ held: Held; callId: string }> {
  const held = await hold(kit, agent)
  const call = toolCall(0, { name: 'charge', effect: 'once', state: 'approval_required' })
  const parts = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }]
  const approval = {
    id: `apr_${call.callId.slice(5)}` as const,
    kind: 'permission' as const,
    reason: 'a test',
    inputHash: 'h',
    fingerprint: 'f',
    expiresMs: 3_600_000,
    defaultDecision: 'deny' as const,
  }
  await commit(
    kit,
    held,
    { messages: [message('assistant', parts)], calls: [{ ...call, approval }], count: { step: 1, steps: 1, modelCalls: 1 } },
    { pause: true },
  )
  return { held, callId: call.callId }
}

/** The run goes on from where it was left and ends. */
async function finishes(held: Held): Promise<void> {
  const again = await take(kit, held.agentUid)
  expect(again.runId).toBe(held.runId)
  await commit(kit, again, { ...answered('at last'), count: { step: 2, steps: 1, modelCalls: 1 } }, completed)
  const { agent_id: id } = (
    await kit.sql<{ agent_id: string }>('select id as agent_id from baton.agents where agent_uid = $1', [held.agentUid])
  )[0] ?? { agent_id: '' }
  expect(await findings(kit, id)).toEqual([])
}

test('an agent at work, a released one, a paused one and a queued message have no findings; one at work is not repaired', async () => {
  const held = await hold(kit, 'busy')
  ok(await kit.store.open(openRequest('busy')))
  // For longer than anybody waits for a run that nobody has.
  await kit.sql(`update baton.runs set due_at = baton.clock() - interval '16 minutes' where run_id = $1`, [held.runId])
  expect(await findings(kit, 'busy')).toEqual([])
  expect(await kit.store.repairAgent(authority, 'busy')).toMatchObject({ ok: false, code: 'agent_busy', runId: held.runId })
  await released('free')
  expect(await findings(kit, 'free')).toEqual([])
  await paused('paused')
  expect(await findings(kit, 'paused')).toEqual([])
})

test('active_run_ended: the agent is freed and its queue goes on', async () => {
  const held = await released('ended')
  const queued = ok(await kit.store.open(openRequest('ended')))
  await kit.sql(`update baton.runs set state = 'cancelled', ended_at = now(), due_at = null where run_id = $1`, [held.runId])
  expect(codes(await findings(kit, 'ended'))).toEqual(['active_run_ended', 'reservation_open'])
  await repaired(kit, 'ended')
  const next = await take(kit, held.agentUid)
  expect(next.runId).toBe(queued.run.id)
  await commit(kit, next, answered(), completed)
  expect(await findings(kit, 'ended')).toEqual([])
})

test('idle_agent_marked: a queue that stands still goes on', async () => {
  const held = await released('marked')
  const queued = ok(await kit.store.open(openRequest('marked')))
  await commit(kit, await take(kit, held.agentUid), { ...answered(), count: { step: 2, steps: 1, modelCalls: 1 } }, completed)
  // As if the promotion had been lost.
  await kit.sql(`update baton.agents set active_run = null, state = 'working' where agent_uid = $1`, [held.agentUid])
  expect(codes(await findings(kit, 'marked'))).toEqual(['idle_agent_marked', 'run_unreachable'])
  await repaired(kit, 'marked')
  const next = await take(kit, held.agentUid)
  expect(next.runId).toBe(queued.run.id)
})

test('idle_agent_marked: an agent without a run has no lease, and no queue that nobody takes', async () => {
  const { agent, agentUid } = await worked(kit, 'leased')
  await kit.sql(`update baton.agents set lease_owner = 'slice_0', lease_until = baton.clock() where agent_uid = $1`, [agentUid])
  expect(await findings(kit, agent)).toMatchObject([{ code: 'idle_agent_marked', details: { state: 'ready', leaseOwner: 'slice_0' } }])
  await repaired(kit, agent)
  const held = await released('forgotten')
  const queued = ok(await kit.store.open(openRequest('forgotten')))
  await kit.sql(`update baton.runs set state = 'cancelled', ended_at = now(), due_at = null where run_id = $1`, [held.runId])
  await kit.sql(`update baton.agents set active_run = null, state = 'ready' where agent_uid = $1`, [held.agentUid])
  expect(codes(await findings(kit, 'forgotten'))).toEqual(['idle_agent_marked', 'reservation_open'])
  await repaired(kit, 'forgotten')
  expect((await take(kit, held.agentUid)).runId).toBe(queued.run.id)
})

test('run_unreachable: one that had begun goes on, one that is behind another is queued, one without a message ends', async () => {
  const held = await released('lost')
  await kit.sql(`update baton.agents set active_run = null, state = 'ready' where agent_uid = $1`, [held.agentUid])
  expect(await findings(kit, 'lost')).toMatchObject([{ code: 'run_unreachable', runId: held.runId, details: { begun: true } }])
  await repaired(kit, 'lost')
  await finishes(held)

  const behind = await released('behind')
  await kit.sql(`update baton.agents set active_run = null, state = 'ready' where agent_uid = $1`, [behind.agentUid])
  const other = await hold(kit, 'behind')
  expect(codes(await findings(kit, 'behind'))).toEqual(['run_unreachable'])
  await commit(kit, other, answered(), { release: 'slice_deadline' })
  await repaired(kit, 'behind')
  expect(await kit.store.getRun(authority, behind.runId)).toMatchObject({ run: { state: 'queued' }, queuePosition: 1 })
  await commit(kit, await take(kit, behind.agentUid), { ...answered(), count: { step: 2, steps: 1, modelCalls: 1 } }, completed)
  await finishes(behind)

  await released('unsaid')
  const queued = ok(await kit.store.open(openRequest('unsaid')))
  await kit.sql(`delete from baton.inbox where run_id = $1`, [queued.run.id])
  expect(codes(await findings(kit, 'unsaid'))).toEqual(['counter_differs', 'run_unreachable'])
  await repaired(kit, 'unsaid')
  expect(await kit.store.getRun(authority, queued.run.id)).toMatchObject({
    run: { state: 'cancelled', stopNote: expect.stringContaining('lost') },
  })
})

test('inbox_of_ended_run: the message gets a run of its own', async () => {
  // The ids of requests are of this process's clock, the new one is of the database's: near midnight that one was moved.
  await kit.sql('update baton.local_clock set offset_ms = 0')
  const held = await released('crossed')
  const queued = ok(await kit.store.open(openRequest('crossed', { message: message('user', 'do not lose me') })))
  await kit.sql(`update baton.runs set state = 'failed', ended_at = now() where run_id = $1`, [queued.run.id])
  const behind = ok(await kit.store.open(openRequest('crossed')))
  expect(codes(await findings(kit, 'crossed'))).toEqual(['inbox_of_ended_run'])
  await repaired(kit, 'crossed')
  await commit(kit, await take(kit, held.agentUid), { ...answered(), count: { step: 2, steps: 1, modelCalls: 1 } }, completed)
  const next = await take(kit, held.agentUid)
  expect(next.runId).not.toBe(queued.run.id)
  // Its id stands where the message was accepted, so that the runs of the agent keep their order.
  expect([queued.run.id, next.runId, behind.run.id].toSorted()).toEqual([queued.run.id, next.runId, behind.run.id])
  expect((await history(kit, held.agentUid)).at(-1)?.content).toBe('do not lose me')
})

test('run_stuck: a run that nobody holds and that is never due is due at once', async () => {
  const held = await released('stuck')
  await kit.sql('update baton.runs set due_at = null where run_id = $1', [held.runId])
  expect(await findings(kit, 'stuck')).toMatchObject([{ code: 'run_stuck', runId: held.runId, details: { state: 'running' } }])
  await repaired(kit, 'stuck')
  await finishes(held)
})

test('run_stuck: neither a lease that is over nor a wait without an end holds a run', async () => {
  const held = await hold(kit, 'lapsed')
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
  await kit.sql(`update baton.agents set lease_owner = 'slice_0', lease_until = baton.clock() where agent_uid = $1`, [held.agentUid])
  await kit.sql('update baton.runs set due_at = null where run_id = $1', [held.runId])
  expect(await findings(kit, 'lapsed')).toMatchObject([{ code: 'run_stuck', details: { state: 'waiting', waitKind: 'retry' } }])
  await repaired(kit, 'lapsed')
  expect(ok(await kit.store.getRun(authority, held.runId)).run).toMatchObject({ state: 'running', wait: null })
})

test('run_overdue: a run that nobody took in 15 minutes gets a new continuation, also where the last one lies in the future', async () => {
  const held = await released('overdue')
  await kit.sql(`update baton.agents set continued_at = baton.clock() + interval '1 day' where agent_uid = $1`, [held.agentUid])
  await kit.sql(`update baton.runs set due_at = baton.clock() - interval '16 minutes' where run_id = $1`, [held.runId])
  await kit.sql('update baton.outbox set sent_at = baton.clock() where agent_uid = $1', [held.agentUid])
  expect(codes(await findings(kit, 'overdue'))).toEqual(['run_overdue'])
  const answer = ok(await kit.store.repairAgent(authority, 'overdue'))
  expect(answer.outbox.filter(({ data }) => data.runId === held.runId)).toHaveLength(1)
  await finishes(held)
})

test('open_call_without_lease: the run is due, and its next executor sees the call', async () => {
  const held = await hold(kit, 'nobody')
  const call = toolCall(0)
  await asked(kit, held, call)
  await kit.sql('update baton.agents set lease_owner = null, lease_until = null where agent_uid = $1', [held.agentUid])
  await kit.sql('update baton.runs set due_at = null where run_id = $1', [held.runId])
  expect(await findings(kit, 'nobody')).toMatchObject([{ code: 'open_call_without_lease', details: { callIds: [call.callId] } }])
  await repaired(kit, 'nobody')
  const next = await take(kit, held.agentUid)
  expect((next.answer as { opened: { calls: unknown[] } }).opened.calls).toMatchObject([{ callId: call.callId, state: 'executing' }])
})

test('open_call_without_run: the call is sealed with an unknown outcome, in the history too', async () => {
  const held = await hold(kit, 'sealed')
  const call = toolCall(0, { effect: 'once' })
  await asked(kit, held, call)
  await kit.sql(
    `update baton.runs set state = 'failed', stop_reason = 'internal_error', ended_at = now(), due_at = null where run_id = $1`,
    [held.runId],
  )
  await kit.sql(`update baton.agents set active_run = null, state = 'ready', lease_owner = null, lease_until = null where agent_uid = $1`, [
    held.agentUid,
  ])
  expect(codes(await findings(kit, 'sealed'))).toEqual(['dangling_call', 'open_call_without_run', 'reservation_open'])
  await repaired(kit, 'sealed')
  expect(JSON.stringify((await history(kit, held.agentUid)).at(-1))).toMatch(/tool-result.*may have happened/)
  expect(await kit.sql('select state, entered from baton.tool_calls where call_id = $1', [call.callId])).toEqual([
    { state: 'sealed', entered: true },
  ])
})

test('approval_orphan and approval_missing: nothing is asked for nothing, and nothing runs that nobody allowed', async () => {
  const { held, callId } = await paused('asked')
  await kit.sql(
    `insert into baton.approvals select (jsonb_populate_record(v, jsonb_build_object('id', 'apr_0', 'call_id', 'call_0'))).* from baton.approvals v where v.call_id = $1`,
    [callId],
  )
  expect(await findings(kit, 'asked')).toMatchObject([{ code: 'approval_orphan', details: { approvalId: 'apr_0' } }])
  await repaired(kit, 'asked')
  expect(await kit.sql(`select state from baton.approvals where id = 'apr_0'`)).toEqual([{ state: 'cancelled' }])
  await kit.sql('delete from baton.approvals where call_id = $1', [callId])
  expect(await findings(kit, 'asked')).toMatchObject([{ code: 'approval_missing', details: { callId, tool: 'charge' } }])
  await repaired(kit, 'asked')
  expect(await kit.sql('select state, attempts, entered from baton.tool_calls where call_id = $1', [callId])).toEqual([
    { state: 'denied', attempts: 0, entered: true },
  ])
  await finishes(held)
})

test('wait_orphan and wait_missing: an outside call has a time, and only an outside call', async () => {
  const held = await hold(kit, 'outside')
  const call = toolCall(0, { effect: 'external' })
  const parts = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }]
  const count = { step: 1, steps: 1, modelCalls: 1 }
  await commit(
    kit,
    held,
    { messages: [message('assistant', parts)], calls: [call], count },
    { start: [call.callId], external: { [call.callId]: 60_000 }, pause: true },
  )
  expect(await findings(kit, 'outside')).toEqual([])
  await kit.sql('update baton.external_waits set call_id = $2 where call_id = $1', [call.callId, 'call_nothing'])
  expect(codes(await findings(kit, 'outside'))).toEqual(['wait_missing', 'wait_orphan'])
  await repaired(kit, 'outside')
  expect(await kit.sql('select call_id from baton.external_waits where agent_uid = $1', [held.agentUid])).toEqual([
    { call_id: call.callId },
  ])
})

test('outbox_stuck: a row that was not sent for 15 minutes is handed out again', async () => {
  const { agent, agentUid } = await worked(kit, 'unsent')
  await kit.sql('update baton.outbox set sent_at = now() where agent_uid = $1', [agentUid])
  await kit.sql(
    `insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, agent_uid, url, type, payload)
      values ('dlv_there', 'evt_0', 'one', 'test', $1, 'https://example.com', 'run.completed', '{}')`,
    [agentUid],
  )
  await kit.sql(
    `insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at, created_at) select v.id, 'one', 'test', v.kind, $1::uuid,
      jsonb_build_object('tenantId', 'one', 'agentUid', $1::uuid, 'runId', 'run_x', 'epoch', 1, 'deliveryId', v.delivery), baton.clock() + v.hours * interval '1 hour', baton.clock() - interval '1 hour'
      from (values ('out_stuck1', 'continue', '', -1), ('out_stuck2', 'webhook', 'dlv_gone', -1), ('out_stuck3', 'webhook', 'dlv_there', -1), ('out_later', 'continue', '', 1), ('out_sent', 'continue', '', -1)) v(id, kind, delivery, hours)`,
    [agentUid],
  )
  await kit.sql(`update baton.outbox set sent_at = created_at where id = 'out_sent'`)
  const stuck = ['out_stuck1', 'out_stuck2', 'out_stuck3']
  expect((await findings(kit, agent)).map(({ details }) => String(details['outboxId'])).toSorted()).toEqual(stuck)
  const answer = ok(await kit.store.repairAgent(authority, agent))
  expect(answer.outbox.map(({ id }) => id).toSorted()).toEqual(['out_stuck1', 'out_stuck3'])
  expect(await findings(kit, agent)).toEqual([])
  const unsent = await kit.sql(`select id from baton.outbox where agent_uid = $1 and sent_at is null order by id`, [agentUid])
  expect(unsent).toEqual([{ id: 'out_later' }, { id: 'out_stuck1' }, { id: 'out_stuck3' }])
})
