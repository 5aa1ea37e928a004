import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Refusal } from '#lib/core/store'
import type { SwitchMode } from '#lib/core/switches'
import {
  answered,
  asUser,
  authority,
  claimRequest,
  commit,
  commitOf,
  completed,
  execution,
  hold,
  ids,
  ok,
  openRequest,
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

const set = async (scope: string, mode: SwitchMode = 'kill', reason = 'a test') =>
  ok(await kit.store.setSwitch(authority, { scope, mode, reason }))
const lift = async (scope: string) => ok(await kit.store.liftSwitch(authority, { scope, reason: null }))
const run = async (runId: string) => ok(await kit.store.getRun(authority, runId))
const audit = (action: string, scope: string) =>
  kit.sql<{ decision: string; actor: string; reason: string; run_id: string | null; code: string | null }>(
    'select decision, actor, reason, run_id, code from baton.audit where action = $1 and scope = $2 order by id',
    [action, scope],
  )
const eventsOf = async (runId: string) =>
  (await kit.sql<{ type: string }>('select type from baton.events where run_id = $1 order by seq', [runId])).map((row) => row.type)

describe('a kill', () => {
  test('refuses the first message of an agent that does not exist yet, and leaves no agent and no key behind', async () => {
    await set('agent:unborn', 'kill', 'not this one')
    const request = openRequest('unborn', { idempotency: { key: 'unborn', hash: 'h' } })
    const refusal = (await kit.store.open(request)) as Refusal
    expect(refusal).toMatchObject({ ok: false, code: 'killed', scope: 'agent:unborn', reason: 'not this one' })
    expect(await kit.sql(`select 1 from baton.agents where id = 'unborn'`)).toEqual([])
    expect(await audit('message.accept', 'agent:unborn')).toMatchObject([{ decision: 'refused', code: 'killed' }])
    await lift('agent:unborn')
    expect(await kit.store.open(request)).toMatchObject({ ok: true })
  })

  test('invariant 10: it ends what was at work, also where it is lifted before the executor has heard of it, or the executor is dead', async () => {
    const [heard, dead] = [await hold(kit, 'brief'), await hold(kit, 'brief-dead')]
    for (const agent of ['brief', 'brief-dead']) {
      await set(`agent:${agent}`, 'kill', 'for a moment')
      await lift(`agent:${agent}`)
    }
    expect((await commit(kit, heard, answered('too late'), completed)).flags.stop).toBe('killed')
    await kit.sql(`update baton.agents set lease_until = baton.clock() where id = 'brief-dead'`)
    expect(ok(await kit.store.claim(claimRequest(dead.agentUid))).opened.flags.stop).toBe('killed')
  })

  test('the same again is a no-op that keeps the first reason; another mode is a change; each is audited', async () => {
    expect(await set('agent:same', 'hold', 'first')).toMatchObject({ changed: true, ended: 0, switch: { reason: 'first', mode: 'hold' } })
    expect(await set('agent:same', 'hold', 'second')).toMatchObject({ changed: false, switch: { reason: 'first' } })
    expect(await set('agent:same', 'kill', 'third')).toMatchObject({ changed: true, switch: { reason: 'third', mode: 'kill' } })
    expect((await audit('switch.set', 'agent:same')).map((row) => [row.decision, row.reason])).toEqual([
      ['allowed', 'first'],
      ['allowed', 'second'],
      ['allowed', 'third'],
    ])
    await lift('agent:same')
    expect(await kit.store.liftSwitch(authority, { scope: 'agent:same', reason: null })).toMatchObject({
      ok: false,
      code: 'switch_not_found',
    })
  })

  test('is set and lifted by an admin only, a global one by the operator only; each refusal is audited', async () => {
    const user = { ...authority, credential: asUser(ids.uuid()) }
    await set('agent:guarded')
    for (const answer of [
      await kit.store.setSwitch(user, { scope: 'agent:mine', mode: 'kill', reason: 'x' }),
      await kit.store.liftSwitch(user, { scope: 'agent:guarded', reason: null }),
    ])
      expect(answer).toMatchObject({ ok: false, code: 'forbidden' })
    const actor = `user:${'user' in user.credential ? user.credential.user.id : ''}`
    // The second for the same right within a minute is counted (docs/security.md).
    expect(
      await kit.sql(
        `select a.data ->> 'needed' as needed, i.chosen ->> 'count' as later from baton.audit a join baton.idempotency i on i.caller = 'baton:refused' and starts_with(i.key, a.actor)
          where a.actor = $1 and a.decision = 'refused' and a.code = 'forbidden'`,
        [actor],
      ),
    ).toEqual([{ needed: 'admin', later: '1' }])
    const byKey = { environment: 'test', tenant: 'one', caller: 'key:k2', credential: { keyHash: 'h' }, mode: 'kill', reason: 'x' }
    const ask = async (scope: string) =>
      (await kit.sql<{ answer: unknown }>('select baton.set_switch($1::jsonb) as answer', [JSON.stringify({ ...byKey, scope })]))[0]?.answer
    expect(await ask('global')).toMatchObject({ ok: false, code: 'forbidden', scope: 'global' })
    expect(await ask('agent:by-key')).toMatchObject({ ok: true, switch: { actor: 'key:k2' } })
    expect(await audit('switch.set', 'global')).toMatchObject([{ decision: 'refused', actor: 'key:k2', code: 'forbidden' }])
    expect(await kit.store.open(openRequest('guarded'))).toMatchObject({ code: 'killed' })
    for (const scope of ['agent:guarded', 'agent:by-key']) await lift(scope)
  })

  test('of a run with a live lease: the commit that meets it stores what happened and nothing of what it intended', async () => {
    const held = await hold(kit, 'flying')
    // The switch stands, and its own work has not come to the run yet: the commit is the first to meet it.
    await kit.sql(`insert into baton.switches (environment, tenant_id, scope, mode, reason, actor)
      select environment, tenant_id, 'agent:flying', 'kill', 'a test', 'tester' from baton.agents where id = 'flying'`)
    const call = toolCall(0, { effect: 'once' })
    const happened = { ...answered('half'), calls: [call] }
    const answer = await commit(kit, held, happened, { start: [call.callId] })
    expect(answer).toMatchObject({ allowed: false, released: false, flags: { stop: 'killed' } })
    expect(await kit.sql('select state from baton.tool_calls where call_id = $1', [call.callId])).toEqual([{ state: 'pending' }])
    // It stays so when the switch is lifted before the executor has ended the run.
    await lift('agent:flying')
    const error = { code: 'killed', message: 'killed' }
    const end = await commit(kit, held, {}, { end: { state: 'killed', stopReason: 'killed', output: null, error } })
    expect(end).toMatchObject({ released: true, state: 'killed' })
    expect(await kit.sql('select state from baton.tool_calls where call_id = $1', [call.callId])).toEqual([{ state: 'sealed' }])
    const { run: ended } = await run(held.runId)
    expect(ended).toMatchObject({
      state: 'killed',
      stopReason: 'killed',
      error: { code: 'killed', scope: 'agent:flying', reason: 'a test' },
    })
    expect(await eventsOf(held.runId)).toEqual(expect.arrayContaining(['killed', 'done']))
    expect(await audit('run.kill', 'agent:flying')).toMatchObject([{ run_id: held.runId, actor: 'tester', reason: 'a test' }])
  })

  test('a commit that would complete the run meets the kill: the text is kept, the run does not complete', async () => {
    const held = await hold(kit, 'almost')
    await set(`run:${held.runId}`)
    expect(await commit(kit, held, answered('bye'), completed)).toMatchObject({ allowed: false, released: false, state: 'running' })
    expect(await kit.sql('select count(*)::int as n from baton.messages where run_id = $1', [held.runId])).toEqual([{ n: 2 }])
  })

  test('the heartbeat tells it and reserves nothing', async () => {
    const held = await hold(kit, 'beating')
    await set('agent:beating')
    const { agentUid, sliceId, epoch } = held
    const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'm', micros: 5 } as const
    expect(await kit.store.renew({ agentUid, sliceId, epoch, leaseMs: 30_000, reserve })).toMatchObject({
      flags: { stop: 'killed' },
      reserved: 'none',
    })
    expect(await kit.sql('select 1 from baton.reservations where id = $1', [reserve.id])).toEqual([])
  })

  test('of a run that waits for a retry: it ends in the same transaction, its reservation is booked, its queue ends killed', async () => {
    const held = await hold(kit, 'waiting')
    await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
    const queued = ok(await kit.store.open(openRequest('waiting'))).run.id
    const steered = openRequest('waiting', { onBusy: 'steer' })
    ok(await kit.store.open(steered))
    expect(await set('agent:waiting')).toMatchObject({ ended: 2, more: false })
    for (const runId of [held.runId, queued, steered.run.id]) {
      expect((await run(runId)).run).toMatchObject({ state: 'killed', stopReason: 'killed', reservedMicros: 0 })
      expect((await eventsOf(runId)).filter((type) => type === 'done')).toHaveLength(1)
    }
    expect(await kit.sql(`select queued, state from baton.agents where id = 'waiting'`)).toEqual([{ queued: 0, state: 'ready' }])
    expect(await audit('run.kill', 'agent:waiting')).toHaveLength(3)
  })

  test('of one run leaves its agent alone: the next message of the queue starts', async () => {
    const held = await hold(kit, 'one-run')
    await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
    const queued = ok(await kit.store.open(openRequest('one-run'))).run.id
    await set(`run:${held.runId}`)
    expect((await run(held.runId)).run.state).toBe('killed')
    expect((await run(queued)).run).toMatchObject({ state: 'running' })
  })

  test('of a queued run while another runs: it ends at once, the running one does not', async () => {
    const held = await hold(kit, 'behind')
    const queued = ok(await kit.store.open(openRequest('behind'))).run.id
    expect(await set(`run:${queued}`)).toMatchObject({ ended: 1 })
    expect((await run(queued)).run.state).toBe('killed')
    expect(await commit(kit, held, answered(), completed)).toMatchObject({ state: 'completed' })
  })

  test('of an executor that has died: the claim ends the run and names the switch', async () => {
    const held = await hold(kit, 'dead')
    await set('agent:dead')
    expect((await run(held.runId)).run.state).toBe('running')
    await kit.advance(31_000)
    expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ ok: false, code: 'killed' })
    expect((await run(held.runId)).run).toMatchObject({ state: 'killed', reservedMicros: 0, costMicros: 1_000 })
  })

  test('of a user or key reaches their runs and nobody else', async () => {
    const [alice, bob] = [ids.uuid(), ids.uuid()]
    const hers = await hold(kit, 'hers', { credential: asUser(alice) })
    const his = await hold(kit, 'his', { credential: asUser(bob) })
    await set(`user:${alice}`)
    expect(await commit(kit, hers, answered(), completed)).toMatchObject({ allowed: false, flags: { stop: 'killed' } })
    expect(await commit(kit, his, answered(), completed)).toMatchObject({ state: 'completed' })
    expect(await kit.store.open(openRequest('hers-2', { credential: asUser(alice) }))).toMatchObject({ code: 'killed' })
    const byKey = await hold(kit, 'by-key')
    await kit.sql(`update baton.runs set created_by = 'key:k1' where run_id = $1`, [byKey.runId])
    await set('key:k1')
    expect(await commit(kit, byKey, answered(), completed)).toMatchObject({ flags: { stop: 'killed' } })
  })

  test('a retry is refused while what killed the run stands, and works afterwards', async () => {
    const held = await hold(kit, 'again')
    await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
    await set(`run:${held.runId}`)
    const request = { runId: held.runId, newRunId: ids.make('run'), versions: { plain: 'v1' }, settings: null }
    expect(await kit.store.retry(authority, request)).toMatchObject({ ok: false, code: 'killed', scope: `run:${held.runId}` })
    await lift(`run:${held.runId}`)
    expect((await run(held.runId)).run.state).toBe('killed')
    expect(await kit.store.retry(authority, request)).toMatchObject({ ok: true, run: { retryOf: held.runId } })
  })
})

