import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type AgentDefinition, type ToolContext } from '#lib/core/define'
import { BatonError, ProviderError } from '#lib/core/errors'
import type { ModelPort } from '#lib/core/ports'
import { noRates } from '#lib/core/rate'
import type { OpenRequest } from '#lib/core/store'
import { handOverAll } from '#lib/engine/slices'
import { systemClock } from '#lib/system/clock'
import { haltOf, heartbeatsByHand, isAborted, movedClock, startExecutor, stopping, type Executor } from '#tests/store/engine-kit'
import { authority, commit, hold, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

/* What a turn of the engine does where something has changed since the one before. As in engine.test.ts. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const minutes = 60_000
const acts: Record<string, (context: ToolContext) => unknown> = {}
const tool = (name: string, effect: 'pure' | 'once' = 'pure') =>
  defineTool({ name, description: name, input: z.object({}), effect, run: (_input, context) => acts[name]?.(context) })
const plain = defineAgent({
  id: 'plain',
  model: 'test/model',
  instructions: 'Answer.',
  tools: [tool('first'), tool('limited'), tool('pay', 'once')],
})
const calls = (...names: string[]) => ({ tools: names.map((name) => ({ name })) })

const runOf = async (agent: string) => {
  const [run] = await kit.sql<{
    agent_uid: string
    state: string
    crashes: number
    wait: string | null
    error: { message: string } | null
  }>(
    `select a.agent_uid, r.state, r.crashes, r.wait_kind as wait, r.error from baton.runs r join baton.agents a using (agent_uid) where a.id = $1`,
    [agent],
  )
  if (run === undefined) throw new Error(`${agent} has no run`)
  return run
}
const callsOf = async (agent: string): Promise<string[]> =>
  (await kit.store.listToolCalls({ agentUid: (await runOf(agent)).agent_uid, limit: 10, after: null })).data
    .map(({ name, state }) => `${name} ${state}`)
    .toSorted()
const held = (agent: string) => kit.store.setSwitch(authority, { scope: `agent:${agent}`, mode: 'hold', reason: 'wait' }).then(ok)

/** Something happens before money is set aside for a call. */
const beforeMoney = (happens: () => Promise<unknown>): Partial<StoreKit['store']> => ({
  async renew(request) {
    if (request.reserve !== undefined) await happens()
    return kit.store.renew(request)
  },
})

/** A message that has been accepted and that nobody has begun. */
async function accepted(agent: string, { services }: Executor, over: Partial<OpenRequest> = {}): Promise<string> {
  const { versions, settings } = services.templates
  return ok(await kit.store.open(openRequest(agent, { versions, settings: settings('plain'), ...over }))).agentUid
}
/** What Baton holds for faults of its own. */
function faultsOf({ services }: Executor): string[] {
  const faults: string[] = []
  services.log.error = (message) => void faults.push(message)
  return faults
}

/** How a slice comes to its end, and what is done between the message and the slice. */
type Way = (agent: string) => {
  over?: Parameters<typeof startExecutor>[3]
  definition?: AgentDefinition
  of?: Partial<OpenRequest>
  between?: () => Promise<unknown>
}
const away = new ProviderError('provider_unavailable', 'away', { status: 503, retryAfterMs: 120 * minutes })
const withoutProgress: [string, { kind: string; wait?: string }, Way][] = [
  ['its slice is over', { kind: 'handed_over' }, () => ({ over: { sliceMs: 0 } })],
  [
    'a gate is closed',
    { kind: 'waiting', wait: 'retry' },
    () => ({
      definition: defineAgent({ ...plain, model: 'test/gated' }),
      between: async () => commit(kit, await hold(kit, 'gating'), { gate: { model: 'test/gated', ms: 120 * minutes } }),
    }),
  ],
  ['the provider is away', { kind: 'waiting', wait: 'retry' }, () => ({ over: { model: { call: () => Promise.reject(away) } } })],
  [
    'somebody holds it, which the reservation tells',
    { kind: 'waiting', wait: 'hold' },
    (agent) => ({ over: { store: beforeMoney(() => held(agent)) } }),
  ],
  [
    'the hard limit cuts it',
    { kind: 'handed_over' },
    () => {
      const clock = movedClock()
      const call: ModelPort['call'] = async (_request, _onDelta, signal) => {
        clock.forward({ monotonic: 100_000 })
        void handOverAll(60_000, clock)
        await isAborted(signal)
        throw signal.reason
      }
      return { over: { clock, model: { call }, hardMs: 100_000, leaseMs: 10 * minutes } }
    },
  ],
  [
    'a budget has no room for it',
    { kind: 'waiting', wait: 'budget' },
    () => {
      const of = { ...authority, credential: { operator: { tenant: 'tight', name: 'tester' } } }
      const between = () => kit.store.putBudget(of, { scope: 'tenant', period: 'month' }, { limitMicros: 1 }).then(ok)
      return { of, between }
    },
  ],
  [
    'the database refuses it',
    { kind: 'ended' },
    () => ({
      over: {
        clock: { ...systemClock(), sleep: () => Promise.resolve() },
        store: {
          commit(request) {
            if (request.happened.messages === undefined) return kit.store.commit(request)
            return Promise.reject(new BatonError('internal_error', 'The database refused a call of Baton.'))
          },
        },
      },
    }),
  ],
]

test.each(withoutProgress)(
  'invariant 12: a slice that gets its run no further takes nothing off its take-overs: %s',
  async (name, end, way) => {
    const agent = `count-${withoutProgress.findIndex(([of]) => of === name)}`
    const { over, definition = plain, of, between } = way(agent)
    await kit.store.ensureTenant({ id: 'tight', environment: 'test', secret: 'sealed' })
    const executor = startExecutor(kit, definition, [{ text: 'never stored' }], over)
    const uid = await accepted(agent, executor, of)
    await between?.()
    await kit.sql('update baton.runs set crashes = 2 where agent_uid = $1', [uid])
    expect(await executor.goOn(uid)).toMatchObject({ kind: end.kind })
    expect(await runOf(agent)).toMatchObject({ crashes: 2, wait: end.wait ?? null })
  },
)

test('invariant 12: the step that the database refuses is told by its number, to the caller and in the log', async () => {
  const slept: number[] = []
  const executor = startExecutor(kit, plain, [calls('first'), { text: 'never stored' }], {
    clock: { ...systemClock(), sleep: (ms) => Promise.resolve(void slept.push(ms)) },
    store: {
      commit(request) {
        if (request.happened.count?.step !== 2) return kit.store.commit(request)
        return Promise.reject(new BatonError('internal_error', 'The database refused a call of Baton.', {}, { cause: 'a constraint' }))
      },
    },
  })
  const logged: unknown[] = []
  executor.services.log.error = (...line) => void logged.push(line)
  expect(await executor.send('refused')).toMatchObject({ kind: 'ended', stopReason: 'internal_error' })
  expect(slept).toEqual([50, 100, 200, 400, 800])
  expect((await runOf('refused')).error?.message).toMatch(/^The database refused to store step 2;/)
  expect(logged).toEqual([
    ['the database refused a step', { runId: expect.any(String), step: 2, cause: expect.stringContaining('a constraint') }],
  ])
})

test('A77: authority that ends before money is set aside for the next call ends its run as expired, not for want of money', async () => {
  const clock = movedClock()
  const store = beforeMoney(async () => {
    await kit.advance(10 * minutes)
    clock.forward({ monotonic: 10 * minutes })
  })
  const executor = startExecutor(kit, plain, [{ text: 'never' }], { clock, store, leaseMs: 60 * minutes })
  const [row] = await kit.sql<{ at: Date }>(`select baton.clock() + interval '5 minutes' as at`)
  const run = { ...openRequest('expires').run, narrowing: { expiresAt: row?.at.toISOString() ?? '' } }
  expect(await executor.goOn(await accepted('expires', executor, { run }))).toMatchObject({ kind: 'ended', state: 'expired' })
  expect(executor.effects).toEqual([])
})

/** The reply of the commit that starts a call comes when something else has happened. */
const onStart = (happens: () => Promise<unknown>, more: { hold?: true } = {}): Partial<StoreKit['store']> => ({
  async commit(request) {
    const answer = await kit.store.commit(request)
    if (request.intends.start === undefined || !answer.ok) return answer
    await happens()
    return { ...answer, flags: { ...answer.flags, ...more } }
  },
})

test('invariant 4: what the database has marked as begun is done, also where its slice is over before it begins', async () => {
  const clock = movedClock()
  const store = onStart(() => Promise.resolve(clock.forward({ monotonic: 10 * minutes })))
  const executor = startExecutor(kit, plain, [calls('pay')], { clock, sliceMs: 10 * minutes, leaseMs: 60 * minutes, store })
  expect(await executor.send('begun-late')).toMatchObject({ kind: 'handed_over' })
  expect(await callsOf('begun-late')).toEqual(['pay completed'])
})

test('invariant 10: what the database has marked as begun is done under a hold that comes before it begins, and nothing after it', async () => {
  // As the heartbeat tells it that comes between them.
  const store = onStart(() => held('begun-held'), { hold: true })
  const executor = startExecutor(kit, plain, [calls('pay')], { store })
  expect(await executor.send('begun-held')).toMatchObject({ kind: 'waiting' })
  expect(await callsOf('begun-held')).toEqual(['pay completed'])
  expect(executor.effects).toEqual(['model', 'pay'])
})

test('a run whose one call a budget refuses while a person is asked about the other waits for the person', async () => {
  ok(await kit.store.putBudget(authority, { scope: 'tool:limited', period: 'day' }, { limitCalls: 0 }))
  const asking = defineAgent({ ...plain, permission: { ask: ['pay'] } })
  const executor = startExecutor(kit, asking, [calls('limited', 'pay')])
  expect(await executor.send('asks')).toMatchObject({ kind: 'paused', state: 'awaiting_approval' })
  expect(await callsOf('asks')).toEqual(['limited failed', 'pay approval_required'])
  expect(executor.effects).toEqual(['model'])
})

const losing: [string, (agent: string) => Executor][] = [
  [
    'the reply to its commit is read too late',
    () => {
      const clock = movedClock()
      return startExecutor(kit, plain, [calls('first')], { clock, store: onStart(async () => clock.forward({ monotonic: 25_000 })) })
    },
  ],
  [
    'a hook takes too long',
    () => {
      const clock = movedClock()
      const hooks = [{ name: 'slow', preModel: () => clock.forward({ wall: 25_000 }) }]
      return startExecutor(kit, defineAgent({ ...plain, hooks }), [{ text: 'never' }], { clock })
    },
  ],
  [
    'its heartbeat is refused while the model answers',
    (agent) => {
      const call: ModelPort['call'] = async (_request, _onDelta, signal) => {
        await kit.advance(11 * minutes)
        const rival = startExecutor(kit, plain, [{ text: 'by another' }])
        expect(await rival.goOn((await runOf(agent)).agent_uid)).toMatchObject({ kind: 'ended', output: 'by another' })
        halt()
        await isAborted(signal)
        // As a library does for whatever has aborted it.
        throw new DOMException('This operation was aborted', 'AbortError')
      }
      const executor: Executor = startExecutor(kit, plain, [], { leaseMs: 10 * minutes, model: { call } })
      const halt = haltOf(executor)
      return executor
    },
  ],
]
test.each(losing)('invariant 2: an executor has lost its lease where %s, and that is no fault of Baton', async (name, start) => {
  const agent = `loses-${losing.findIndex(([of]) => of === name)}`
  const executor = start(agent)
  const faults = faultsOf(executor)
  expect(await executor.send(agent)).toEqual({ kind: 'lease_lost' })
  expect(executor.effects.filter((effect) => effect !== 'model')).toEqual([])
  expect(faults).toEqual([])
})

test('a slice that has ended asks for no lease any more, and listens for nothing', async () => {
  const clock = movedClock()
  const pass = heartbeatsByHand(clock)
  let renewals = 0
  const executor = startExecutor(kit, plain, [{ text: 'bye' }], {
    clock,
    store: { renew: (request) => ((renewals += 1), kit.store.renew(request)) },
  })
  const halt = haltOf(executor)
  expect(await executor.send('done')).toMatchObject({ kind: 'ended' })
  pass(20_000)
  halt()
  expect(renewals).toBe(0)
})

test('invariant 2: each commit renews the lease', async () => {
  const clock = movedClock()
  heartbeatsByHand(clock)
  const executor = startExecutor(kit, plain, [calls('first'), { text: 'bye' }], {
    clock,
    onEffect: () => clock.forward({ monotonic: 5 * minutes }),
    leaseMs: 10 * minutes,
  })
  expect(await executor.send('renewed')).toMatchObject({ kind: 'ended', output: 'bye' })
})

test('invariants 9 and 10: a stop that is told while the limits of the model are asked costs nothing, and the model is not', async () => {
  const executor = startExecutor(kit, plain, [{ text: 'never' }])
  const stop = stopping(kit, 'stopped', executor)
  executor.services.rates = { ...noRates, model: (...asked) => stop().then(() => noRates.model(...asked)) }
  expect(await executor.send('stopped')).toMatchObject({ kind: 'ended', state: 'cancelled', costMicros: 0 })
  expect(executor.effects).toEqual([])
})
