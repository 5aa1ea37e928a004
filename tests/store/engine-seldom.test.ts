import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { BatonError, ProviderError } from '#lib/core/errors'
import type { ModelPort } from '#lib/core/ports'
import { handOverAll } from '#lib/engine/slices'
import { systemClock } from '#lib/system/clock'
import { poll } from '#local/poll'
import { isAborted, movedClock, startExecutor, type MovedClock } from '#tests/store/engine-kit'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

/* Ways through the engine that few runs take. As in engine.test.ts. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const acts: Record<string, (context: ToolContext) => unknown> = {}
const tool = (name: string, effect: 'pure' | 'once' = 'pure') =>
  defineTool({ name, description: name, input: z.object({}), effect, run: (_input, context) => acts[name]?.(context) })
const plain = defineAgent({
  id: 'plain',
  model: 'test/model',
  instructions: 'Answer.',
  tools: [tool('first'), tool('second'), tool('third'), tool('pay', 'once')],
})
const calls = (...names: string[]) => ({ tools: names.map((name) => ({ name })) })

const runOf = async (agent: string) => {
  const [run] = await kit.sql<{ agent_uid: string; run_id: string; state: string; wait: string | null; version: string }>(
    `select a.agent_uid, r.run_id, r.state, r.wait_kind as wait, a.settings ->> 'templateVersion' as version
      from baton.runs r join baton.agents a using (agent_uid) where a.id = $1 order by r.created_at desc limit 1`,
    [agent],
  )
  if (run === undefined) throw new Error(`${agent} has no run`)
  return run
}
const callsOf = async (agent: string): Promise<string[]> =>
  (await kit.store.listToolCalls({ agentUid: (await runOf(agent)).agent_uid, limit: 10, after: null })).data
    .map(({ name, state }) => `${name} ${state}`)
    .toSorted()
const retriesOf = async (agent: string): Promise<unknown[]> =>
  (
    await kit.sql<{ data: unknown }>(`select data from baton.events where run_id = $1 and type = 'retry' and step = 1`, [
      (await runOf(agent)).run_id,
    ])
  ).map(({ data }) => data)
/** The hard limit of a slice is reached: SIGTERM comes after it, gives no time and is not what cuts. */
function toHardLimit(clock: MovedClock): void {
  clock.forward({ monotonic: 100_000 })
  void handOverAll(60_000, clock)
}

test('a message that names no template, to an agent whose template has changed since: it is taken once, and the new settings are its own', async () => {
  const before = startExecutor(kit, plain, [{ text: 'old' }])
  expect(await before.send('deployed')).toMatchObject({ kind: 'ended', output: 'old' })
  const dear = { inputMicrosPerMillion: 1_000_000_000, outputMicrosPerMillion: 1_000_000_000 }
  const changed = defineAgent({ ...plain, instructions: 'Answer otherwise.', limits: { maxSteps: 3 } })
  const after = startExecutor(kit, changed, [{ text: 'new' }], {
    before: [defineAgent({ ...plain, id: 'other', model: 'test/other' })],
    price: (model) => (model === 'test/model' ? dear : null),
  })
  expect(await after.send('deployed')).toMatchObject({ kind: 'ended', output: 'new' })
  const { run_id, version } = await runOf('deployed')
  expect(version).toBe(after.services.templates.versions['plain'])
  expect(version).not.toBe(before.services.templates.versions['plain'])
  const reserved = await kit.sql(
    `select (r.limits ->> 'maxSteps')::integer as steps, v.model, v.micros > 1000000 as dear from baton.runs r join baton.reservations v using (run_id) where run_id = $1`,
    [run_id],
  )
  // By the model and the price of its own template.
  expect(reserved).toEqual([{ steps: 3, model: 'test/model', dear: true }])
})

test('a rate that is used up while a tool is at work: the others wait for the window, and what is at work is not let go', async () => {
  const began: string[] = []
  const may = Promise.withResolvers<void>()
  for (const name of ['first', 'second', 'third']) acts[name] = () => void began.push(name)
  acts['second'] = async () => {
    began.push('second')
    await may.promise
  }
  const twoAtOnce = defineAgent({ ...plain, toolConcurrency: 2 })
  const executor = startExecutor(kit, twoAtOnce, [calls('first', 'second', 'third'), { text: 'bye' }])
  const slice = executor.send('rated', { rate: { calls: 3, ms: 60_000 } })
  await poll(async () => (await callsOf('rated').catch((): string[] => [])).includes('first completed'), { everyMs: 10, forMs: 60_000 })
  expect(await callsOf('rated')).toEqual(['first completed', 'second executing', 'third pending'])
  expect(await runOf('rated')).toMatchObject({ state: 'running' })
  may.resolve()
  expect(await slice).toMatchObject({ kind: 'waiting' })
  expect(await callsOf('rated')).toEqual(['first completed', 'second completed', 'third pending'])
  expect(await runOf('rated')).toMatchObject({ state: 'waiting', wait: 'retry' })
  await kit.advance(75_000)
  expect(await executor.goOn((await runOf('rated')).agent_uid)).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(began).toEqual(['first', 'second', 'third'])
})