describe('a hold', () => {
  test('accepts messages and gives nobody a lease; lifted, the run is due and goes on', async () => {
    await set('agent:later', 'hold')
    const answer = ok(await kit.store.open(openRequest('later', { execute: execution() })))
    expect(answer.opened ?? null).toBeNull()
    expect(answer.run).toMatchObject({ state: 'waiting', wait: { kind: 'hold', dueAt: null } })
    expect(answer.outbox).toEqual([])
    expect(await kit.store.claim(claimRequest(answer.agentUid))).toMatchObject({ ok: false, code: 'not_due' })
    expect(await run(answer.run.id)).toMatchObject({ switch: { scope: 'agent:later', mode: 'hold' } })
    expect(await eventsOf(answer.run.id)).toContain('held')
    const lifted = await lift('agent:later')
    expect(lifted).toMatchObject({ resumed: 1, outbox: [{ kind: 'continue', dueInMs: 0 }] })
    const held = await take(kit, answer.agentUid)
    expect(await commit(kit, held, answered(), completed)).toMatchObject({ state: 'completed' })
  })

  test('in flight: the step in hand is stored, no call starts, the lease is given back', async () => {
    const held = await hold(kit, 'mid')
    await set('agent:mid', 'hold')
    const call = toolCall(0)
    const answer = await commit(kit, held, { ...answered('half'), calls: [call] }, { start: [call.callId] })
    expect(answer).toMatchObject({ allowed: false, released: true, state: 'waiting', outbox: [] })
    expect(await kit.sql('select state from baton.tool_calls where call_id = $1', [call.callId])).toEqual([{ state: 'pending' }])
    await lift('agent:mid')
    const next = await take(kit, held.agentUid)
    expect('opened' in next.answer && next.answer.opened?.calls).toMatchObject([{ state: 'pending' }])
  })

  test('in flight with calls at work: each outcome is committed, no other starts, the last one gives the lease back', async () => {
    const held = await hold(kit, 'busy')
    const [first, second, third] = [toolCall(0), toolCall(1), toolCall(2)]
    await commit(kit, held, { ...answered('x'), calls: [first, second, third] }, { start: [first.callId, second.callId] })
    await set('agent:busy', 'hold')
    const done = (call: typeof first) => ({ ...call, state: 'completed' as const, output: { type: 'text' as const, value: 'ok' } })
    const one = await commit(kit, held, { calls: [done(first)] }, { start: [third.callId] })
    expect(one).toMatchObject({ allowed: false, released: false, flags: { hold: true, stop: null } })
    expect(await commit(kit, held, { calls: [done(second)] })).toMatchObject({ released: true, state: 'waiting' })
    expect(await kit.sql(`select state from baton.tool_calls where call_id = $1`, [third.callId])).toEqual([{ state: 'pending' }])
  })

  test('does not lose an end that the commit brings; the next message of the queue is held', async () => {
    const held = await hold(kit, 'ending')
    const queued = ok(await kit.store.open(openRequest('ending'))).run.id
    await set('tenant', 'hold')
    expect(await commit(kit, held, answered(), completed)).toMatchObject({ state: 'completed', released: true })
    expect((await run(queued)).run).toMatchObject({ state: 'waiting', wait: { kind: 'hold', dueAt: null } })
    await lift('tenant')
    expect((await take(kit, held.agentUid)).runId).toBe(queued)
  })

  test('a claim of a due run waits without a loop; what its dead executor reserved is booked', async () => {
    const held = await hold(kit, 'crashed')
    await set('agent:crashed', 'hold')
    await kit.advance(31_000)
    expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ ok: false, code: 'held', outbox: [] })
    expect((await run(held.runId)).run).toMatchObject({ state: 'waiting', dueAt: null, reservedMicros: 0, costMicros: 1_000 })
    expect(await kit.store.commit(commitOf(held, answered(), completed))).toMatchObject({ ok: false, code: 'lease_lost' })
    // A kill of the same scope takes its place and ends the run.
    expect(await set('agent:crashed', 'kill', 'for good')).toMatchObject({ ended: 1 })
    expect((await run(held.runId)).run).toMatchObject({ state: 'killed' })
  })

  test('a kill of one scope wins over a hold of another, and a run under two holds waits for both', async () => {
    await set('agent:both', 'hold')
    await set('tenant', 'hold')
    const answer = ok(await kit.store.open(openRequest('both')))
    expect(await lift('agent:both')).toMatchObject({ resumed: 0 })
    expect((await run(answer.run.id)).run.dueAt).toBeNull()
    await set('agent:both', 'kill')
    expect((await run(answer.run.id)).run.state).toBe('killed')
    await lift('tenant')
    await lift('agent:both')
  })
})
