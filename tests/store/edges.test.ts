import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import type { ModelPrice } from '#lib/core/prices'
import { noUsage } from '#lib/core/run'
import { handOverAll } from '#lib/engine/slices'
import { continueSlice } from '#lib/jobs/continue-slice'
import { systemClock } from '#lib/system/clock'
import { isAborted, movedClock, startExecutor } from '#tests/store/engine-kit'
import {
  answered,
  authority,
  claimRequest,
  commit,
  completed,
  execution,
  hold,
  ok,
  openRequest,
  startStore,
  take,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

/* Rules of the database and of the engine on it that no other test noticed when they were taken away (scripts/mutations). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const ledger = (held: Held) =>
  kit.sql<{ id: `res_${string}`; state: string; cost: number }>(
    'select id, state, cost_micros::integer as cost from baton.reservations where run_id = $1',
    [held.runId],
  )

test('invariant 9: a run settles its own reservations and no other', async () => {
  const [one, other] = [await hold(kit, 'mine', { execute: execution(4_000) }), await hold(kit, 'theirs', { execute: execution(5_000) })]
  const settle = (await ledger(other)).map(({ id }) => ({ id, costMicros: 1, usage: noUsage, estimated: false }))
  await kit.store.settle({ agentUid: one.agentUid, runId: one.runId, settle })
  await commit(kit, one, { settle, progress: false })
  expect(await ledger(other)).toMatchObject([{ state: 'reserved' }])
  for (const held of [one, other]) expect(ok(await kit.store.getRun(authority, held.runId)).run.costMicros).toBe(0)
})

test('a row that newer code has written is left to newer code, and nothing of it changes', async () => {
  const opened = ok(await kit.store.open(openRequest('newer')))
  const row = () =>
    kit.sql('select lease_owner, lease_epoch, version, last_event_seq from baton.agents where agent_uid = $1', [opened.agentUid])
  await kit.sql('update baton.runs set format = 2 where run_id = $1', [opened.run.id])
  const before = await row()
  expect(await kit.store.claim(claimRequest(opened.agentUid))).toMatchObject({ ok: false, code: 'format_newer' })
  expect(await row()).toEqual(before)
  expect(await kit.store.claim(claimRequest(opened.agentUid, { maxFormat: 2 }))).toMatchObject({ ok: true })
})

test('A77: a run waits for a retry no longer than its authority lasts', async () => {
  const [row] = await kit.sql<{ at: Date }>(`select baton.clock() + interval '20 seconds' as at`)
  const run = { ...openRequest('waits').run, narrowing: { expiresAt: row?.at.toISOString() ?? '' } }
  const held = await hold(kit, 'waits', { run })
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 3_600_000 } })
  const [due] = await kit.sql<{ s: number }>(
    'select extract(epoch from due_at - baton.clock())::float as s from baton.runs where run_id = $1',
    [held.runId],
  )
  expect(due?.s).toBeGreaterThan(0)
  expect(due?.s).toBeLessThanOrEqual(20)
})

test('a short 429 does not open a gate that a longer one has closed', async () => {
  const held = await hold(kit, 'gated')
  await commit(kit, held, { gate: { model: 'gated/model', ms: 60_000 }, progress: false })
  const { gates } = await commit(kit, held, { gate: { model: 'gated/model', ms: 1_000 }, progress: false })
  expect(gates['gated/model']).toBeGreaterThan(50_000)
  await commit(kit, held, answered(), completed)
  // Whoever opens or claims next is told of it.
  const next = await take(kit, ok(await kit.store.open(openRequest('gated'))).agentUid)
  expect(next.answer).toMatchObject({ gates: { 'gated/model': expect.any(Number) } })
})

test('what Postgres refuses because of a deadlock is asked for again, and anything else that it refuses is not', async () => {
  await kit.sql('create sequence baton.asked')
  const refusing = (name: string, code: string) =>
    kit.sql(
      `create function public.baton_${name}(p jsonb) returns json language plpgsql security definer set search_path = '' as $$ begin
        if p ? 'once' and nextval('baton.asked') < 3 then raise exception 'refused' using errcode = '${code}'; end if;
        return '{"ok": true}'; end $$`,
    )
  await refusing('deadlocked', '40P01')
  await refusing('locked', '55P03')
  await kit.sql('grant execute on function public.baton_deadlocked(jsonb), public.baton_locked(jsonb) to service_role')
  await kit.sql('grant usage on sequence baton.asked to service_role')
  await kit.sql(`notify pgrst, 'reload schema'`)
  // PostgREST takes a moment to know a new function.
  await expect.poll(() => kit.rpc('baton_locked', {}).catch(String), { timeout: 60_000 }).toEqual({ ok: true })
  expect(await kit.rpc('baton_deadlocked', { once: true })).toEqual({ ok: true })
  expect(await kit.sql('select last_value::integer as n from baton.asked')).toEqual([{ n: 3 }])
  await kit.sql(`select setval('baton.asked', 1)`)
  await expect(kit.rpc('baton_locked', { once: true })).rejects.toMatchObject({ code: 'idempotency_busy' })
})

const first = defineTool({ name: 'first', description: 'first', input: z.object({}), effect: 'pure', run: () => 'done' })
const plain = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.', tools: [first] })

/** The other model is three times as dear. */
function price(model: string): ModelPrice {
  const perMillion = model === 'test/other' ? 3_000_000 : 1_000_000
  return { inputMicrosPerMillion: perMillion, outputMicrosPerMillion: perMillion }
}
/** An executor to whom no time is long. */
const hasty = { ...systemClock(), sleep: () => Promise.resolve() }

test('the next model is tried as often as the first, and costs its own price', async () => {
  const away = Array.from({ length: 7 }, () => ({ error: 'provider_unavailable' as const }))
  const falling = defineAgent({ ...plain, fallback: ['test/other'] })
  const executor = startExecutor(kit, falling, [...away, { text: 'bye' }], { clock: hasty, price })
  expect(await executor.send('falls')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(executor.effects).toHaveLength(8)
  const run = (await kit.store.listRuns(authority, { agent: 'falls', limit: 1, after: null })).data[0]
  const { inputTokens = 0, outputTokens = 0 } = run?.usage ?? {}
  expect(run?.costMicros).toBe(3 * (inputTokens + outputTokens))
})

test('what one provider refuses to answer is not taken to the next one', async () => {
  const falling = defineAgent({ ...plain, fallback: ['test/other'] })
  const executor = startExecutor(kit, falling, [{ error: 'content_filtered' }, { text: 'never' }], { clock: hasty })
  expect(await executor.send('refused')).toMatchObject({ kind: 'ended', stopReason: 'content_filtered', output: null })
  expect(executor.effects).toEqual(['model'])
})

test('a permission function that never answers denies the call', async () => {
  const asking = defineAgent({ ...plain, permission: { mode: 'custom', decide: () => new Promise(() => undefined) } })
  const executor = startExecutor(kit, asking, [{ tools: [{ name: 'first' }] }, { text: 'bye' }], { clock: hasty })
  expect(await executor.send('undecided')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(executor.effects).toEqual(['model', 'model'])
})

test('a key for an effect outside is given once, though providers give the calls of each answer the same ids', async () => {
  const keys: string[] = []
  const telling = { ...first, run: (_input: unknown, { idempotencyKey }: ToolContext) => keys.push(idempotencyKey) }
  const script = [{ tools: [{ name: 'first' }] }, { tools: [{ name: 'first' }] }, { text: 'bye' }]
  for (const agent of ['keys', 'other-keys']) {
    const executor = startExecutor(kit, defineAgent({ ...plain, tools: [telling] }), script)
    expect(await executor.send(agent)).toMatchObject({ kind: 'ended', output: 'bye' })
  }
  expect([keys.length, new Set(keys).size]).toEqual([4, 4])
})

test('a process that is about to end waits for no run: what is due in a moment is taken over elsewhere', async () => {
  const held = await hold(kit, 'due-soon')
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 3_600_000 } })
  let claims = 0
  const { services } = startExecutor(kit, plain, [], {
    clock: hasty,
    store: {
      async claim(request) {
        claims += 1
        const answer = await kit.store.claim({ ...request, versions: { plain: 'v1' } })
        return answer.ok ? answer : { ...answer, dueInMs: 1_500 }
      },
    },
  })
  const beside = { settled: () => Promise.resolve(), sweep: () => Promise.resolve({ swept: false, sent: 0 }) }
  const nothing = { outcome: 'nothing_to_do', why: 'not_due' }
  // SIGTERM comes while it waits.
  expect(await continueSlice({ ...services, ...beside, ending: () => claims > 0 }, held.agentUid)).toEqual(nothing)
  expect(claims).toBe(1)
  // Any other process asks once more when its time has come.
  expect(await continueSlice({ ...services, ...beside, ending: () => false }, held.agentUid)).toEqual(nothing)
  expect(claims).toBe(3)
})