test('A84: calls to the outside count into the rate of the agent, beside those that are made here', async () => {
  const began: string[] = []
  for (const name of ['first', 'second']) acts[name] = () => void began.push(name)
  const asking = (name: string) => defineTool({ name, description: '', input: z.object({}), effect: 'external' })
  const outside = defineAgent({ ...plain, tools: [...(plain.tools ?? []), asking('ask'), asking('wire'), asking('mail')] })
  // The model's call is the first of the three.
  const rate = { calls: 3, ms: 60_000 }
  const threeOutside = startExecutor(kit, outside, [calls('ask', 'wire', 'mail')])
  expect(await threeOutside.send('rated-outside', { rate })).toMatchObject({ kind: 'waiting' })
  expect(await callsOf('rated-outside')).toEqual(['ask waiting_external', 'mail pending', 'wire waiting_external'])
  const oneOutside = startExecutor(kit, outside, [calls('ask', 'first', 'second')])
  expect(await oneOutside.send('rated-both', { rate })).toMatchObject({ kind: 'waiting' })
  expect(await callsOf('rated-both')).toEqual(['ask waiting_external', 'first completed', 'second pending'])
  expect(began).toEqual(['first'])
})

test('invariant 6: a call that the hard limit cuts before it begins stays open where it may be repeated, and a once call is told as not done', async () => {
  const clock = movedClock()
  const began: string[] = []
  for (const name of ['first', 'pay']) acts[name] = () => void began.push(name)
  let cut = true
  const hooks = [
    {
      name: 'slow',
      timeoutMs: 30_000,
      async preToolUse(_call: unknown, { signal }: { signal: AbortSignal }) {
        if (!cut) return
        toHardLimit(clock)
        await isAborted(signal)
      },
    },
  ]
  const executor = startExecutor(kit, defineAgent({ ...plain, hooks }), [calls('first', 'pay'), { text: 'bye' }], {
    clock,
    hardMs: 100_000,
    leaseMs: 600_000,
  })
  expect(await executor.send('cut-before')).toMatchObject({ kind: 'handed_over' })
  expect(await callsOf('cut-before')).toEqual(['first executing', 'pay sealed'])
  cut = false
  expect(await executor.goOn((await runOf('cut-before')).agent_uid)).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(began).toEqual(['first'])
})

test('a person who is asked has seven days, where the template says nothing else', async () => {
  const asked: (number | undefined)[] = []
  const commit: StoreKit['store']['commit'] = (request) => {
    asked.push(...(request.happened.calls ?? []).map(({ approval }) => approval?.expiresMs))
    return kit.store.commit(request)
  }
  const asking = defineAgent({ ...plain, permission: { ask: ['pay'] } })
  expect(await startExecutor(kit, asking, [calls('pay')], { store: { commit } }).send('asked')).toMatchObject({ kind: 'paused' })
  expect(asked).toEqual([7 * 24 * 3_600_000])
})

test("unknownOutcome 'pause': a once call that is cut at the limit of its slice is a person's to judge", async () => {
  const clock = movedClock()
  acts['pay'] = async ({ signal }) => {
    toHardLimit(clock)
    await isAborted(signal)
    throw signal.reason
  }
  const asking = defineAgent({ ...plain, tools: [{ ...tool('pay', 'once'), timeoutMs: 20_000 }], unknownOutcome: 'pause' })
  const executor = startExecutor(kit, asking, [calls('pay')], { clock, hardMs: 100_000, leaseMs: 600_000 })
  expect(await executor.send('cut-paying')).toMatchObject({ kind: 'paused' })
  const asked = ok(await kit.store.listApprovals(authority, { limit: 1, after: null, agent: 'cut-paying' })).data
  expect(asked).toMatchObject([{ kind: 'unknown_outcome', tool: 'pay' }])
  expect(JSON.stringify(asked)).toContain('cut at the limit of its slice')
})

