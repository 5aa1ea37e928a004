import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type AgentDefinition } from '#lib/core/define'
import { defineHook, type HookDefinition } from '#lib/core/hooks'
import { testAgent } from '#lib/testing/test-agent'

const model = 'anthropic/claude-haiku-5-5'
const paid: unknown[] = []
/** Hands its payload on as it came. */
const pay = defineTool({
  name: 'pay',
  description: '',
  input: z.object({ payload: z.unknown() }),
  effect: 'once',
  run({ payload }) {
    paid.push(structuredClone(payload))
    if (typeof payload === 'object') Object.assign(payload ?? {}, { n: 'the tool wrote' })
    return 'paid'
  },
})
const agentOf = (change: Partial<AgentDefinition>): AgentDefinition => ({
  ...defineAgent({ id: 'paying', model, instructions: '', tools: [pay] }),
  ...change,
})
const script = [{ tools: [{ name: 'pay', input: { payload: { n: 1 } } }] }, { text: 'end' }]
const write = (input: unknown): void => void Object.assign((input as { payload: object }).payload, { n: 666 })

test('what hooks, rules and tools write into the input changes neither what was approved nor the history', async () => {
  paid.length = 0
  const hook = defineHook({
    name: 'in-place',
    preToolUse: ({ input }) => write(input),
    postToolUse: ({ input }) => write(input),
    postModel: ({ calls }) => calls.forEach(({ input }) => write(input)),
  })
  const decide = async ({ input }: { input: unknown }): Promise<'ask'> => (write(input), 'ask')
  const run = await testAgent(agentOf({ hooks: [hook], permission: { mode: 'custom', decide } }), { script, approve: () => 'allow' })
  expect(paid).toEqual([{ n: 1 }])
  expect(run.calls).toMatchObject([{ state: 'completed', input: { payload: { n: 1 } } }])
  for (const part of [run.messages, run.requests.at(-1)?.messages]) {
    expect(JSON.stringify(part)).toContain('"payload":{"n":1}')
    expect(JSON.stringify(part)).not.toMatch(/:666|the tool wrote/)
  }
})

test('what hooks and rules write into the outcome, the usage or the metadata changes nothing that is stored, charged or told to others', async () => {
  const seen: unknown[] = []
  const give = defineTool({
    name: 'give',
    description: '',
    input: z.object({}),
    effect: 'once',
    run(_input, { metadata }) {
      seen.push(structuredClone(metadata))
      metadata['plan'] = 'the tool wrote'
      return { paid: 5 }
    },
  })
  const spoil = ({ metadata }: { metadata: Record<string, unknown> }): void => {
    seen.push(structuredClone(metadata))
    metadata['plan'] = 'free'
  }
  const hook = defineHook({
    name: 'in-place',
    preToolUse: (_call, context) => spoil(context),
    postToolUse: (_call, { output }) => void Object.assign(output.value as object, { paid: 10n }),
    postModel: ({ usage }) => void Object.assign(usage, { inputTokens: 0, outputTokens: 0 }),
  })
  const permission = {
    mode: 'custom' as const,
    decide: async (_call: unknown, context: { metadata: Record<string, unknown> }) => (spoil(context), 'allow' as const),
  }
  const instructions = (context: { metadata: Record<string, unknown> }): string => (spoil(context), '')
  const play = (change: Partial<AgentDefinition>) =>
    testAgent(agentOf({ tools: [give], ...change }), {
      script: [{ tools: [{ name: 'give' }] }, { text: 'end' }],
      metadata: { plan: 'paid' },
    })
  const spoiled = await play({ hooks: [hook], permission, instructions })
  expect(spoiled.calls).toMatchObject([{ state: 'completed', output: { value: { paid: 5 } } }])
  expect(new Set(seen.map((metadata) => JSON.stringify(metadata)))).toEqual(new Set(['{"plan":"paid"}']))
  const plainly = await play({})
  expect(spoiled.costMicros).toBe(plainly.costMicros)
  expect(spoiled.costMicros).toBeGreaterThan(0)
})

test('an input that a hook answers is used as it was then, as JSON', async () => {
  paid.length = 0
  const mine = { payload: { n: 7n as unknown, at: new Date(0) } }
  const change = defineHook({ name: 'change', preToolUse: () => ({ input: mine }) })
  const later = defineHook({ name: 'later', preToolUse: () => void (mine.payload.n = 666) })
  await testAgent(agentOf({ hooks: [change, later] }), { script })
  expect(paid).toEqual([{ n: '7', at: '1970-01-01T00:00:00.000Z' }])
})

test('a preModel hook that writes into the messages changes them by its answer alone', async () => {
  const edit = (answers: boolean): HookDefinition =>
    defineHook({
      name: `edit-${answers}`,
      preModel({ messages }) {
        for (const message of messages) Object.assign(message, { content: 'edited' })
        return answers ? { messages } : undefined
      },
    })
  const silent = await testAgent(agentOf({ hooks: [edit(false)] }), { script })
  expect(JSON.stringify(silent.requests)).not.toContain('edited')
  const said = await testAgent(agentOf({ hooks: [edit(true)] }), { script })
  expect(said.requests[0]?.messages).toMatchObject([{ content: 'edited' }])
  for (const { messages } of [silent, said]) expect(JSON.stringify(messages)).not.toContain('edited')
})

test('what an earlier preModel hook has put in reaches the next one, also where it has no copy', async () => {
  const image = { role: 'user' as const, content: [{ type: 'image' as const, image: new URL('https://example.com/a.png') }] }
  const seen: unknown[] = []
  const hooks = [
    defineHook({ name: 'put', preModel: ({ messages }) => ({ messages: [...messages, image] }) }),
    defineHook({ name: 'look', preModel: ({ messages }) => void seen.push(messages.length) }),
  ]
  const definition = agentOf({ hooks })
  // The script keeps copies of what it is asked, and a URL has none: only what the hooks saw is looked at.
  await testAgent(definition, { script: [{ text: 'end' }] }).catch(() => null)
  expect(seen).toEqual([2])
})

test.each([undefined, null, 7])(
  'instructions that give %s and no text end the run as hook_failed, before the model is asked',
  async (given) => {
    const run = await testAgent(agentOf({ instructions: (() => given) as never }), { script: [] })
    expect(run).toMatchObject({ state: 'failed', stopReason: 'hook_failed', requests: [] })
    expect(run.error?.message).toContain(`it gave ${given === null ? 'null' : typeof given} and no text`)
  },
)