test('a context that is too long is mended in each step anew', async () => {
  const script = [
    ...Array.from({ length: 6 }, () => ({ text: 'bye' })),
    { error: 'context_too_long' as const },
    { tools: [{ name: 'first' }] },
    { error: 'context_too_long' as const },
    { text: 'at last' },
  ]
  const executor = startExecutor(kit, plain, script)
  for (let n = 0; n < 6; n++) await executor.send('long')
  expect(await executor.send('long')).toMatchObject({ kind: 'ended', output: 'at last' })
})

const minutes = 60_000
/** Time enough for whatever a test lets pass. */
const patient = { leaseMs: 300 * minutes }

test('time of work counts once: what one commit has told, the next does not tell again', async () => {
  const clock = movedClock()
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }, { text: 'bye' }], {
    ...patient,
    clock,
    onEffect: ({ kind, step }) => (kind === 'model' && step === 1 ? clock.forward({ monotonic: 5 * minutes }) : undefined),
  })
  expect(await executor.send('works')).toMatchObject({ kind: 'ended', output: 'bye' })
  const [run] = await kit.sql<{ minutes: number }>(
    `select round(r.work_ms / 60000.0)::integer as minutes from baton.runs r join baton.agents a using (agent_uid) where a.id = 'works'`,
  )
  expect(run?.minutes).toBe(5)
})

