import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answerWith, askedCall, facts, paused } from '#tests/approvals/kit'
import {
  asUser,
  authority,
  claimRequest,
  commit,
  commitOf,
  hold,
  ok,
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

const everyMs = 0
const sweep = () => kit.store.sweep({ environment: 'test', everyMs, resendMs: 3_600_000, limit: 200 })
const times = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

describe('decisions under races', () => {
  test('20 deciders: one decision wins, its repeats change nothing, one continuation is written', async () => {
    const call = askedCall(0)
    const held = await paused(kit, 'deciders', [call])
    const answers = await Promise.all(
      times(20).map((index) => kit.store.decide(authority, { approvalId: call.approval.id, decision: index % 2 === 0 ? 'allow' : 'deny' })),
    )
    const first = answers.filter((answer) => answer.ok && !answer.replayed)
    expect(first).toHaveLength(1)
    const { run, calls, approvals, decided, continuations } = await facts(kit, held)
    const allowed = approvals[0]?.state === 'allowed'
    expect(answers.filter((answer) => answer.ok)).toHaveLength(10)
    for (const answer of answers) if (!answer.ok) expect(answer).toMatchObject({ code: 'already_decided', state: approvals[0]?.state })
    expect(decided).toHaveLength(1)
    expect(calls[0]?.state).toBe(allowed ? 'approved' : 'denied')
    expect([run.state, continuations]).toEqual(['running', 1])
  })

  test('a decision while the slice commits its pause: never stuck, never two results, one continuation at most', async () => {
    let paused = 0
    for (const round of times(30)) {
      const plain = toolCall(0)
      const asked = askedCall(1)
      const held = await hold(kit, `commits-${round}`)
      await answerWith(kit, held, [plain, asked])
      const outcome = commitOf(
        held,
        { calls: [{ ...plain, state: 'completed', output: { type: 'text', value: 'x' } }] },
        { pause: true, waiting: [asked.callId] },
      )
      const decision = { approvalId: asked.approval.id, decision: round % 2 === 0 ? ('deny' as const) : ('allow' as const) }
      const [decide, end] = [() => kit.store.decide(authority, decision), () => kit.store.commit(outcome)]
      const both = round % 3 === 0 ? [decide, end] : [end, decide]
      // The first two one after the other, so that each comes first once, whatever the machine; then at once.
      if (round < 2) for (const act of both) await act()
      else await Promise.all(both.map((act) => act()))
      const answer = ok(await kit.store.commit(outcome))
      const { run, calls, roles, continuations } = await facts(kit, held)
      expect(calls.find((call) => call.callId === asked.callId)?.state).toBe(decision.decision === 'deny' ? 'denied' : 'approved')
      expect(roles.filter((role) => role === 'tool')).toHaveLength(decision.decision === 'deny' ? 1 : 0)
      expect(run.state).toBe('running')
      if (answer.released) {
        paused++
        expect(continuations).toBe(1)
        await take(kit, held.agentUid)
      } else {
        // The executor still has the lease and is told what was decided.
        expect(continuations).toBe(0)
        expect(answer.decided.map((call) => call.state)).toEqual([decision.decision === 'deny' ? 'denied' : 'approved'])
        expect(run.lease?.live).toBe(true)
      }
    }
    expect(paused).toBeGreaterThan(0)
    expect(paused).toBeLessThan(30)
  })

  test('a decision against a cancel: the run ends, each call has one result, nothing is left to decide', async () => {
    for (const round of times(20)) {
      const call = askedCall(0)
      const held = await paused(kit, `cancel-${round}`, [call])
      const decide = kit.store.decide(authority, { approvalId: call.approval.id, decision: 'allow' })
      const [decided] = await Promise.all([decide, kit.store.stop(authority, { runId: held.runId }, 'cancelled', null)])
      const { run, calls, approvals, roles } = await facts(kit, held)
      expect([run.state, calls[0]?.state]).toEqual(['cancelled', 'sealed'])
      expect(approvals[0]?.state).toBe(decided.ok ? 'allowed' : 'cancelled')
      expect(roles).toEqual(['user', 'assistant', 'tool'])
      expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ code: 'nothing_due' })
      expect(await kit.store.decide(authority, { approvalId: call.approval.id, decision: 'deny' })).toMatchObject({
        code: 'already_decided',
      })
    }
  })

  test('a decision against its expiry: the default is applied once, by the sweeper or by who comes too late', async () => {
    const calls = times(12).map((index) => askedCall(0, {}, { expiresMs: 1_000, defaultDecision: index % 2 === 0 ? 'deny' : 'allow' }))
    const runs = await Promise.all(calls.map((call, index) => paused(kit, `expiry-${index}`, [call])))
    await kit.advance(1_001)
    const [, ...answers] = await Promise.all([
      sweep(),
      ...calls.map((call) => kit.store.decide(authority, { approvalId: call.approval.id, decision: 'allow' })),
    ])
    for (const answer of answers) expect(answer).toMatchObject({ ok: false, code: 'too_late', state: 'expired' })
    for (const [index, held] of runs.entries()) {
      const after = await facts(kit, held)
      expect(after.approvals[0]).toMatchObject({ state: 'expired', decidedBy: 'system' })
      expect(after.calls[0]?.state).toBe(index % 2 === 0 ? 'denied' : 'approved')
      expect(after.decided).toHaveLength(1)
      expect([after.run.state, after.continuations]).toEqual(['running', 1])
    }
  })

  test('20 results from outside: one counts', async () => {
    const call = toolCall(0, { name: 'outside', effect: 'external' })
    const held = await paused(kit, 'results', [call])
    const request = { environment: 'test', agentUid: held.agentUid, callId: call.callId, state: 'completed' as const, requestId: 'r' }
    const answers = await Promise.all(
      times(20).map((index) => kit.store.callResult({ ...request, output: { type: 'json', value: index } })),
    )
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1)
    for (const answer of answers) if (!answer.ok) expect(answer).toMatchObject({ code: 'already_decided', state: 'completed' })
    const after = await facts(kit, held)
    expect(after.roles).toEqual(['user', 'assistant', 'tool'])
    expect([after.run.state, after.continuations]).toEqual(['running', 1])
    expect(after.events.filter((event) => event.type === 'tool_end')).toHaveLength(1)
  })

  test('a result against its expiry: one of them', async () => {
    for (const round of times(10)) {
      const call = toolCall(0, { name: 'outside', effect: 'external' })
      const held = await paused(kit, `outside-expiry-${round}`, [call])
      await kit.advance(86_400_001)
      const late = kit.store.callResult({
        environment: 'test',
        agentUid: held.agentUid,
        callId: call.callId,
        state: 'completed',
        output: { type: 'text', value: 'late' },
        requestId: 'r',
      })
      const [answer] = await Promise.all([late, sweep()])
      expect(answer).toMatchObject({ ok: false, code: 'too_late' })
      const after = await facts(kit, held)
      expect([after.calls[0]?.state, after.run.state, after.continuations]).toEqual(['failed', 'running', 1])
    }
  })
})

