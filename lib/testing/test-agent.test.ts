import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import { defineHook } from '#lib/core/hooks'
import { testAgent } from '#lib/testing/test-agent'

const refund = defineTool({
  name: 'refund',
  description: 'Pays back',
  input: z.object({ cents: z.int().positive() }),
  effect: 'once',
  run(): { paid: number } {
    throw new Error('the real one must not run in a test')
  },
})
const count = defineTool({
  name: 'count',
  description: 'Counts',
  input: z.object({}),
  effect: 'idempotent',
  run(_input, context) {
    const next = Number(context.state.get('count') ?? 0) + 1
    context.state.set('count', next)
    context.emit('counted', next)
    return next
  },
})
const support = defineAgent({
  id: 'support',
  model: 'anthropic/claude-haiku-4-5',
  fallback: ['openai/gpt-5-mini'],
  instructions: ({ userId }) => `Help ${userId}.`,
  tools: [refund, count],
  limits: { maxSteps: 5 },
})

test('tools run with stand-ins, inputs are checked, the model sees the results', async () => {
  const paid: number[] = []
  const run = await testAgent(support, {
    message: 'I want my money',
    userId: 'u1',
    tools: { refund: ({ cents }: { cents: number }) => ({ paid: paid.push(cents) }) },
    script: [
      { text: 'One moment', tools: [{ name: 'refund', input: { cents: -1 } }, { name: 'nothing' }] },
      { tools: [{ name: 'refund', input: { cents: 500 } }] },
      { text: 'Done' },
    ],
  })
  expect(run).toMatchObject({ state: 'completed', output: 'Done' })
  expect(paid).toEqual([500])
  expect(run.calls.map((call) => [call.name, call.state])).toEqual([
    ['refund', 'failed'],
    ['nothing', 'failed'],
    ['refund', 'completed'],
  ])
  expect(run.messages.map((message) => message.role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'tool', 'assistant'])
  expect(run.requests[0]).toMatchObject({ instructions: 'Help u1.', model: 'anthropic/claude-haiku-4-5' })
  expect(run.costMicros).toBeGreaterThan(0)
})

test('state and custom events come out', async () => {
  const run = await testAgent(support, {
    script: [{ tools: [{ name: 'count' }] }, { tools: [{ name: 'count' }] }, { text: 'ok' }],
    state: { count: 4 },
  })
  expect(run.values).toEqual({ count: 6 })
  expect(run.emitted).toEqual([
    { type: 'counted', data: 5 },
    { type: 'counted', data: 6 },
  ])
})

test('a model may be silent for a minute, before its answer and within it', async () => {
  const { requests } = await testAgent(support, { script: [{ text: 'hello' }] })
  expect(requests.map(({ timeouts }) => timeouts)).toEqual([{ firstChunkMs: 60_000, chunkMs: 60_000 }])
})

test('limits, retries and fallbacks are the real ones', async () => {
  const many = await testAgent(support, { script: Array.from({ length: 6 }, () => ({ tools: [{ name: 'count' }] })) })
  expect(many).toMatchObject({ state: 'failed', stopReason: 'max_steps' })
  const poor = await testAgent(support, { script: [{ text: 'never' }], limits: { maxCostMicros: 1 } })
  expect(poor).toMatchObject({ state: 'budget_exceeded', requests: [] })
  const down = await testAgent(support, {
    script: [...Array.from({ length: 4 }, () => ({ error: 'provider_unavailable' as const })), { text: 'from the other' }],
  })
  expect(down.output).toBe('from the other')
  expect(down.requests.at(-1)?.model).toBe('openai/gpt-5-mini')
  const refused = await testAgent(defineAgent({ id: 'x', model: 'nobody/knows', instructions: '' }), { script: [] })
  expect(refused).toMatchObject({ state: 'failed', stopReason: 'price_unknown' })
})

test('a schema that throws when the call is made ends the call, and the run goes on', async () => {
  let looks = 0
  const known = async (): Promise<boolean> => {
    // Once as the model asks for the call, once more before it is made.
    if ((looks += 1) > 1) throw new Error('the database is away')
    return true
  }
  const close = { ...count, input: z.object({ id: z.string().refine(known) }) }
  const run = await testAgent(defineAgent({ ...support, tools: [close] }), {
    script: [{ tools: [{ name: 'count', input: { id: 't1' } }] }, { text: 'Sorry' }],
  })
  expect(run).toMatchObject({ output: 'Sorry', calls: [{ state: 'failed' }], values: {} })
  expect(JSON.stringify(run.calls[0]?.output)).toContain('the database is away')
})

test('a tool that throws what has no words ends the call, and the run goes on', async () => {
  const tools = {
    refund(): never {
      throw Object.create(null)
    },
  }
  const run = await testAgent(support, { tools, script: [{ tools: [{ name: 'refund', input: { cents: 5 } }] }, { text: 'Sorry' }] })
  expect(run).toMatchObject({ output: 'Sorry', calls: [{ state: 'sealed' }] })
  expect(JSON.stringify(run.calls[0]?.output)).toContain('outcome is unknown')
})

test('an end leaves no call without a result', async () => {
  const run = await testAgent(support, { script: [{ tools: [{ name: 'count' }, { name: 'count' }] }], limits: { maxToolCalls: 1 } })
  expect(run).toMatchObject({ stopReason: 'max_tool_calls' })
  expect(run.calls.map((call) => call.state)).toEqual(['sealed', 'sealed'])
  expect(run.messages.at(-1)?.role).toBe('tool')
})

test('a script with too few answers is an error of the test', async () => {
  await expect(testAgent(support, { script: [{ tools: [{ name: 'count' }] }] })).rejects.toThrow('the script has 1 answers')
})

