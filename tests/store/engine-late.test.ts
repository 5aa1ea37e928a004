import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { poll } from '#local/poll'
import { movedClock, startExecutor } from '#tests/store/engine-kit'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

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
    await poll(() => signal.aborted, { everyMs: 20, forMs: 3_000 })
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
        await poll(() => signal.aborted, { everyMs: 20, forMs: 3_000 })
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
