import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { poll } from '#local/poll'
import { movedClock, startExecutor } from '#tests/store/engine-kit'
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
  act = async ({ signal }) => {
    clock.forward({ monotonic: 2_000 })
    await poll(() => signal.aborted, { everyMs: 20, forMs: 30_000 })
    return 'done'
  }
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }, { text: 'never' }], {
    clock,
    leaseMs: 6_000,
    store: {
      async renew(request) {
        const answer = await kit.store.renew(request)
        clock.forward({ monotonic: 5_000 })
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
  const [call] = await kit.store.listToolCalls({ agentUid, limit: 1, after: null })
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
  const executor = startExecutor(kit, plain, [], {
    clock,
    leaseMs: 6_000,
    model: {
      async call(_request, _onDelta, signal) {
        ok(await kit.store.stop(authority, { agent: 'cut-off' }, 'cancelled', null))
        clock.forward({ monotonic: 2_000 })
        await poll(() => signal.aborted, { everyMs: 20, forMs: 30_000 })
        signal.throwIfAborted()
        throw new Error('nobody has told of the stop')
      },
    },
  })
  expect(await executor.send('cut-off')).toMatchObject({ kind: 'ended', state: 'cancelled', stopReason: 'cancelled' })
  const [run] = await kit.store.listRuns(authority, { agent: 'cut-off', limit: 1, after: null })
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
  expect(
    await kit.sql('select key from baton.agent_state where agent_uid = $1', [
      ok(await kit.store.getAgent(authority, 'half')).agent.agentUid,
    ]),
  ).toEqual([])
})
