import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type AgentDefinition, type ToolContext } from '#lib/core/define'
import { handOverAll } from '#lib/engine/slices'
import { systemClock } from '#lib/system/clock'
import { isAborted, movedClock, startExecutor, stopping, type Executor } from '#tests/store/engine-kit'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

/* What becomes of calls that are kept from beginning, cut off, or looked at by hooks. As in engine.test.ts. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const minutes = 60_000
const acts: Record<string, (context: ToolContext) => unknown> = {}
const tool = (name: string, effect: 'pure' | 'once' = 'pure', timeoutMs?: number) =>
  defineTool({
    name,
    description: name,
    input: z.object({ n: z.number().optional() }),
    effect,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    run: (_input, context) => acts[name]?.(context),
  })
const plain = defineAgent({
  id: 'plain',
  model: 'test/model',
  instructions: 'Answer.',
  tools: [tool('first'), tool('pay', 'once')],
  limits: { maxWallMs: 120 * minutes },
})
/** A tool whose slice meets its hard limit while it works. */
const cutAtLimit =
  (clock: ReturnType<typeof movedClock>) =>
  async ({ signal }: Pick<ToolContext, 'signal'>): Promise<never> => {
    clock.forward({ monotonic: 50 * minutes })
    void handOverAll(60 * minutes, clock)
    await isAborted(signal)
    throw signal.reason
  }
const calls = (...names: string[]) => ({ tools: names.map((name) => ({ name })) })

const uidOf = async (agent: string) => ok(await kit.store.getAgent(authority, agent)).agent.agentUid
const callsOf = async (agent: string) =>
  (await kit.store.listToolCalls({ agentUid: await uidOf(agent), limit: 10, after: null })).data.toSorted((a, b) =>
    a.step === b.step ? a.index - b.index : a.step - b.step,
  )
test('a call that did not begin takes nothing of what its tool may be called, whatever has kept it back', async () => {
  const clock = movedClock()
  const hook = {
    name: 'keeps',
    preToolUse(call: { name: string }) {
      if (call.name === 'denied') return { deny: 'no' }
      if (call.name === 'given') return { result: 'known' }
      if (call.name === 'tardy') clock.forward({ monotonic: 25 * minutes })
      if (call.name === 'expired') clock.forward({ monotonic: 32 * minutes })
      return undefined
    },
  }
  const names = ['begun', 'denied', 'given', 'limited', 'tardy', 'expired']
  for (const name of names) {
    acts[name] = () => 'done'
    ok(await kit.store.putBudget(authority, { scope: `tool:${name}`, period: 'day' }, { limitCalls: 5 }))
  }
  const tools = names.map((name) => (name === 'tardy' ? tool(name, 'once', 40 * minutes) : tool(name)))
  const kept = defineAgent({ ...plain, tools, hooks: [hook], toolConcurrency: 1 })
  const executor = startExecutor(kit, kept, [calls(...names), { text: 'never' }], { clock, leaseMs: 300 * minutes })
  const { tool: allowed } = executor.services.rates
  executor.services.rates = {
    ...executor.services.rates,
    tool: (tenant, name) =>
      name === 'limited' ? Promise.resolve({ allowed: false, which: null, resetMs: 1_000 } as never) : allowed(tenant, name),
  }
  expect(await executor.send('kept-back', { expiresInMs: 31 * minutes })).toMatchObject({ kind: 'ended', state: 'expired' })
  expect((await callsOf('kept-back')).map(({ state }) => state)).toEqual(['completed', 'denied', 'completed', 'failed', 'sealed', 'denied'])
  const counted = async (name: string) =>
    ok(await kit.store.getBudget(authority, { scope: `tool:${name}`, period: 'day' })).budgets[0]?.calls
  expect(await Promise.all(names.map(counted))).toEqual([1, 0, 0, 0, 0, 0])
})

test('invariant 6: a tool that begins when its run is to stop already, and ignores that, is given up', async () => {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, 20_000)
  acts['pay'] = () => late.promise
  const executor: Executor = startExecutor(kit, plain, [calls('pay')], {
    clock: { ...systemClock(), sleep: () => Promise.resolve() },
    onEffect: ({ kind }) => (kind === 'tool' ? stop() : undefined),
  })
  const stop = stopping(kit, 'given-up', executor)
  expect(await executor.send('given-up')).toMatchObject({ kind: 'ended', state: 'cancelled' })
  clearTimeout(timer)
  expect(await callsOf('given-up')).toMatchObject([{ state: 'sealed', output: { value: expect.stringContaining('may still be running') } }])
})

