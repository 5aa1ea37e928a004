import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { BatonError, ProviderError } from '#lib/core/errors'
import type { ModelPort } from '#lib/core/ports'
import { handOverAll } from '#lib/engine/slices'
import { systemClock } from '#lib/system/clock'
import { haltOf, isAborted, movedClock, startExecutor, type Executor } from '#tests/store/engine-kit'
import { authority, claimRequest, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

/* What cuts a slice short: SIGTERM, the hard limit, a stop; and functions of a template that never answer. As in engine.test.ts. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())
afterEach(() => void vi.useRealTimers())

const clock = systemClock()
const acts: Record<string, (context: ToolContext) => unknown> = {}
const tool = (name: string) =>
  defineTool({ name, description: name, input: z.object({}), effect: 'pure', run: (_input, context) => acts[name]?.(context) })
const plain = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.', tools: [tool('first'), tool('second')] })

const runOf = async (agent: string) => {
  const [run] = await kit.sql<{ agent_uid: string; state: string; cuts: number; why: string | null }>(
    `select a.agent_uid, r.state, r.cuts, (select e.data ->> 'reason' from baton.events e where e.run_id = r.run_id and e.type = 'handed_off'
        order by e.seq desc limit 1) as why from baton.runs r join baton.agents a using (agent_uid) where a.id = $1`,
    [agent],
  )
  if (run === undefined) throw new Error(`${agent} has no run`)
  return run
}
/** A model call in hand while `happens`, which goes on until it is aborted. */
const inHand = (happens: () => unknown): Pick<ModelPort, 'call'> => ({
  async call(_request, _onDelta, signal) {
    await happens()
    await isAborted(signal)
    throw signal.reason
  },
})
const never = <Value>(): Promise<Value> => new Promise<Value>(() => undefined)
const sigterm = (): void => void handOverAll(0, clock)

test('invariant 12: a step that SIGTERM cuts is not too long, however often: it is handed over as shutdown, and goes on', async () => {
  expect(await startExecutor(kit, plain, [], { model: inHand(sigterm) }).send('deploys')).toMatchObject({ kind: 'handed_over' })
  const { agent_uid } = await runOf('deploys')
  for (const _n of [2, 3]) {
    expect(await startExecutor(kit, plain, [], { model: inHand(sigterm) }).goOn(agent_uid)).toMatchObject({ kind: 'handed_over' })
    expect(await runOf('deploys')).toMatchObject({ cuts: 0, why: 'shutdown' })
  }
  expect(await startExecutor(kit, plain, [{ text: 'bye' }]).goOn(agent_uid)).toMatchObject({ kind: 'ended', output: 'bye' })
})

test('a run that only waits for its next attempt at SIGTERM is handed over, and nothing of it was cut', async () => {
  const sleeping = {
    ...clock,
    sleep(ms: number, signal?: AbortSignal) {
      sigterm()
      return clock.sleep(ms, signal)
    },
  }
  const away = { call: () => Promise.reject(new ProviderError('provider_unavailable', 'away', { status: 503 })) }
  const executor = startExecutor(kit, plain, [], { clock: sleeping, model: away })
  expect(await executor.send('sleeps')).toMatchObject({ kind: 'handed_over' })
  expect(await runOf('sleeps')).toMatchObject({ cuts: 0, why: 'slice_deadline' })
})

test('invariant 6: a call that the hard limit cuts counts, also where another one still came to its outcome', async () => {
  const moved = movedClock()
  acts['first'] = async ({ signal }) => {
    moved.forward({ monotonic: 10_000 })
    // SIGTERM comes when the hard limit is reached already: it gives no time, and is not what cuts.
    void handOverAll(60_000, moved)
    await isAborted(signal)
    throw signal.reason
  }
  acts['second'] = async ({ signal }) => {
    await isAborted(signal)
    await clock.sleep(50)
    return 'done all the same'
  }
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }, { name: 'second' }] }], { clock: moved, hardMs: 10_000 })
  expect(await executor.send('cut-beside')).toMatchObject({ kind: 'handed_over' })
  const { agent_uid, ...run } = await runOf('cut-beside')
  expect(run).toMatchObject({ cuts: 1, why: 'hard_limit' })
  const { data: calls } = await kit.store.listToolCalls({ agentUid: agent_uid, limit: 10, after: null })
  expect(calls.map(({ name, state }) => `${name} ${state}`).toSorted()).toEqual(['first executing', 'second completed'])
})