describe('who may decide', () => {
  const mine = '11111111-1111-4111-8111-111111111111'
  const yours = '22222222-2222-4222-8222-222222222222'
  const as = (id: string) => ({ ...authority, credential: asUser(id) })

  test('a user: only where the template says approvers owner, and only on an agent of theirs', async () => {
    const open = askedCall(0)
    await paused(kit, 'owned', [open], { ...as(mine), settings: { ...settings, approvers: ['owner'] } })
    const closed = askedCall(0)
    await paused(kit, 'owned-closed', [closed], as(mine))
    const decide = (who: string, id: string) => kit.store.decide(as(who), { approvalId: id, decision: 'allow' as const })
    expect(await decide(yours, open.approval.id)).toMatchObject({ code: 'approval_not_found' })
    expect(await kit.store.getApproval(as(yours), open.approval.id)).toMatchObject({ code: 'approval_not_found' })
    expect(await decide(mine, closed.approval.id)).toMatchObject({ code: 'forbidden' })
    expect(await decide(mine, open.approval.id)).toMatchObject({ ok: true, approval: { state: 'allowed', decidedBy: `user:${mine}` } })
    const seen = async (who: string) => ok(await kit.store.listApprovals(as(who), { limit: 50, after: null })).data.map((row) => row.id)
    expect(await seen(mine)).toEqual([open.approval.id, closed.approval.id])
    expect(await seen(yours)).toEqual([])
    const refused = await kit.sql(
      "select actor, code from baton.audit where action = 'approval.decide' and decision = 'refused' and code = 'forbidden'",
    )
    expect(refused).toEqual([{ actor: `user:${mine}`, code: 'forbidden' }])
  })

  test('another tenant and another environment see and decide nothing; a result needs the environment too', async () => {
    const [asked, outside] = [askedCall(0), toolCall(1, { name: 'outside', effect: 'external' })]
    const held = await paused(kit, 'fenced', [asked, outside])
    const others = [
      { ...authority, environment: 'elsewhere' },
      { ...authority, environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'x' } } },
      { ...authority, credential: { operator: { tenant: 'other', name: 'x' } } },
    ]
    for (const other of others) {
      expect(await kit.store.decide(other, { approvalId: asked.approval.id, decision: 'allow' })).toMatchObject({
        code: 'approval_not_found',
      })
      expect(ok(await kit.store.listApprovals(other, { limit: 50, after: null })).data).toEqual([])
    }
    const result = {
      agentUid: held.agentUid,
      callId: outside.callId,
      state: 'completed' as const,
      output: { type: 'text' as const, value: '' },
      requestId: 'r',
    }
    expect(await kit.store.callResult({ ...result, environment: 'elsewhere' })).toMatchObject({ code: 'call_not_found' })
    for (const credential of [{ keyHash: 'nobody' }, { stream: { tenant: 'one', agentUid: held.agentUid } }]) {
      expect(await kit.store.decide({ ...authority, credential }, { approvalId: asked.approval.id, decision: 'allow' })).toMatchObject({
        ok: false,
      })
    }
    expect((await facts(kit, held)).approvals[0]?.state).toBe('pending')
  })

  test('retention: decided approvals go after 400 days, pending ones never by age', async () => {
    const [decided, open] = [askedCall(0), askedCall(0, {}, { expiresMs: 1_000 * 86_400_000 })]
    await paused(kit, 'old', [decided])
    await paused(kit, 'old-open', [open])
    await kit.store.decide(authority, { approvalId: decided.approval.id, decision: 'deny' })
    await kit.advance(399 * 86_400_000)
    await kit.store.prune({ environment: 'test', limit: 1_000 })
    expect(await kit.store.getApproval(authority, decided.approval.id)).toMatchObject({ ok: true })
    await kit.advance(2 * 86_400_000)
    await kit.store.prune({ environment: 'test', limit: 1_000 })
    expect(await kit.store.getApproval(authority, decided.approval.id)).toMatchObject({ code: 'approval_not_found' })
    expect(await kit.store.getApproval(authority, open.approval.id)).toMatchObject({ ok: true })
  })
})

