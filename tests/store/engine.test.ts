import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { BatonError } from '#lib/core/errors'
import { poll } from '#local/poll'
import { heartbeatsByHand, movedClock, startExecutor } from '#tests/store/engine-kit'
import { authority, claimRequest, ok, startStore, type StoreKit } from '#tests/store/kit'

/* The engine in this process on the real store: rules that need an executor whose clocks, replies and effects the test can reach. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

/** What tools do in the test at hand. */
let act: (context: ToolContext) => unknown = () => 'done'
const tool = <Name extends string>(name: Name, effect: 'pure' | 'idempotent' | 'once') =>
  defineTool({ name, description: name, input: z.object({}), effect, run: (_input, context) => act(context) })
const plain = defineAgent({
  id: 'plain',
  model: 'test/model',
  instructions: 'Answer.',
  tools: [tool('first', 'pure'), tool('pay', 'once')],
})
const oneCall = [{ tools: [{ name: 'pay' }] }, { text: 'bye' }]

const agentUid = async (agent: string): Promise<string> => ok(await kit.store.getAgent(authority, agent)).agent.agentUid
const runOf = async (agent: string) => {
  const run = (await kit.store.listRuns(authority, { agent, limit: 1, after: null })).data[0]
  if (run === undefined) throw new Error(`${agent} has no run`)
  return run
}
const callsOf = (agent: string) =>
  kit.sql<{ name: string; state: string; attempts: number }>(
    `select c.name, c.state, c.attempts from baton.tool_calls c join baton.agents a using (agent_uid) where a.id = $1 order by c.step, c.index`,
    [agent],
  )

/** One call at a time: the outcome of the first starts the second. */
const narrow = defineAgent({ ...plain, toolConcurrency: 1 })
const twoCalls = [{ tools: [{ name: 'first' }, { name: 'pay' }] }, { text: 'bye' }]

test('invariant 4: when a tool begins, Postgres says already that it executes', async () => {
  const seen: unknown[] = []
  act = async ({ callId }) => {
    seen.push(...(await kit.sql('select name, state, attempts from baton.tool_calls where call_id = $1', [callId])))
    return 'done'
  }
  const executor = startExecutor(kit, narrow, twoCalls)
  expect(await executor.send('intent')).toMatchObject({ kind: 'ended', state: 'completed' })
  expect(seen).toEqual([
    { name: 'first', state: 'executing', attempts: 1 },
    { name: 'pay', state: 'executing', attempts: 1 },
  ])
})