describe('runs that wait for somebody', () => {
  const outside = defineTool({ name: 'outside', description: 'Is done elsewhere', input: z.object({}), effect: 'external' })
  const guarded = defineAgent({
    ...support,
    tools: [refund, count, outside],
    permission: { mode: 'custom', ask: ['refund'], allow: ['outside'], decide: async ({ name }) => (name === 'count' ? 'deny' : 'allow') },
  })
  const script = [
    {
      tools: [
        { name: 'refund', input: { cents: 5 } },
        { name: 'count', input: {} },
        { name: 'outside', input: {} },
      ],
    },
    { text: 'Done' },
  ]
  const tools = { refund: () => 'paid' }
  const external = { outside: () => ({ answer: 42 }) }

  test('decisions and results from outside are given by the test', async () => {
    const asked: unknown[] = []
    const approve = (call: { name: string; input: unknown }): 'allow' => (asked.push(call), 'allow')
    const run = await testAgent(guarded, { script, tools, external, approve })
    expect(run.output).toBe('Done')
    expect(asked).toEqual([{ name: 'refund', input: { cents: 5 } }])
    expect(run.calls.map((call) => call.state)).toEqual(['completed', 'denied', 'completed'])
    const denied = await testAgent(guarded, { script, external, approve: () => 'deny' })
    expect(denied.calls.map((call) => call.state)).toEqual(['denied', 'denied', 'completed'])
  })

  test('without them the run is not silent about what it waits for', async () => {
    await expect(testAgent(guarded, { script, external })).rejects.toThrow('waits for a decision about refund: give testAgent `approve`')
    await expect(testAgent(guarded, { script, tools, approve: () => 'allow' })).rejects.toThrow('waits for a result of outside')
  })

  test("unknownOutcome 'pause': a once tool that timed out is asked about, and runs again when that is allowed", async () => {
    const slow = defineTool({
      name: 'slow',
      description: 'Hangs at first',
      input: z.object({}),
      effect: 'once',
      timeoutMs: 20,
      run: (_input, { attempt, signal }) =>
        attempt > 1 ? 'done' : new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('cut')))),
    })
    const careful = defineAgent({ ...support, tools: [slow], unknownOutcome: 'pause' })
    const calls = [{ tools: [{ name: 'slow', input: {} }] }, { text: 'Done' }]
    expect((await testAgent(careful, { script: calls, approve: () => 'allow' })).calls).toMatchObject([{ state: 'completed' }])
    expect((await testAgent(careful, { script: calls, approve: () => 'deny' })).calls).toMatchObject([{ state: 'denied' }])
    expect((await testAgent(defineAgent({ ...careful, unknownOutcome: 'seal' }), { script: calls })).calls).toMatchObject([
      { state: 'sealed' },
    ])
  })

  test("the agent's own permission narrows the template's", async () => {
    const run = await testAgent(support, {
      script: [{ tools: [{ name: 'count', input: {} }] }, { text: 'Done' }],
      permission: { mode: 'readonly' },
    })
    expect(run.calls).toMatchObject([{ name: 'count', state: 'denied' }])
  })

  test('contradicting rules and patterns that match nothing are no template', () => {
    expect(() => defineAgent({ ...support, permission: { allow: ['refnd'] } })).toThrow(/permission\/allow\/0: refnd matches no tool/)
    expect(() => defineAgent({ ...support, permission: { mode: 'custom' } })).toThrow(/decide function/)
  })
})

describe('hooks', () => {
  const seen: string[] = []
  const echo = defineTool({
    name: 'echo',
    description: '',
    input: z.object({ value: z.string() }),
    effect: 'once',
    run: ({ value }) => value,
  })
  const guarded = defineAgent({
    id: 'guarded',
    model: 'anthropic/claude-sonnet-5-5',
    instructions: '',
    tools: [echo],
    hooks: [
      defineHook({ name: 'first', preToolUse: ({ input }) => ({ input: { value: `${(input as { value: string }).value}!` } }) }),
      defineHook({
        name: 'second',
        timeoutMs: 50,
        preToolUse({ input }) {
          seen.push(JSON.stringify(input))
          const text = JSON.stringify(input)
          if (text.includes('never')) return new Promise<never>(() => undefined)
          return text.includes('no') ? { deny: 'no means no' } : undefined
        },
        postToolUse: (_call, { output }) => ({ replace: `${JSON.stringify(output.value)}?` }),
        preModel: ({ messages }) => ({ messages: [{ role: 'user', content: `${messages.length}` }] }),
        postModel: ({ text }) => (text === '' ? undefined : { replaceText: text.toUpperCase() }),
      }),
    ],
  })

  test('run in order in the real engine, each with what the one before has left', async () => {
    const tools = ['yes', 'no', 'never'].map((value) => ({ name: 'echo', input: { value } }))
    const run = await testAgent(guarded, { script: [{ tools }, { text: 'done' }] })
    expect(run).toMatchObject({ state: 'completed', output: 'DONE' })
    expect(run.calls.map(({ state, output }) => [state, output?.value])).toEqual([
      ['completed', '"yes!"?'],
      ['denied', expect.objectContaining({ message: 'no means no' })],
      ['denied', expect.objectContaining({ message: expect.stringContaining('did not answer within 50 ms') })],
    ])
    expect(seen.toSorted()).toEqual(['{"value":"never!"}', '{"value":"no!"}', '{"value":"yes!"}'])
    expect(run.requests.map(({ messages }) => messages)).toEqual([[{ role: 'user', content: '1' }], [{ role: 'user', content: '3' }]])
  })
})
