import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { ProviderError } from '#lib/core/errors'
import { handOverAll } from '#lib/engine/slices'
import { poll } from '#local/poll'
import { heartbeatsByHand, isAborted, movedClock, startExecutor, type MovedClock } from '#tests/store/engine-kit'
import { authority, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

/* What an executor learns too late, or from its heartbeat: the engine in this process on the real store, as in engine.test.ts. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

let act: (context: ToolContext) => unknown = () => 'done'
const first = defineTool({
  name: 'first',
  description: 'first',
  input: z.object({}),
  effect: 'pure',
  run: (_input, context) => act(context),
})
const plain = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.', tools: [first] })

test('invariant 2: a heartbeat counts from before it was sent: one whose reply took too long gives no lease', async () => {
  const clock = movedClock()
  const pass = heartbeatsByHand(clock)
  act = async ({ signal }) => {
    pass(200_000)
    await isAborted(signal)
    return 'done'
  }
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }, { text: 'never' }], {
    clock,
    leaseMs: 600_000,
    store: {
      async renew(request) {
        const answer = await kit.store.renew(request)
        clock.forward({ monotonic: 500_000 })
        return answer
      },
    },
  })
  expect(await executor.send('slow-beat')).toEqual({ kind: 'lease_lost' })
  expect(executor.effects).toEqual(['model', 'first'])
})

test.each(['open', 'claim'] as const)('invariant 2: a lease counts from before its %s was sent', async (way) => {
  const clock = movedClock()
  act = () => 'done'
  const late = async <Answer>(asked: Promise<Answer>): Promise<Answer> => {
    const answer = await asked
    clock.forward({ monotonic: 25_000 })
    return answer
  }
  const agent = `late-${way}`
  const store =
    way === 'open'
      ? { open: (request: Parameters<typeof kit.store.open>[0]) => late(kit.store.open(request)) }
      : { claim: (request: Parameters<typeof kit.store.claim>[0]) => late(kit.store.claim(request)) }
  const executor = startExecutor(kit, plain, [{ text: 'never' }], { clock, store })
  if (way === 'open') expect(await executor.send(agent)).toEqual({ kind: 'lease_lost' })
  else {
    const { agentUid } = ok(
      await kit.store.open(
        openRequest(agent, { versions: executor.services.templates.versions, settings: executor.services.templates.settings('plain') }),
      ),
    )
    expect(await executor.goOn(agentUid)).toEqual({ kind: 'lease_lost' })
  }
  expect(executor.effects).toEqual([])
})

test('invariant 2: the lease is looked at immediately before the model is asked: a hook before it may have taken long', async () => {
  const clock = movedClock()
  const hooks = [{ name: 'slow', preModel: () => clock.forward({ monotonic: 25_000 }) }]
  const executor = startExecutor(kit, defineAgent({ ...plain, hooks }), [{ text: 'never' }], { clock })
  expect(await executor.send('slow-hook')).toEqual({ kind: 'lease_lost' })
  expect(executor.effects).toEqual([])
})

test('invariant 6: a tool that was given up has no context any more: what it keeps and tells after that is dropped', async () => {
  let late = (): void => undefined
  act = async ({ state, emit, signal }) => {
    late = () => {
      state.set('late', 1)
      emit('late', {})
    }
    state.set('early', 1)
    emit('early', {})
    // It ignores its signal and never ends.
    await new Promise((resolve) => signal.addEventListener('nothing', resolve))
  }
  const [tool] = plain.tools ?? []
  if (tool === undefined) throw new Error('plain has a tool')
  // The hook runs between the giving up and the commit of the outcome.
  const hooks = [{ name: 'after', postToolUse: () => late() }]
  const executor = startExecutor(kit, defineAgent({ ...plain, tools: [{ ...tool, timeoutMs: 50 }], hooks }), [
    { tools: [{ name: 'first' }] },
    { text: 'bye' },
  ])
  expect(await executor.send('given-up')).toMatchObject({ kind: 'ended', output: 'bye' })
  const { agentUid } = ok(await kit.store.getAgent(authority, 'given-up')).agent
  expect(await kit.sql('select key from baton.agent_state where agent_uid = $1', [agentUid])).toEqual([])
  const told = await kit.sql<{ type: string }>(
    `select data ->> 'eventType' as type from baton.events where agent_uid = $1 and type = 'custom'`,
    [agentUid],
  )
  expect(told).toEqual([{ type: 'early' }])
  const call = (await kit.store.listToolCalls({ agentUid, limit: 1, after: null })).data[0]
  expect(JSON.stringify(call?.output)).toContain('may still be running')
})

test('invariant 2: who begins to watch an executor whose lease is over is told nothing by it', async () => {
  const clock = movedClock()
  const { model } = startExecutor(kit, plain, [{ text: 'told' }]).services
  const executor = startExecutor(kit, plain, [], {
    clock,
    model: {
      call(request, onDelta, signal) {
        onDelta({ kind: 'text', part: 0, text: 'told' })
        executor.join()
        clock.forward({ monotonic: 25_000 })
        executor.join()
        return model.call(request, onDelta, signal)
      },
    },
  })
  expect(await executor.send('late-watcher')).toEqual({ kind: 'lease_lost' })
  // Once as it was said, once again for the first who joined.
  expect(executor.frames.map(({ body }) => body.type)).toEqual(['delta', 'delta'])
})

test('invariants 9 and 10: a heartbeat tells of a stop, and the model call that it cuts off is booked in full', async () => {
  const clock = movedClock()
  const pass = heartbeatsByHand(clock)
  const executor = startExecutor(kit, plain, [], {
    clock,
    leaseMs: 600_000,
    model: {
      async call(_request, _onDelta, signal) {
        ok(await kit.store.stop(authority, { agent: 'cut-off' }, 'cancelled', null))
        pass(200_000)
        await isAborted(signal)
        signal.throwIfAborted()
        throw new Error('nobody has told of the stop')
      },
    },
  })
  expect(await executor.send('cut-off')).toMatchObject({ kind: 'ended', state: 'cancelled', stopReason: 'cancelled' })
  const run = (await kit.store.listRuns(authority, { agent: 'cut-off', limit: 1, after: null })).data[0]
  const costMicros = run?.costMicros ?? 0
  const booked = await kit.sql<{ state: string; full: boolean; cost: number }>(
    'select state, cost_micros = micros as full, cost_micros::integer as cost from baton.reservations where run_id = $1',
    [run?.id],
  )
  expect(booked).toEqual([{ state: 'estimated', full: true, cost: costMicros }])
  expect(costMicros).toBeGreaterThan(0)
})

test('what a tool has kept before it failed is not kept', async () => {
  act = ({ state, callId }) => {
    state.set('half', callId)
    throw new Error('failed after all')
  }
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }, { text: 'bye' }])
  expect(await executor.send('half')).toMatchObject({ kind: 'ended', output: 'bye' })
  const { agentUid } = ok(await kit.store.getAgent(authority, 'half')).agent
  expect(await kit.sql('select key from baton.agent_state where agent_uid = $1', [agentUid])).toEqual([])
})

test('a tool is told until when it may work: never past the hard limit of its slice', async () => {
  const clock = movedClock()
  const told: number[] = []
  act = ({ deadline }) => {
    told.push(deadline - clock.now())
    return 'done'
  }
  const [tool] = plain.tools ?? []
  if (tool === undefined) throw new Error('plain has a tool')
  const minutes = 60_000
  const executor = startExecutor(
    kit,
    defineAgent({ ...plain, tools: [{ ...tool, timeoutMs: 40 * minutes }], limits: { maxWallMs: 120 * minutes } }),
    [{ tools: [{ name: 'first' }] }, { text: 'bye' }],
    {
      clock,
      leaseMs: 300 * minutes,
      // The first call of the model takes 50 of the 60 minutes that the slice has.
      onEffect: ({ kind, step }) => {
        if (kind === 'model' && step === 1) clock.forward({ monotonic: 50 * minutes, wall: 50 * minutes })
      },
    },
  )
  expect(await executor.send('told')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(told).toHaveLength(1)
  expect(told[0]).toBeLessThanOrEqual(10 * minutes)
  expect(told[0]).toBeGreaterThan(0)
})

test('a tool that failed has failed, whatever a hook after it makes of its words', async () => {
  act = () => {
    throw new Error('broken')
  }
  const hooks = [{ name: 'kind', postToolUse: () => ({ replace: 'all is well' }) }]
  const executor = startExecutor(kit, defineAgent({ ...plain, hooks }), [{ tools: [{ name: 'first' }] }, { text: 'bye' }])
  expect(await executor.send('failed')).toMatchObject({ kind: 'ended', output: 'bye' })
  const { agentUid } = ok(await kit.store.getAgent(authority, 'failed')).agent
  const call = (await kit.store.listToolCalls({ agentUid, limit: 1, after: null })).data[0]
  expect(call).toMatchObject({ state: 'failed', output: { type: 'error-text', value: 'all is well' } })
})

test('invariant 6: each step may be cut once by the hard limit, whatever the step before it has been', async () => {
  const cutHere = async (clock: MovedClock, signal: AbortSignal): Promise<never> => {
    clock.forward({ monotonic: 10_000 })
    // Looks at the limit again; more time than there was nobody gives.
    void handOverAll(60_000, clock)
    await isAborted(signal)
    throw signal.reason
  }
  const [one, two] = [movedClock(), movedClock()]
  act = ({ signal, attempt }) => (attempt === 1 ? cutHere(one, signal) : 'done')
  const cutTool = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }], { clock: one, hardMs: 10_000 })
  expect(await cutTool.send('cuts')).toMatchObject({ kind: 'handed_over' })
  const { agentUid } = ok(await kit.store.getAgent(authority, 'cuts')).agent
  const cutModel = { call: (_request: unknown, _onDelta: unknown, signal: AbortSignal) => cutHere(two, signal) }
  const late = startExecutor(kit, plain, [], { model: cutModel, clock: two, hardMs: 10_000 })
  expect(await late.goOn(agentUid)).toMatchObject({ kind: 'handed_over' })
  expect(await startExecutor(kit, plain, [{ text: 'bye' }]).goOn(agentUid)).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(await kit.store.listToolCalls({ agentUid, limit: 1, after: null })).toMatchObject({ data: [{ state: 'completed', attempts: 2 }] })
})

test('who begins to watch while a tool works is not told the text of the call before it again', async () => {
  act = () => executor.join()
  const { model } = startExecutor(kit, plain, [{ text: 'let me see', tools: [{ name: 'first' }] }, { text: 'bye' }]).services
  const executor = startExecutor(kit, plain, [], {
    model: {
      call(request, onDelta, signal) {
        onDelta({ kind: 'text', part: 0, text: 'said' })
        return model.call(request, onDelta, signal)
      },
    },
  })
  expect(await executor.send('joins-late')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(executor.frames.filter(({ body }) => body.type === 'delta')).toHaveLength(2)
})

test('invariant 9: a stream that broke off costs what was set aside for it, and its watchers are told to drop what they have', async () => {
  const executor = startExecutor(kit, plain, [], {
    model: {
      call(_request, onDelta) {
        onDelta({ kind: 'text', part: 0, text: 'half an answ' })
        return Promise.reject(new ProviderError('content_filtered', 'broke off'))
      },
    },
  })
  const ended = await executor.send('broke-off')
  expect(ended).toMatchObject({ kind: 'ended', stopReason: 'content_filtered' })
  expect(ended.kind === 'ended' && ended.costMicros).toBeGreaterThan(0)
  expect(executor.frames.map(({ body }) => body.type)).toEqual(['delta', 'step_reset', 'committed'])
})

test('nobody repeats by default what may have happened, also where the template allows what nobody decides', async () => {
  act = async ({ signal }) => {
    await isAborted(signal)
    throw signal.reason
  }
  const once = { ...first, effect: 'once' as const, timeoutMs: 20 }
  const asking = defineAgent({ ...plain, tools: [once], unknownOutcome: 'pause', approvalDefault: 'allow' })
  expect(await startExecutor(kit, asking, [{ tools: [{ name: 'first' }] }]).send('asks-again')).toMatchObject({ kind: 'paused' })
  const approvals = ok(await kit.store.listApprovals(authority, { limit: 1, after: null, agent: 'asks-again' })).data
  expect(approvals).toMatchObject([{ kind: 'unknown_outcome', defaultDecision: 'deny' }])
})

test('invariant 5: a run whose time is over ends when the tools at work have ended, with what they did', async () => {
  const clock = movedClock()
  const outcomes = async (): Promise<string[]> =>
    (
      await kit.sql<{ state: string }>(
        `select c.state from baton.tool_calls c join baton.agents a using (agent_uid) where a.id = 'in-time'`,
      )
    )
      .map(({ state }) => state)
      .toSorted()
  act = async ({ attempt }) => {
    if (attempt === 1 && (began += 1) === 1) return clock.forward({ monotonic: 20_000 })
    // The other one goes on until the outcome of the first is stored.
    await poll(async () => (await outcomes())[0] === 'completed', { everyMs: 10, forMs: 60_000 })
    return 'done in time'
  }
  let began = 0
  const brief = defineAgent({ ...plain, limits: { maxWallMs: 15_000 } })
  const executor = startExecutor(kit, brief, [{ tools: [{ name: 'first' }, { name: 'first' }] }], { clock, leaseMs: 600_000 })
  expect(await executor.send('in-time')).toMatchObject({ kind: 'ended', stopReason: 'max_time' })
  expect(await outcomes()).toEqual(['completed', 'completed'])
})