test('SIGTERM: a slice whose claim was under way begins no step, and hands its run over', async () => {
  const { versions, settings } = startExecutor(kit, plain, []).services.templates
  const opened = ok(await kit.store.open(openRequest('claimed-late', { versions, settings: settings('plain') })))
  let ending = false
  const executor = startExecutor(kit, plain, [{ text: 'never' }], {
    ending: () => ending,
    store: {
      async claim(request) {
        const answer = await kit.store.claim(request)
        ending = true
        expect(await handOverAll(60_000, clock)).toBe(0)
        return answer
      },
    },
  })
  expect(await executor.goOn(opened.agentUid)).toMatchObject({ kind: 'handed_over', state: 'running' })
  expect(executor.effects).toEqual([])
  // From then on it claims nothing, so that whoever asks is not told that there was nothing to do.
  await expect(executor.goOn(opened.agentUid)).rejects.toThrow('about to end')
  expect(ok(await kit.store.claim(claimRequest(opened.agentUid, { versions }))).opened.lease.epoch).toBe(2)
})

test('a run that is to stop ends, also where nobody can look at its flags again', async () => {
  let told = false
  const executor: Executor = startExecutor(kit, plain, [], {
    model: inHand(() => kit.store.stop(authority, { agent: 'blip' }, 'cancelled', null).then(() => halt())),
    store: {
      async renew(request) {
        if (told) throw new BatonError('database_unavailable', 'away')
        const answer = await kit.store.renew(request)
        told = answer.ok && answer.flags.stop !== null
        return answer
      },
    },
  })
  const halt = haltOf(executor)
  expect(await executor.send('blip')).toMatchObject({ kind: 'ended', state: 'cancelled' })
})

test('a heartbeat that was overtaken by the one that told of a stop takes nothing of it back', async () => {
  const held = Promise.withResolvers<void>()
  const looks: Promise<unknown>[] = []
  let failures = 0
  const executor: Executor = startExecutor(kit, plain, [], {
    model: {
      async call(_request, _onDelta, signal) {
        halt()
        await looks[0]
        ok(await kit.store.stop(authority, { agent: 'overtaken' }, 'cancelled', null))
        halt()
        await isAborted(signal)
        held.resolve()
        // The older answer is taken in.
        await clock.sleep(0)
        throw signal.reason
      },
    },
    store: {
      async renew(request) {
        if (looks.length >= 2 && (failures += 1) === 1) throw new BatonError('database_unavailable', 'away')
        const answer = kit.store.renew(request)
        looks.push(answer)
        if (looks.length === 1) await Promise.all([answer, held.promise])
        return answer
      },
    },
  })
  const halt = haltOf(executor)
  expect(await executor.send('overtaken')).toMatchObject({ kind: 'ended', state: 'cancelled' })
  expect(failures).toBe(2)
})

test('a run that the database refuses to store ends when its other tools have been told to stop, and have', async () => {
  const order: string[] = []
  acts['first'] = () => 'poison'
  acts['second'] = async ({ signal }) => {
    await isAborted(signal)
    order.push('the tool has stopped')
  }
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }, { name: 'second' }] }], {
    store: {
      async commit(request) {
        if (JSON.stringify(request.happened).includes('poison'))
          throw new BatonError('internal_error', 'The database refused a call of Baton.')
        if (request.intends.end !== undefined) order.push('the run ends')
        return kit.store.commit(request)
      },
    },
  })
  expect(await executor.send('poisoned')).toMatchObject({ kind: 'ended', stopReason: 'internal_error' })
  expect(order).toEqual(['the tool has stopped', 'the run ends'])
})

test('a fault of Baton while other tools are at work leaves none of them behind, and its run to its lease', async () => {
  const lost: unknown[] = []
  const note = (reason: unknown): void => void lost.push(reason)
  process.on('unhandledRejection', note)
  acts['first'] = () => 'fault'
  acts['second'] = ({ signal }) => isAborted(signal).then(() => Promise.reject(signal.reason as Error))
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }, { name: 'second' }] }])
  const { redact } = executor.services
  executor.services.redact = (value) => {
    if (JSON.stringify({ value }).includes('"fault"')) throw new TypeError('not foreseen')
    return redact(value)
  }
  expect(await executor.send('faulty')).toEqual({ kind: 'lease_lost' })
  await new Promise((resolve) => setImmediate(resolve))
  process.off('unhandledRejection', note)
  expect(lost).toEqual([])
  const { agent_uid, state } = await runOf('faulty')
  expect(state).toBe('running')
  // Nothing is stored of what came after it: who takes over finds both as they were.
  const { data: calls } = await kit.store.listToolCalls({ agentUid: agent_uid, limit: 10, after: null })
  expect(calls).toMatchObject([{ state: 'executing' }, { state: 'executing' }])
})