describe('what a pause is', () => {
  test('nothing is due, nobody can claim, the sweeper finds nothing; the wait is no work', async () => {
    const call = askedCall(0)
    const held = await paused(kit, 'still', [call])
    const { run, continuations } = await facts(kit, held)
    expect(run).toMatchObject({ state: 'awaiting_approval', dueAt: null, lease: null })
    expect(ok(await kit.store.getAgent(authority, 'still')).agent.state).toBe('paused')
    expect(continuations).toBe(0)
    await kit.advance(3 * 86_400_000)
    expect((await sweep()).outbox.filter((row) => row.data.agentUid === held.agentUid)).toEqual([])
    expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ ok: false, code: 'not_due' })
    expect((await facts(kit, held)).run.workMs).toBe(run.workMs)
  })

  test('two approvals: no continuation until both are decided', async () => {
    const [one, two] = [askedCall(0), askedCall(1)]
    const held = await paused(kit, 'two', [one, two])
    await kit.store.decide(authority, { approvalId: one.approval.id, decision: 'allow' })
    expect(await facts(kit, held)).toMatchObject({ run: { state: 'awaiting_approval' }, continuations: 0 })
    await kit.store.decide(authority, { approvalId: two.approval.id, decision: 'deny' })
    expect(await facts(kit, held)).toMatchObject({ run: { state: 'running' }, continuations: 1 })
  })

  test('an undecided call cannot be started, whatever an executor intends', async () => {
    const held = await hold(kit, 'defence')
    const [plain, call] = [toolCall(0), askedCall(1)]
    await answerWith(kit, held, [plain, call])
    await commit(kit, held, {}, { start: [call.callId] })
    expect((await facts(kit, held)).calls.find((row) => row.callId === call.callId)).toMatchObject({
      state: 'approval_required',
      attempts: 0,
    })
  })

  test('a decision that met a lease whose executor then died is not lost: its results enter at the take-over', async () => {
    const held = await hold(kit, 'died')
    const [plain, call] = [toolCall(0), askedCall(1)]
    await answerWith(kit, held, [plain, call])
    await kit.store.decide(authority, { approvalId: call.approval.id, decision: 'deny' })
    await kit.advance(31_000)
    const next = await take(kit, held.agentUid)
    const states = next.answer.opened?.calls.map((row) => row.state)
    expect(states).toEqual(['executing', 'denied'])
  })

  test('approvals and results that are open together: a result alone does not go on, the last decision does', async () => {
    const [asked, outside] = [askedCall(0), toolCall(1, { name: 'outside', effect: 'external' })]
    const held = await paused(kit, 'mixed', [asked, outside])
    const result = { environment: 'test', agentUid: held.agentUid, callId: outside.callId, requestId: 'r' }
    await kit.store.callResult({ ...result, state: 'completed', output: { type: 'text', value: 'x' } })
    expect(await facts(kit, held)).toMatchObject({ run: { state: 'awaiting_approval' }, continuations: 0 })
    await kit.store.decide(authority, { approvalId: asked.approval.id, decision: 'deny' })
    expect(await facts(kit, held)).toMatchObject({ run: { state: 'running' }, continuations: 1, roles: ['user', 'assistant', 'tool'] })
  })

  test('the last decision leaves the run waiting for the outside alone', async () => {
    const [asked, outside] = [askedCall(0), toolCall(1, { name: 'outside', effect: 'external' })]
    const held = await paused(kit, 'outside-last', [asked, outside])
    await kit.store.decide(authority, { approvalId: asked.approval.id, decision: 'deny' })
    expect(await facts(kit, held)).toMatchObject({ run: { state: 'waiting', wait: { kind: 'external', dueAt: null } }, continuations: 0 })
  })
})