test('invariant 4: each outcome is committed when it is known and starts the next call; those that wait together go together', async () => {
  const states = async (): Promise<string> => (await callsOf('outcomes')).map(({ name, state }) => `${name} ${state}`).join()
  const ended: string[] = []
  let bothEnded = (): void => undefined
  const both = new Promise<void>((resolve) => (bothEnded = resolve))
  const runs: Record<string, () => unknown> = {
    quick: () => 'done',
    slow: () =>
      poll(async () => (await states()).includes('quick completed') && (await states()).includes('last executing'), {
        everyMs: 20,
        forMs: 60_000,
      }),
    other: () => poll(() => ended.length > 0, { everyMs: 20, forMs: 60_000 }),
    last: () => 'done',
  }
  const tools = Object.entries(runs).map(([name, run]) =>
    defineTool({
      name,
      description: name,
      input: z.object({}),
      effect: 'pure',
      async run(_input, { state }) {
        const answer = await run()
        state.set(name, true)
        if (name === 'slow' || name === 'other') ended.push(name)
        if (ended.length === 2) setImmediate(bothEnded)
        return answer
      },
    }),
  )
  const commits: { told: string[]; started: number }[] = []
  const executor = startExecutor(
    kit,
    defineAgent({ ...plain, tools, toolConcurrency: 3 }),
    [{ tools: tools.map(({ name }) => ({ name })) }, { text: 'bye' }],
    {
      store: {
        async commit(request) {
          commits.push({
            told: request.happened.calls?.map(({ name, state }) => `${name} ${state}`) ?? [],
            started: request.intends.start?.length ?? 0,
          })
          const answer = await kit.store.commit(request)
          // The reply to the first outcome takes long: what ends meanwhile waits for it.
          if (commits.length === 2) await both
          return answer
        },
      },
    },
  )
  expect(await executor.send('outcomes')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(commits.slice(1, 4)).toEqual([
    { told: ['quick completed'], started: 1 },
    { told: ['slow completed', 'other completed'], started: 0 },
    { told: ['last completed'], started: 0 },
  ])
  expect(commits).toHaveLength(5)
  const kept = await kit.sql<{ key: string }>('select key from baton.agent_state order by key')
  expect(
    kept.map(({ key }) => key),
    'each has kept what is its own',
  ).toEqual(['last', 'other', 'quick', 'slow'])
  const [waited] = await kit.sql(`select output from baton.tool_calls where name = 'slow'`)
  expect(waited, 'the first outcome was in Postgres while the others were at work').toMatchObject({ output: { value: true } })
})

test.each([
  ['monotonic clock', { monotonic: 25_000 }],
  ['wall clock, as after a machine that slept', { wall: 25_000 }],
])('invariant 2: past four fifths of its lease by its %s an executor begins no call and emits nothing', async (name, by) => {
  const agent = `fence-${name.slice(0, 4)}`
  const clock = movedClock()
  act = () => 'done'
  const executor = startExecutor(kit, plain, [{ text: 'never', tools: [{ name: 'pay' }] }], {
    clock,
    onEffect: (effect) => {
      // The model was asked in time; its answer comes too late.
      if (effect.kind === 'model') clock.forward(by)
    },
  })
  expect(await executor.send(agent)).toEqual({ kind: 'lease_lost' })
  expect(executor.effects).toEqual(['model'])
  expect(executor.frames).toEqual([])
  expect(await callsOf(agent)).toEqual([])
  expect(await runOf(agent)).toMatchObject({ state: 'running' })
})

test('invariant 2: an executor whose lease is over shows nothing of the text that still comes', async () => {
  const clock = movedClock()
  const { model } = startExecutor(kit, plain, [{ text: 'in time, too late' }]).services
  const executor = startExecutor(kit, plain, [], {
    clock,
    model: {
      call(request, onDelta, signal) {
        onDelta({ kind: 'text', part: 0, text: 'in time' })
        clock.forward({ monotonic: 25_000 })
        onDelta({ kind: 'text', part: 0, text: ', too late' })
        return model.call(request, onDelta, signal)
      },
    },
  })
  expect(await executor.send('silent')).toEqual({ kind: 'lease_lost' })
  expect(executor.frames.map(({ body }) => (body.type === 'delta' ? body.text : body.type))).toEqual(['in time'])
})

test('invariant 2: the lease is looked at immediately before a tool begins', async () => {
  const clock = movedClock()
  const began: string[] = []
  act = () => 'done'
  const executor = startExecutor(kit, narrow, twoCalls, {
    clock,
    onEffect: (effect) => void began.push(String(effect.name)),
    store: {
      async commit(request) {
        const answer = await kit.store.commit(request)
        // The reply that allows the second call to start is read long after it was asked for.
        if (request.intends.start !== undefined && began.includes('first')) clock.forward({ monotonic: 25_000 })
        return answer
      },
    },
  })
  expect(await executor.send('late-start')).toEqual({ kind: 'lease_lost' })
  expect(began).toEqual(['test/model', 'first'])
  expect(await callsOf('late-start')).toMatchObject([{ state: 'completed' }, { name: 'pay', state: 'executing' }])
  // It may have happened, as far as Postgres knows: who takes over seals it and does not repeat it.
  await kit.advance(31_000)
  const next = startExecutor(kit, narrow, [{ text: 'checked' }])
  expect(await next.goOn(await agentUid('late-start'))).toMatchObject({ kind: 'ended', output: 'checked' })
  expect(next.effects).toEqual(['model'])
  expect(await callsOf('late-start')).toMatchObject([{ state: 'completed' }, { name: 'pay', state: 'sealed', attempts: 1 }])
})

test('invariant 2: a tool that works longer than the lease keeps it by its heartbeats', async () => {
  const leaseMs = 600_000
  const clock = movedClock()
  const pass = heartbeatsByHand(clock)
  let renewals = 0
  const refused: unknown[] = []
  act = async () => {
    for (let third = 0; third < 4; third++) {
      const before = renewals
      // Time passes for both.
      await kit.advance(leaseMs / 3)
      pass(leaseMs / 3)
      expect(await poll(() => renewals > before, { everyMs: 20, forMs: 60_000 })).toBe(true)
    }
    const rival = await kit.store.claim(claimRequest(await agentUid('long'), { versions: executor.services.templates.versions }))
    if (!rival.ok) refused.push(rival.code)
    return 'done'
  }
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }, { text: 'bye' }], {
    clock,
    leaseMs,
    store: {
      async renew(request) {
        const answer = await kit.store.renew(request)
        renewals += 1
        return answer
      },
    },
  })
  expect(await executor.send('long')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(refused).toEqual(['lease_live'])
  expect(renewals).toBeGreaterThanOrEqual(4)
  expect(await runOf('long')).toMatchObject({ slices: 1, crashes: 0 })
})