test('a call is told with its attempt and with how long it took: an answer without anything in it is an attempt', async () => {
  const clock = movedClock()
  // A process that has been there for long.
  clock.forward({ monotonic: 1_000_000_000 })
  const told: number[] = []
  const attempts: number[] = []
  const { model } = startExecutor(kit, plain, [{ text: '' }, { text: 'bye' }]).services
  const executor = startExecutor(kit, plain, [], {
    clock,
    leaseMs: 600_000,
    store: {
      commit(request) {
        told.push(request.happened.model?.ms ?? -1)
        return kit.store.commit(request)
      },
    },
    model: {
      call(request, onDelta, signal) {
        attempts.push(request.attempt)
        clock.forward({ monotonic: 5_000 })
        return model.call(request, onDelta, signal)
      },
    },
  })
  expect(await executor.send('empty')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(attempts).toEqual([0, 1])
  expect(told).toHaveLength(2)
  for (const ms of told) expect([ms >= 5_000, ms < 1_000_000]).toEqual([true, true])
})

test('A84: a model call that has no room in the rate of its agent waits for the next window, and is no retry', async () => {
  // What the message itself has set aside counts already, and is made.
  const executor = startExecutor(kit, plain, [{ text: '' }, { text: 'bye' }], { sliceMs: 30_000 })
  expect(await executor.send('rated-model', { rate: { calls: 1, ms: 60_000 } })).toMatchObject({ kind: 'waiting' })
  expect(executor.effects).toEqual(['model'])
  const { agent_uid } = await runOf('rated-model')
  expect(await retriesOf('rated-model')).toMatchObject([{ gate: true, code: 'rate_limited', attempt: 1, model: 'test/model' }])
  await kit.advance(75_000)
  expect(await executor.goOn(agent_uid)).toMatchObject({ kind: 'ended', output: 'bye' })
  // The empty answer was made again within the same step.
  expect(await kit.sql('select steps::integer from baton.agents where agent_uid = $1', [agent_uid])).toEqual([{ steps: 1 }])
})

const slow = new ProviderError('provider_unavailable', 'away', { status: 503, retryAfterMs: 10_000 })
test.each([
  ['a limit of its model', { code: 'rate_limited', gate: true, attempt: 0 }],
  ['its provider', { code: 'provider_unavailable', attempt: 1 }],
])('a run waits for %s in its process where that fits into its slice, else elsewhere, and is spread', async (who, told) => {
  const start = (sliceMs: number) => {
    // A process that has been there for long, and no time passes.
    const still = { monotonic: () => 1_000_000_000, random: () => 0.5 }
    const clock = { ...systemClock(), ...still, sleep: (ms: number) => Promise.resolve(void slept.push(ms)) }
    let refused = false
    const once = (): boolean => !refused && (refused = true)
    const { model } = startExecutor(kit, plain, [{ text: 'bye' }]).services
    const isLimit = told.code === 'rate_limited'
    const call: ModelPort['call'] = (...asked) => (!isLimit && once() ? Promise.reject(slow) : model.call(...asked))
    const executor = startExecutor(kit, plain, [], { clock, sliceMs, model: { call } })
    const allowed = executor.services.rates.model
    const refusal = { allowed: false, which: null, resetMs: 10_000, tokens: null }
    executor.services.rates = {
      ...executor.services.rates,
      model: (...asked) => (isLimit && once() ? Promise.resolve(refusal as never) : allowed(...asked)),
    }
    return executor
  }
  const slept: number[] = []
  expect(await start(3_600_000).send(`here ${who}`.replaceAll(' ', '-'))).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(slept).toEqual([11_000])
  const elsewhere = `elsewhere ${who}`.replaceAll(' ', '-')
  expect(await start(10_900).send(elsewhere)).toMatchObject({ kind: 'waiting' })
  expect(slept).toEqual([11_000])
  expect(await retriesOf(elsewhere)).toEqual([{ delayMs: 11_000, model: 'test/model', ...told }])
})

test('invariant 3: a commit is made again as long as the lease is held, however often its reply is lost, each second at last', async () => {
  const slept: number[] = []
  let lost = 0
  const executor = startExecutor(kit, plain, [{ text: 'bye' }], {
    clock: { ...systemClock(), sleep: (ms) => Promise.resolve(void slept.push(ms)) },
    store: {
      commit(request) {
        return (lost += 1) <= 8 ? Promise.reject(new BatonError('database_unavailable', 'away')) : kit.store.commit(request)
      },
    },
  })
  expect(await executor.send('away')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(slept).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000])
})
