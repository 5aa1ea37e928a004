import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type AgentDefinition, type ToolContext } from '#lib/core/define'
import { ProviderError } from '#lib/core/errors'
import type { ModelPort } from '#lib/core/ports'
import { handOverAll } from '#lib/engine/slices'
import { scriptedAnswers } from '#lib/testing/scripted-answers'
import { isAborted, movedClock, startExecutor } from '#tests/store/engine-kit'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

/* What a model call may cost before it is made, which model is asked, and what is made of an answer that is none. As in engine.test.ts. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const minutes = 60_000
const plain = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.' })
const uidOf = async (agent: string) => ok(await kit.store.getAgent(authority, agent)).agent.agentUid
const runsOf = (agent: string) =>
  kit.sql<{ state: string; wait_kind: string | null; today: boolean; error: { message: string } | null }>(
    `select r.state, r.wait_kind, r.due_at < baton.clock() + interval '2 hours' as today, r.error from baton.runs r join baton.agents a using (agent_uid) where a.id = $1 order by r.created_at`,
    [agent],
  )

/** Some 100,000 tokens of instructions at a micro-dollar each, which nobody knows before the function has said them. */
const instructed = (limits: AgentDefinition['limits'] = {}): AgentDefinition =>
  defineAgent({ ...plain, limits, instructions: () => 'x'.repeat(300_000) })

test('a run that has not begun waits where a wider budget has no room for such a call', async () => {
  const scope = { scope: 'tenant', period: 'month' } as const
  ok(await kit.store.putBudget(authority, scope, { limitMicros: 180_000 }))
  onTestFinished(async () => void ok(await kit.store.deleteBudget(authority, scope)))
  const executor = startExecutor(kit, instructed(), [{ text: 'hello' }])
  expect(await executor.send('instructed-waits')).toMatchObject({ state: 'completed' })
  await executor.send('instructed-waits')
  expect(await runsOf('instructed-waits')).toMatchObject([{ state: 'completed' }, { state: 'waiting', wait_kind: 'budget' }])
  expect(executor.effects).toEqual(['model'])
})

test('invariant 9: the first call, too, is set aside with what a function makes of the instructions', async () => {
  const dear = startExecutor(kit, instructed({ maxPerCallMicros: 50_000 }), [])
  expect(await dear.send('instructed')).toMatchObject({ kind: 'ended', state: 'budget_exceeded' })
  expect(dear.effects).toEqual([])
  // What the tools take is no room for what the function says.
  const wordy = acting('once', () => 'done', 'y'.repeat(300_000))
  const both = startExecutor(kit, { ...wordy, ...instructed({ maxPerCallMicros: 150_000 }) }, [])
  expect(await both.send('instructed-tools')).toMatchObject({ kind: 'ended', state: 'budget_exceeded' })
  expect(both.effects).toEqual([])
  const enough = startExecutor(kit, instructed({ maxPerCallMicros: 150_000 }), [{ text: 'hello' }])
  expect(await enough.send('instructed-enough')).toMatchObject({ kind: 'ended', state: 'completed', output: 'hello' })
})

test('A84: what was set aside for a call and given back counts nothing in the rate of the agent', async () => {
  const rate = { calls: 1, ms: 60 * minutes }
  const executor = startExecutor(kit, instructed(), [{ text: 'hello' }])
  expect(await executor.send('instructed-rated', { rate })).toMatchObject({ kind: 'ended', output: 'hello' })
  const counted = await kit.sql(`select rates -> '3600000' -> 'calls' as calls from baton.agents where id = 'instructed-rated'`)
  expect(counted).toEqual([{ calls: 1 }])
})

test('invariant 9: a picture is set aside for by what it costs, however many bytes it has', async () => {
  const executor = startExecutor(kit, { ...plain, limits: { maxPerCallMicros: 20_000 } }, [{ text: 'a cat' }])
  const photo = { type: 'image' as const, image: `data:image/jpeg;base64,${'A'.repeat(200_000)}` }
  expect(await executor.send('photo', undefined, [photo])).toMatchObject({ kind: 'ended', state: 'completed', output: 'a cat' })
  expect(ok(await kit.store.getAgent(authority, 'photo')).agent.windowTokens).toBeLessThan(10_000)
})

test('invariant 11: an answer that is cut before it has text is told as cut, and is not asked for again', async () => {
  const executor = startExecutor(kit, plain, [{ finish: 'length' }])
  expect(await executor.send('cut')).toMatchObject({ kind: 'ended', state: 'failed', stopReason: 'max_tokens' })
  expect((await runsOf('cut'))[0]?.error?.message).toMatch(/cut at 4096 output tokens.*Raise settings\.maxOutputTokens/)
})