test('invariant 9: an executor that was overtaken in its model call still says what the call has cost', async () => {
  const rival = startExecutor(kit, plain, [{ text: 'by another' }])
  const executor = startExecutor(kit, plain, [{ text: 'too late' }], {
    async onEffect() {
      await kit.advance(31_000)
      expect(await rival.goOn(await agentUid('overtaken'))).toMatchObject({ kind: 'ended', output: 'by another' })
    },
  })
  expect(await executor.send('overtaken')).toEqual({ kind: 'lease_lost' })
  const { id, output } = await runOf('overtaken')
  expect(output).toBe('by another')
  const ledger = await kit.sql<{ state: string; cost: number }>(
    'select state, cost_micros::integer as cost from baton.reservations where run_id = $1 order by created_at, id',
    [id],
  )
  // Both calls were made and both are paid at what they cost; nothing stands as an estimate.
  expect(ledger.map(({ state }) => state)).toEqual(['settled', 'settled'])
  expect((await runOf('overtaken')).costMicros).toBe(ledger.reduce((sum, { cost }) => sum + cost, 0))
})

test('invariant 3: a commit whose reply is lost is made again under its id until the lease is over, and counts once', async () => {
  const seen: string[] = []
  act = () => 'done'
  const executor = startExecutor(kit, plain, oneCall, {
    store: {
      async commit(request) {
        const answer = await kit.store.commit(request)
        seen.push(request.commitId)
        if (seen.filter((id) => id === request.commitId).length < 3) throw new BatonError('database_unavailable', 'the reply was lost')
        return answer
      },
    },
  })
  expect(await executor.send('lost')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(seen.length).toBe(3 * new Set(seen).size)
  const { data } = await kit.store.listMessages({ agentUid: await agentUid('lost'), limit: 10 })
  expect(data.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
  expect(executor.effects).toEqual(['model', 'pay', 'model'])
})

test('invariant 6: past the slice deadline no step starts; the answer in hand, the release and the continuation are one commit', async () => {
  const clock = movedClock()
  act = () => 'done'
  const commits: unknown[] = []
  const executor = startExecutor(kit, plain, oneCall, {
    clock,
    sliceMs: 10_000,
    leaseMs: 60_000,
    onEffect: () => clock.forward({ monotonic: 10_001 }),
    store: {
      commit(request) {
        commits.push(request.intends)
        return kit.store.commit(request)
      },
    },
  })
  expect(await executor.send('handed')).toMatchObject({ kind: 'handed_over', state: 'running' })
  expect(executor.effects).toEqual(['model'])
  expect(commits).toEqual([{ release: 'slice_deadline' }])
  expect(await callsOf('handed')).toEqual([{ name: 'pay', state: 'pending', attempts: 0 }])
  const uid = await agentUid('handed')
  expect(await kit.sql(`select data ->> 'runId' as id from baton.outbox where agent_uid = $1 and kind = 'continue'`, [uid])).toEqual([
    { id: (await runOf('handed')).id },
  ])
  const next = startExecutor(kit, plain, [{ text: 'bye' }])
  expect(await next.goOn(uid)).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(next.effects).toEqual(['pay', 'model'])
})
