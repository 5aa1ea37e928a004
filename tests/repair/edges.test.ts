import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ExportLine, ExportPlace } from '#lib/core/operations'
import type { Authority } from '#lib/core/store'
import { asked, codes, findings, history, repaired, walked, worked } from '#tests/repair/kit'
import { askedCall, facts, paused } from '#tests/approvals/kit'
import {
  answered,
  authority,
  commit,
  commitOf,
  completed,
  hold,
  ids,
  ok,
  openRequest,
  startStore,
  take,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

/* Rules of repairs, exports and deletions that no other test noticed when they were taken away (scripts/mutations). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

test('a message that is put back moves the window with those behind it', async () => {
  const { agent, agentUid, runId, secondRun } = await worked(kit, 'window')
  const third = await hold(kit, agent)
  await commit(kit, third, { progress: false }, { release: 'slice_deadline' })
  await kit.sql('delete from baton.messages where agent_uid = $1 and seq = 3', [agentUid])
  for (const seq of [4, 5, 6, 7])
    await kit.sql('update baton.messages set seq = seq - 1 where agent_uid = $1 and seq = $2', [agentUid, seq])
  await kit.sql('update baton.agents set last_message_seq = 6, window_from = 4 where agent_uid = $1', [agentUid])
  await kit.sql('update baton.runs set opening_seq = opening_seq - 1 where run_id in ($1, $2)', [secondRun, third.runId])
  await repaired(kit, agent)
  const openings = await kit.sql('select opening_seq::integer as seq from baton.runs where agent_uid = $1 order by 1', [agentUid])
  expect(openings).toEqual([{ seq: 1 }, { seq: 5 }, { seq: 7 }])
  expect(ok(await kit.store.getAgent(authority, agent)).agent.windowFrom).toBe(5)
  expect(ok(await kit.store.getRun(authority, runId)).run.state).toBe('completed')
})

test('a call that never began is sealed as not executed when its run has ended without it', async () => {
  const held = await hold(kit, 'unbegun')
  const [begun, unbegun] = [toolCall(0), toolCall(1)]
  await asked(kit, held, begun, unbegun)
  await kit.sql(`update baton.tool_calls set attempts = 0, state = 'pending' where call_id = $1`, [unbegun.callId])
  await kit.sql(
    `update baton.runs set state = 'failed', stop_reason = 'internal_error', ended_at = now(), due_at = null where run_id = $1`,
    [held.runId],
  )
  await kit.sql(`update baton.agents set active_run = null, state = 'ready', lease_owner = null, lease_until = null where agent_uid = $1`, [
    held.agentUid,
  ])
  await repaired(kit, 'unbegun')
  const { data: calls } = await kit.store.listToolCalls({ agentUid: held.agentUid, limit: 10, after: null })
  expect(Object.fromEntries(calls.map(({ callId, output }) => [callId, JSON.stringify(output)]))).toMatchObject({
    [begun.callId]: expect.stringContaining('may have happened'),
    [unbegun.callId]: expect.stringContaining('was not executed'),
  })
})

test('invariant 2: an executor whose lease was over when its agent was repaired commits nothing more', async () => {
  const held = await hold(kit, 'lapsed')
  await kit.advance(31_000)
  await kit.sql('update baton.agents set queued = 3 where agent_uid = $1', [held.agentUid])
  await repaired(kit, 'lapsed')
  expect(await kit.store.commit(commitOf(held, answered(), completed))).toMatchObject({ ok: false, code: 'lease_lost' })
})

test('run_unreachable: one that somebody must decide about waits for them again', async () => {
  const held = await paused(kit, 'undecided', [askedCall(0)])
  await kit.sql(`update baton.agents set active_run = null, state = 'ready' where agent_uid = $1`, [held.agentUid])
  expect(await findings(kit, 'undecided')).toMatchObject([{ code: 'run_unreachable' }])
  await repaired(kit, 'undecided')
  expect(ok(await kit.store.getRun(authority, held.runId)).run).toMatchObject({ state: 'awaiting_approval', dueAt: null })
})

test('a call that waits for nobody holds no run, and nobody is asked for it', async () => {
  const decided = await paused(kit, 'decided', [askedCall(0)])
  await kit.sql(`update baton.tool_calls set state = 'approved' where run_id = $1`, [decided.runId])
  expect(codes(await findings(kit, 'decided'))).toEqual(['approval_orphan', 'run_stuck'])
  await repaired(kit, 'decided')
  expect((await facts(kit, decided)).decided).toMatchObject([{ data: { state: 'cancelled', decidedBy: null } }])

  const answer = await paused(kit, 'answered', [toolCall(0, { effect: 'external' })])
  await kit.sql(`update baton.tool_calls set state = 'completed', output = '{"type":"text","value":"paid"}' where run_id = $1`, [
    answer.runId,
  ])
  expect(codes(await findings(kit, 'answered'))).toEqual(['run_stuck', 'wait_orphan'])
  await repaired(kit, 'answered')
  for (const { agentUid, runId } of [decided, answer]) expect((await take(kit, agentUid)).runId).toBe(runId)
  expect(JSON.stringify((await history(kit, answer.agentUid)).at(-1))).toContain('paid')
})

test('approval_missing: an approval that somebody has decided asks nobody any more, and the end of the call is told', async () => {
  const held = await paused(kit, 'asks-nobody', [askedCall(0)])
  await kit.sql(`update baton.approvals set state = 'denied' where run_id = $1`, [held.runId])
  expect(codes(await findings(kit, 'asks-nobody'))).toEqual(['approval_missing'])
  await repaired(kit, 'asks-nobody')
  expect((await facts(kit, held)).events.map(({ type }) => type)).toContain('tool_end')
})

test('a repair tells the audit who asked for it, and by which request', async () => {
  const { agent, agentUid } = await worked(kit, 'whose')
  await kit.sql('update baton.agents set last_inbox = -1 where agent_uid = $1', [agentUid])
  expect(await findings(kit, agent)).toMatchObject([{ code: 'counter_differs', details: { counter: 'last_inbox', is: -1, shouldBe: 0 } }])
  const mender: Authority = { ...authority, credential: { operator: { tenant: 'one', name: 'mender' } }, requestId: 'req_7' }
  expect(ok(await kit.store.repairAgent(mender, agent)).left).toEqual([])
  const entries = `select actor, request_id from baton.audit where action = 'agent.repair' and agent_id = $1`
  expect(await kit.sql(entries, [agent])).toEqual([{ actor: 'mender', request_id: 'req_7' }])
})

test('inbox_of_ended_run: a retry that has ended is taken from the queue, for it has no message of its own', async () => {
  const held = await hold(kit, 'retried')
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const next = await hold(kit, 'retried')
  const retry = { runId: held.runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null }
  ok(await kit.store.retry(authority, retry))
  await commit(kit, next, { progress: false }, { release: 'slice_deadline' })
  await kit.sql(`update baton.runs set state = 'failed', ended_at = now() where run_id = $1`, [retry.newRunId])
  expect(codes(await findings(kit, 'retried'))).toEqual(['inbox_of_ended_run'])
  await repaired(kit, 'retried')
  expect(ok(await kit.store.getAgent(authority, 'retried')).agent.queued).toBe(0)
})

test('open_call_without_run: what a call has come to stays', async () => {
  const held = await hold(kit, 'came-to')
  await asked(kit, held, toolCall(0))
  await kit.sql(`update baton.tool_calls set state = 'completed', output = '{"type":"text","value":"paid"}' where run_id = $1`, [
    held.runId,
  ])
  await kit.sql(`update baton.runs set state = 'failed', ended_at = now(), due_at = null where run_id = $1`, [held.runId])
  await kit.sql(`update baton.agents set active_run = null, state = 'ready', lease_owner = null where agent_uid = $1`, [held.agentUid])
  await repaired(kit, 'came-to')
  expect((await facts(kit, held)).calls).toMatchObject([{ state: 'completed', output: { value: 'paid' } }])
  expect(JSON.stringify((await history(kit, held.agentUid)).at(-1))).toContain('paid')
})

test('fsck of one tenant looks at no other, and a counter that says too much is a drift', async () => {
  await kit.store.ensureTenant({ id: 'beside', environment: 'test', secret: 'sealed' })
  const beside: Authority = { ...authority, credential: { operator: { tenant: 'beside', name: 'tester' } } }
  ok(await kit.store.open(openRequest('x', beside)))
  const fsck = (repair: boolean) => walked(kit, { tenant: 'beside', repair })
  expect((await fsck(false)).checked).toBe(1)
  ok(await kit.store.putBudget(beside, { scope: 'agent:x', period: 'day' }, { limitMicros: 10 }))
  await kit.sql(`insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start, spent_micros)
    values (baton.counter_key('test', 'beside', 'agent:x', 'day'), 'test', 'beside', 'agent:x', 'day', baton.period_start('day'), 7)
    on conflict (key) do update set spent_micros = 7`)
  expect((await fsck(true)).budgets).toMatchObject([{ details: { scope: 'agent:x', spentMicros: 7, shouldBeSpent: 0 } }])
  expect((await fsck(false)).budgets).toEqual([])
})

test('an export of a user tells nothing of the tenant’s own affairs, one of the tenant each audit entry once', async () => {
  const id = ids.uuid()
  ok(await kit.store.open(openRequest('of-user', { credential: { user: { id, tenant: 'one' } } })))
  ok(await kit.store.setLimit(authority, { scope: 'tenant', values: { concurrentRuns: 50 } }))
  const lines = async (scope: string) => {
    const all: ExportLine[] = []
    for (let at: ExportPlace = null; ;) {
      const page: { lines: ExportLine[]; next: ExportPlace } = ok(await kit.store.exportPage(authority, { scope, at }))
      all.push(...page.lines)
      if (page.next === null) return all
      at = page.next
    }
  }
  const types = new Set((await lines(`user:${id}`)).map(({ type }) => type))
  expect(types).toContain('agent')
  for (const type of ['key', 'webhook', 'limit', 'budget']) expect(types).not.toContain(type)
  const audit = (await lines('tenant')).filter(({ type }) => type === 'audit').map(({ data }) => (data as { id: number }).id)
  expect(audit.length).toBeGreaterThan(0)
  expect(new Set(audit).size).toBe(audit.length)
})

test('a tenant that was held is killed while it is deleted, and the doctor hears only the answer to what it asked', async () => {
  await kit.store.ensureTenant({ id: 'ending', environment: 'test', secret: 'sealed' })
  const ending: Authority = { ...authority, credential: { operator: { tenant: 'ending', name: 'tester' } } }
  ok(await kit.store.open(openRequest('x', ending)))
  ok(await kit.store.setSwitch(ending, { scope: 'tenant', mode: 'hold', reason: 'a test' }))
  expect(ok(await kit.store.erase(ending, { scope: 'tenant', confirm: 'ending' })).more).toBe(true)
  expect(await kit.store.open(openRequest('y', ending))).toMatchObject({ code: 'killed' })
  await kit.store.doctor({ environment: 'test', ask: 'first' })
  await kit.store.doctor({ environment: 'test', ask: 'second' })
  await kit.store.answerProbe({ environment: 'test', answered: 'first' })
  expect((await kit.store.doctor({ environment: 'test' })).answered).not.toBe('first')
})

test('a deletion in pieces is in the audit from its first piece on, and its end has the number of agents', async () => {
  const [id, tenant] = [ids.uuid(), 'in-pieces']
  await kit.store.ensureTenant({ id: tenant, environment: 'test', secret: 'sealed' })
  const of: Authority = { ...authority, credential: { operator: { tenant, name: 'tester' } } }
  const user = { ...of, credential: { user: { id, tenant } } }
  const told = () =>
    kit.sql(
      `select action, data -> 'agents' as agents from baton.audit where tenant_id = $1 and (action like '%.delete%' or action like 'switch.%') order by id`,
      [tenant],
    )
  const erase = async (scope: string) => ok(await kit.store.erase(of, { scope, confirm: tenant })).more
  // An agent at work is a piece by itself.
  for (const agent of ['p1', 'p2']) ok(await kit.store.open(openRequest(agent, user)))
  ok(await kit.store.open(openRequest('p3', of)))
  expect(await erase(`user:${id}`)).toBe(true)
  const begun = [{ action: 'user.delete.begin', agents: null }]
  expect(await told()).toEqual(begun)
  // As long as it goes on its count is kept, however long it takes.
  await kit.sql(
    `update baton.idempotency set created_at = created_at - interval '25 hours' where tenant_id = $1 and caller = 'baton:erasing'`,
    [tenant],
  )
  expect(await erase(`user:${id}`)).toBe(true)
  await kit.store.prune({ environment: 'test', part: 'rows', limit: 1_000 })
  expect(await erase(`user:${id}`)).toBe(false)
  const deleted = [...begun, { action: 'user.delete', agents: 2 }]
  expect(await told()).toEqual(deleted)
  expect([await erase(`user:${id}`), (await told()).at(-1)]).toEqual([false, { action: 'user.delete', agents: 0 }])
  expect(await erase('tenant')).toBe(true)
  const actions = ['user.delete.begin', 'user.delete', 'user.delete', 'tenant.delete.begin', 'switch.set']
  expect((await told()).map(({ action }) => action)).toEqual(actions)
  expect(await erase('tenant')).toBe(false)
  expect((await told()).map(({ action }) => action)).toEqual([...actions, 'tenant.delete'])
  expect((await told()).at(-1)).toMatchObject({ agents: 1 })
})

test('a run that is held waits for somebody to lift that: it is not stuck, and no repair lets it go on', async () => {
  const held = await hold(kit, 'held')
  ok(await kit.store.setSwitch(authority, { scope: 'agent:held', mode: 'hold', reason: 'a test' }))
  await commit(kit, held, answered(), {})
  expect(await findings(kit, 'held')).toEqual([])
  await repaired(kit, 'held')
  expect(ok(await kit.store.getRun(authority, held.runId)).run).toMatchObject({ state: 'waiting', wait: { kind: 'hold' } })
})

test('an export has what waits in the queue, too', async () => {
  await hold(kit, 'queueing')
  const { run } = ok(await kit.store.open(openRequest('queueing')))
  const { lines } = ok(await kit.store.exportPage(authority, { scope: 'agent:queueing', at: null }))
  expect(lines.filter(({ type }) => type === 'queued_message')).toMatchObject([
    { agentId: 'queueing', data: { runId: run.id, mode: 'enqueue', content: 'hello queueing' } },
  ])
})

test('stats count calls by what became of them, and what a user is told is of their own agents', async () => {
  const id = ids.uuid()
  const credential = { user: { id, tenant: 'one' } }
  await hold(kit, 'nobody-in-particular')
  const held = await hold(kit, 'counted', { credential })
  const calls = [0, 1, 2, 3, 4, 5].map((index) => toolCall(index, { name: 'counted_tool' }))
  await asked(kit, held, ...calls)
  const states = ['completed', 'failed', 'failed', 'denied', 'denied', 'denied'] as const
  const output = { type: 'text' as const, value: 'x' }
  await commit(kit, held, { calls: calls.map((call, index) => ({ ...call, state: states[index] ?? 'failed', output })) })
  await commit(kit, held, answered(), completed)
  const range = { from: '2020-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' }
  const own = ok(await kit.store.stats({ ...authority, credential }, range))
  expect(own).toMatchObject({ runs: { total: 1 }, byStopReason: { end_turn: 1 } })
  expect(own.agents).toEqual({ ready: 1 })
  expect(own.tools).toMatchObject([{ name: 'counted_tool', calls: 6, failed: 2, denied: 3, sealed: 0 }])
})

test('stats: of 21 runs and calls the one in the middle is p50, and one is longer than p95', async () => {
  await kit.store.ensureTenant({ id: 'timed', environment: 'test', secret: 'sealed' })
  const timed: Authority = { ...authority, credential: { operator: { tenant: 'timed', name: 'tester' } } }
  const { agentUid } = await hold(kit, 'timed', timed)
  await kit.sql(
    `insert into baton.runs (run_id, agent_uid, tenant_id, environment, state, limits, started_at, ended_at)
      select 'run_timed' || n, $1, 'timed', 'test', 'completed', '{}', baton.clock() - n * interval '1 second', baton.clock() from generate_series(0, 20) n`,
    [agentUid],
  )
  await kit.sql(
    `update baton.runs set ended_at = started_at + substr(run_id, 10)::integer * interval '1 second' where run_id like 'run_timed%'`,
  )
  await kit.sql(
    `insert into baton.tool_calls (agent_uid, call_id, tenant_id, run_id, step, index, name, effect, state, idempotency_key, started_at, ended_at)
      select agent_uid, 'call_' || run_id, tenant_id, run_id, 1, 0, 'timed_tool', 'pure', 'completed', run_id, started_at, ended_at from baton.runs where run_id like 'run_timed%'`,
  )
  const { runs, tools } = ok(await kit.store.stats(timed, { from: '2020-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' }))
  expect(runs).toMatchObject({ p50Ms: 10_000, p95Ms: 19_000, maxMs: 20_000 })
  expect(tools).toMatchObject([{ name: 'timed_tool', p50Ms: 10_000, p95Ms: 19_000 }])
})