/** The run is told to stop while the limit of a tool is asked. */
function stopsAtLimit(agent: string, executor: Executor): void {
  const stop = stopping(kit, agent, executor)
  const { tool: allowed } = executor.services.rates
  executor.services.rates = { ...executor.services.rates, tool: (...asked) => stop().then(() => allowed(...asked)) }
}

test('invariant 10: a tool does not begin when its run is to stop since its limit was asked, and nobody is told that it may have happened', async () => {
  let began = 0
  for (const name of ['first', 'pay']) {
    acts[name] = () => void (began += 1)
    const scope = `tool:${name}`
    const counted = async () => ok(await kit.store.getBudget(authority, { scope, period: 'day' })).budgets[0]?.calls
    ok(await kit.store.putBudget(authority, { scope, period: 'day' }, { limitCalls: 100 }))
    const before = (await counted()) ?? 0
    const executor = startExecutor(kit, { ...plain, unknownOutcome: 'pause' }, [calls(name)])
    stopsAtLimit(`asked-${name}`, executor)
    expect(await executor.send(`asked-${name}`)).toMatchObject({ kind: 'ended', state: 'cancelled' })
    expect([executor.effects, began, (await counted()) ?? 0]).toEqual([['model'], 0, before])
    const output = { value: 'The call was stopped before it began; it was not executed.' }
    expect(await callsOf(`asked-${name}`)).toMatchObject([{ state: 'sealed', output, attempts: 1 }])
  }
})

test('of a call that had begun before nobody is told that it has not happened', async () => {
  const clock = movedClock()
  acts['first'] = cutAtLimit(clock)
  const cut = startExecutor(kit, plain, [calls('first')], { clock, hardMs: 50 * minutes, leaseMs: 300 * minutes })
  expect(await cut.send('begun-before')).toMatchObject({ kind: 'handed_over' })
  const next = startExecutor(kit, plain, [], { leaseMs: 300 * minutes })
  stopsAtLimit('begun-before', next)
  expect(await next.goOn(await uidOf('begun-before'))).toMatchObject({ kind: 'ended', state: 'cancelled' })
  expect(next.effects).toEqual([])
  const output = { value: 'The call was stopped before it ended.' }
  expect(await callsOf('begun-before')).toMatchObject([{ state: 'failed', output, attempts: 2 }])
})

const unknown = 'Its outcome is unknown: check before repeating it.'
type Cut = 'time-out' | 'stop' | 'limit' | 'limit, which it ignores'
test.each<[Cut, 'pure' | 'once', AgentDefinition['unknownOutcome'], string, string]>([
  ['time-out', 'once', 'seal', 'sealed', `The tool did not end in time. ${unknown}`],
  ['time-out', 'pure', 'pause', 'failed', 'The tool did not end in time.'],
  ['stop', 'once', 'pause', 'sealed', `The call was stopped before it ended. ${unknown}`],
  ['stop', 'pure', 'seal', 'failed', 'The call was stopped before it ended.'],
  ['limit', 'once', 'seal', 'sealed', `The call was stopped before it ended. ${unknown}`],
  [
    'limit, which it ignores',
    'pure',
    'pause',
    'failed',
    'The call was stopped before it ended. It ignored its signal and may still be running.',
  ],
])('what is told of a call that is cut by its %s: %s, %s', async (by, effect, unknownOutcome = 'seal', state, output) => {
  const agent = `${by}-${effect}`.replaceAll(/[ ,]+/g, '-')
  const moved = movedClock()
  const isIgnored = by === 'limit, which it ignores'
  const clock = isIgnored ? { ...moved, sleep: () => Promise.resolve() } : moved
  acts['cut'] = async ({ signal }) => {
    if (by === 'stop') void stop()
    if (by.startsWith('limit')) {
      moved.forward({ monotonic: 50 * minutes })
      void handOverAll(60 * minutes, moved)
    }
    await isAborted(signal)
    if (isIgnored) await new Promise(() => undefined)
    throw signal.reason
  }
  const tools = [tool('cut', effect, by === 'time-out' ? 20 : 40 * minutes)]
  const executor = startExecutor(kit, defineAgent({ ...plain, tools, unknownOutcome }), [calls('cut'), { text: 'bye' }], {
    clock,
    hardMs: 50 * minutes,
    leaseMs: 300 * minutes,
  })
  const stop = stopping(kit, agent, executor)
  const kind = by.startsWith('limit') ? 'handed_over' : 'ended'
  expect(await executor.send(agent)).toMatchObject({ kind, ...(by === 'stop' ? { state: 'cancelled' } : {}) })
  expect(await callsOf(agent)).toMatchObject([{ state, output: { type: 'error-text', value: output } }])
})