/** A template whose instructions are made by a function, and the moment at which it is asked. */
function instructedBy(instructions: () => string | Promise<string>) {
  const asked = Promise.withResolvers<void>()
  const template = defineAgent({
    ...plain,
    instructions() {
      asked.resolve()
      return instructions()
    },
  })
  return { template, isAsked: asked.promise }
}

test('invariant 10: instructions that never come keep no run from its kill', async () => {
  const { template, isAsked } = instructedBy(never)
  const executor = startExecutor(kit, template, [{ text: 'never' }])
  const halt = haltOf(executor)
  const slice = executor.send('hangs')
  await isAsked
  ok(await kit.store.setSwitch(authority, { scope: 'agent:hangs', mode: 'kill', reason: 'stop it' }))
  halt()
  expect(await slice).toMatchObject({ kind: 'ended', state: 'killed' })
}, 20_000)

test('invariant 6: instructions that never come are cut with their slice', async () => {
  const { template, isAsked } = instructedBy(never)
  const slice = startExecutor(kit, template, [{ text: 'never' }]).send('hangs-at-the-end')
  await isAsked
  sigterm()
  expect(await slice).toMatchObject({ kind: 'handed_over' })
  expect(await runOf('hangs-at-the-end')).toMatchObject({ cuts: 0, why: 'shutdown' })
})

test('invariant 11: instructions that never come end the run by name, after the time of a hook', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { template, isAsked } = instructedBy(never)
  const slice = startExecutor(kit, template, [{ text: 'never' }]).send('never-instructed')
  await isAsked
  await vi.advanceTimersByTimeAsync(5_000)
  expect(await slice).toMatchObject({ kind: 'ended', state: 'failed', stopReason: 'hook_failed' })
  const [{ error } = {}] = await kit.sql<{ error: { message: string } }>(
    `select r.error from baton.runs r join baton.agents a using (agent_uid) where a.id = 'never-instructed'`,
  )
  expect(error?.message).toMatch(/`instructions` of template plain failed.* within 5000 ms\. What had been committed is kept; mend/)
})

test('invariant 4: what a tool has done is stored, also where the instructions of the next call throw', async () => {
  let times = 0
  const { template } = instructedBy(() => {
    if ((times += 1) > 1) throw new Error('no connection')
    return 'Answer.'
  })
  acts['first'] = () => 'paid'
  const executor = startExecutor(kit, template, [{ tools: [{ name: 'first' }] }, { text: 'never' }])
  expect(await executor.send('throws')).toMatchObject({ kind: 'ended', stopReason: 'hook_failed' })
  const { data: calls } = await kit.store.listToolCalls({ agentUid: (await runOf('throws')).agent_uid, limit: 10, after: null })
  expect(calls).toMatchObject([{ name: 'first', state: 'completed', output: { value: 'paid' } }])
})

test('what never ends costs a lease, not the run: past its hard limit a slice keeps no lease, and SIGTERM waits for none', async () => {
  const moved = movedClock()
  const { template, isAsked } = instructedBy(() => 'Answer.')
  let renewals = 0
  const renew = (request: Parameters<typeof kit.store.renew>[0]) => {
    renewals += 1
    return kit.store.renew(request)
  }
  const call = Promise.withResolvers<never>()
  const model = { call: () => call.promise }
  const executor = startExecutor(kit, template, [], { clock: moved, hardMs: 1_000, model, store: { renew } })
  const halt = haltOf(executor)
  const slice = executor.send('hanging')
  await isAsked
  halt()
  expect(renewals).toBe(1)
  moved.forward({ monotonic: 7_000 })
  halt()
  const hasty = { ...moved, sleep: (ms: number) => Promise.resolve(moved.forward({ monotonic: ms })) }
  expect(await handOverAll(7_000, hasty)).toBe(1)
  call.reject(new Error('at last'))
  expect(await slice).toEqual({ kind: 'lease_lost' })
  expect(renewals).toBe(1)
}, 20_000)