test('from SIGTERM on no step begins: the outcome in hand is stored, and another process goes on', async () => {
  const clock = systemClock()
  const ending = {
    ...first,
    run() {
      void handOverAll(60 * minutes, clock)
      return 'done'
    },
  }
  const executor = startExecutor(kit, defineAgent({ ...plain, tools: [ending] }), [{ tools: [{ name: 'first' }] }, { text: 'bye' }], {
    clock,
  })
  expect(await executor.send('ending')).toMatchObject({ kind: 'handed_over', state: 'running' })
  expect(executor.effects).toEqual(['model', 'first'])
  expect(executor.sent).not.toEqual([])
})

test('invariant 4: a once tool whose time a hook has used up does not begin', async () => {
  const clock = movedClock()
  const pay = { ...first, name: 'pay', effect: 'once' as const, timeoutMs: 40 * minutes }
  const hooks = [{ name: 'slow', preToolUse: () => clock.forward({ monotonic: 50 * minutes }) }]
  const paying = defineAgent({ ...plain, tools: [pay], hooks, limits: { maxWallMs: 120 * minutes } })
  const executor = startExecutor(kit, paying, [{ tools: [{ name: 'pay' }] }, { text: 'bye' }], { ...patient, clock })
  expect(await executor.send('pays-late')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(executor.effects).toEqual(['model', 'model'])
})

test('A77: the model is not asked when the authority has ended while a hook was asked', async () => {
  const clock = movedClock()
  const hooks = [{ name: 'slow', preModel: () => clock.forward({ monotonic: 10 * minutes }) }]
  const executor = startExecutor(kit, defineAgent({ ...plain, hooks }), [{ text: 'never' }], { ...patient, clock })
  expect(await executor.send('expires', { expiresInMs: 5 * minutes })).toMatchObject({ kind: 'ended', state: 'expired' })
  expect(executor.effects).toEqual([])
  // What was set aside for the call that was never made is free again, and no guess of its cost is booked.
  const booked = `select v.state, v.cost_micros from baton.reservations v where v.agent_id = 'expires'`
  expect(await kit.sql(booked)).toEqual([{ state: 'settled', cost_micros: '0' }])
})

test('a hook that has failed at once takes no process down when its slice is cut afterwards', async () => {
  const clock = systemClock()
  const lost: unknown[] = []
  const note = (reason: unknown): void => void lost.push(reason)
  process.on('unhandledRejection', note)
  const throws = {
    name: 'throws',
    preToolUse(): never {
      throw new Error('at once')
    },
  }
  const { model } = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }]).services
  const executor = startExecutor(kit, defineAgent({ ...plain, hooks: [throws] }), [], {
    clock,
    model: {
      async call(request, onDelta, signal) {
        if (request.step === 1) return model.call(request, onDelta, signal)
        void handOverAll(0, clock)
        await isAborted(signal)
        throw signal.reason
      },
    },
  })
  expect(await executor.send('fails-at-once')).toMatchObject({ kind: 'handed_over' })
  process.off('unhandledRejection', note)
  expect(lost).toEqual([])
})

test('what a refused claim has written is sent on: a run whose template is gone looks again by itself', async () => {
  const held = await hold(kit, 'no-template')
  await commit(kit, held, { progress: false }, { release: 'slice_deadline' })
  const executor = startExecutor(kit, defineAgent({ ...plain, id: 'another' }), [])
  expect(await executor.goOn(held.agentUid)).toBe('template_missing')
  expect(executor.sent).toHaveLength(1)
})

test('invariant 9: a message that names another model has that one reserved for, not the one of the template', async () => {
  const executor = startExecutor(kit, plain, [{ text: 'bye' }], { price })
  expect(await executor.send('dearer', { model: 'test/other' })).toMatchObject({ kind: 'ended', output: 'bye' })
  const rows = await kit.sql(
    `select v.model, v.micros / v.tokens as price, v.state from baton.reservations v join baton.runs r using (run_id)
      join baton.agents a on a.agent_uid = r.agent_uid where a.id = 'dearer'`,
  )
  expect(rows).toEqual([{ model: 'test/other', price: '3', state: 'settled' }])
})