/** A model that is away for an hour, beside others that answer; the models in the order in which they were asked. */
function awayForAnHour(away: string): { model: Pick<ModelPort, 'call'>; asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    model: {
      call(request, onDelta, signal) {
        asked.push(request.model)
        if (request.model === away) throw new ProviderError('provider_rate_limited', 'away', { status: 429, retryAfterMs: 60 * minutes })
        return scriptedAnswers([{ text: 'hello' }]).model.call(request, onDelta, signal)
      },
    },
  }
}

test('a provider that is away for longer than any retry waits is left to its fallback at once, by those at its gate, too', async () => {
  const template = defineAgent({ ...plain, model: 'far/model', fallback: ['near/model'] })
  const { model, asked } = awayForAnHour('far/model')
  expect(await startExecutor(kit, template, [], { model }).send('falls-back')).toMatchObject({ state: 'completed', output: 'hello' })
  expect(asked).toEqual(['far/model', 'near/model'])
  expect(await startExecutor(kit, template, [], { model }).send('at-the-gate')).toMatchObject({ state: 'completed', output: 'hello' })
  expect(asked).toEqual(['far/model', 'near/model', 'near/model'])
})

test('a fallback that is away for longer is not asked in the place of a provider that is away', async () => {
  const both = defineAgent({ ...plain, model: 'back-in-an-hour/model', fallback: ['back-tomorrow/model'] })
  const { model, asked } = awayForAnHour('back-in-an-hour/model')
  await kit.sql(
    `insert into baton.gates (environment, model, until) values ('test', 'back-tomorrow/model', baton.clock() + interval '1 day')`,
  )
  for (const agent of ['hears-of-it', 'waits-with-it']) {
    await startExecutor(kit, both, [], { model, sliceMs: minutes }).send(agent)
    expect(await runsOf(agent)).toMatchObject([{ state: 'waiting', wait_kind: 'retry', today: true }])
  }
  expect(asked).toEqual(['back-in-an-hour/model'])
})

test('a provider without a fallback is waited for as long as it asks', async () => {
  const { model, asked } = awayForAnHour('only/model')
  const executor = startExecutor(kit, defineAgent({ ...plain, model: 'only/model' }), [], { model, sliceMs: minutes })
  await executor.send('waits')
  expect(await runsOf('waits')).toMatchObject([{ state: 'waiting', wait_kind: 'retry' }])
  expect(asked).toEqual(['only/model'])
})

/** An agent whose call of `act` was cut in the tool by the end of its slice, so that the next slice makes it again. */
async function cutInTool(agent: string): Promise<void> {
  const clock = movedClock()
  const act = async ({ signal }: ToolContext): Promise<never> => {
    clock.forward({ monotonic: 50 * minutes })
    void handOverAll(60 * minutes, clock)
    await isAborted(signal)
    throw signal.reason
  }
  const executor = startExecutor(kit, acting('idempotent', act), [{ tools: [{ name: 'act' }] }], {
    clock,
    hardMs: 50 * minutes,
    leaseMs: 300 * minutes,
  })
  expect(await executor.send(agent)).toMatchObject({ kind: 'handed_over' })
}
const acting = (effect: 'idempotent' | 'once', run: (context: ToolContext) => unknown, description = 'act'): AgentDefinition =>
  defineAgent({
    ...plain,
    limits: { maxWallMs: 120 * minutes },
    tools: [defineTool({ name: 'act', description, input: z.object({}), effect, run: (_input, context) => run(context) })],
  })
const outputsOf = async (agent: string) =>
  (await kit.store.listToolCalls({ agentUid: await uidOf(agent), limit: 10, after: null })).data.map(({ state, output }) => ({
    state,
    output,
  }))

test('invariant 4: a call of a tool that is found to be a once tool while it is open is not made again', async () => {
  await cutInTool('once-since')
  let again = 0
  const next = startExecutor(
    kit,
    acting('once', () => (again += 1)),
    [{ text: 'bye' }],
    { leaseMs: 300 * minutes },
  )
  expect(await next.goOn(await uidOf('once-since'))).toMatchObject({ kind: 'ended', state: 'completed' })
  expect(again).toBe(0)
  expect(await outputsOf('once-since')).toMatchObject([{ state: 'sealed', output: { value: expect.stringMatching(/outcome.*unknown/) } }])
})

test('invariant 4: a second attempt that is not made is not told as a call that was not executed', async () => {
  await cutInTool('gone-since')
  const next = startExecutor(kit, plain, [{ text: 'bye' }], { leaseMs: 300 * minutes })
  expect(await next.goOn(await uidOf('gone-since'))).toMatchObject({ kind: 'ended', state: 'completed' })
  const value = 'An earlier attempt of this call may have happened; this one was not made (tool_removed). Check before repeating it.'
  expect(await outputsOf('gone-since')).toMatchObject([{ state: 'sealed', output: { type: 'error-text', value } }])
})