test('hooks after a tool are told how a call has ended, and are not asked about one of which nobody knows', async () => {
  const told: unknown[] = []
  const hook = {
    name: 'sees',
    preToolUse: ({ name }: { name: string }) =>
      name === 'given' ? { result: 'known' } : name === 'first' ? { input: { n: 2 } } : undefined,
    postToolUse({ name, input }: { name: string; input: unknown }, { state, executed }: { state: string; executed: boolean }) {
      told.push([name, input, state, executed])
    },
  }
  acts['first'] = () => 'done'
  acts['fails'] = () => {
    throw new Error('broken')
  }
  acts['late'] = acts['unknown'] = async ({ signal }) => {
    await isAborted(signal)
    throw signal.reason
  }
  const tools = [tool('first'), tool('given'), tool('fails'), tool('late', 'pure', 20), tool('unknown', 'once', 20)]
  const hooked = defineAgent({ ...plain, tools, hooks: [hook], toolConcurrency: 1 })
  const executor = startExecutor(kit, hooked, [calls(...tools.map(({ name }) => name)), { text: 'bye' }])
  const warned: string[] = []
  executor.services.log = { ...executor.services.log, warn: (line) => void warned.push(line) }
  expect(await executor.send('hooked')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(warned).not.toContain('a tool failed after it was given up')
  expect(told).toEqual([
    ['first', { n: 2 }, 'completed', true],
    ['given', {}, 'completed', false],
    ['fails', {}, 'failed', true],
    ['late', {}, 'failed', true],
  ])
})

test('what a tool keeps and tells after it has ended is dropped', async () => {
  let late = (): void => undefined
  acts['first'] = ({ state, emit }) => {
    late = () => {
      state.set('late', 1)
      emit('late', {})
    }
    state.set('early', 1)
  }
  // Between its end and the commit of its outcome.
  const hooks = [{ name: 'after', postToolUse: () => late() }]
  const executor = startExecutor(kit, defineAgent({ ...plain, hooks }), [calls('first'), { text: 'bye' }])
  expect(await executor.send('late')).toMatchObject({ kind: 'ended', output: 'bye' })
  const agentUid = await uidOf('late')
  expect(await kit.sql('select key from baton.agent_state where agent_uid = $1', [agentUid])).toEqual([{ key: 'early' }])
  expect(await kit.sql(`select 1 from baton.events where agent_uid = $1 and type = 'custom'`, [agentUid])).toEqual([])
})

test('invariant 12: a call that begins again takes nothing off the take-overs of its run; its outcome takes them all', async () => {
  const crashes = async () => (await kit.sql('select crashes from baton.runs where agent_uid = $1', [await uidOf('again')]))[0]
  const clock = movedClock()
  acts['first'] = ({ signal, attempt }) => (attempt === 2 ? crashes() : cutAtLimit(clock)({ signal }))
  const cut = startExecutor(kit, plain, [calls('first')], { clock, hardMs: 50 * minutes, leaseMs: 300 * minutes })
  expect(await cut.send('again')).toMatchObject({ kind: 'handed_over' })
  await kit.sql('update baton.runs set crashes = 2 where agent_uid = $1', [await uidOf('again')])
  expect(await startExecutor(kit, plain, [{ text: 'bye' }]).goOn(await uidOf('again'))).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(await callsOf('again')).toMatchObject([{ state: 'completed', attempts: 2, output: { value: { crashes: 2 } } }])
  expect(await crashes()).toEqual({ crashes: 0 })
})
