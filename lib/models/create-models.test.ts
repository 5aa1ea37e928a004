import type { ModelMessage } from 'ai'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '#lib/core/define'
import { createModels } from '#lib/models/create-models'
import { priceOf } from '#lib/models/registry'
import { providers } from '#lib/providers'
import { openaiError, providerWorld, requestFor, silent } from '#tests/fake-provider/world'

const world = providerWorld()

test('Anthropic: reasoning keeps its signature and is sent back with it', async () => {
  const { answer, deltas } = await world.play('anthropic/claude-haiku-5-5', { reasoning: 'hm hm', text: 'yes' })
  expect(answer).toMatchObject({ reasoning: 'hm hm', text: 'yes' })
  expect(answer.content[0]).toMatchObject({ type: 'reasoning', text: 'hm hm', providerOptions: { anthropic: { signature: 'signed' } } })
  expect(deltas.map((delta) => [delta.kind, delta.part])).toEqual([
    ['reasoning', 0],
    ['reasoning', 0],
    ['text', 1],
  ])
  const models = world.models()
  const messages: ModelMessage[] = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: answer.content },
    { role: 'user', content: 'go on' },
  ]
  await models.call(requestFor('anthropic/claude-haiku-5-5', messages), () => {}, new AbortController().signal)
  expect(JSON.stringify(world.lastRequest()?.body)).toContain('"signature":"signed"')
})

test('Anthropic: instructions and the message are marked for the cache; cache writes are counted', async () => {
  const { answer } = await world.play('anthropic/claude-haiku-5-5', {
    text: 'x',
    usage: { input: 3, output: 1, cacheRead: 20, cacheWrite: 100 },
  })
  expect(answer.usage).toMatchObject({ inputTokens: 123, cacheReadTokens: 20, cacheWriteTokens: 100 })
  const body = JSON.stringify(world.lastRequest()?.body)
  expect(body.match(/"cache_control":\{"type":"ephemeral"\}/g)).toHaveLength(2)
})

test("Anthropic: the marks stand on the instructions and on the last two messages that are not the model's", async () => {
  const models = world.models()
  const result = { type: 'tool-result' as const, toolCallId: 'c', toolName: 'weather', output: { type: 'text' as const, value: 'sunny' } }
  const messages: ModelMessage[] = [
    { role: 'user', content: 'first' },
    { role: 'assistant', content: 'a' },
    { role: 'user', content: 'second' },
    { role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'c', toolName: 'weather', input: { city: 'Rome' } }] },
    { role: 'tool', content: [result] },
  ]
  await models.call(requestFor('anthropic/claude-haiku-5-5', messages), () => {}, new AbortController().signal)
  const sent = z.object({ system: z.array(z.unknown()), messages: z.array(z.unknown()) }).parse(world.lastRequest()?.body)
  const isMarked = (part: unknown): boolean => JSON.stringify(part).includes('"cache_control"')
  expect(sent.system.map(isMarked)).toEqual([true])
  expect(sent.messages.map(isMarked)).toEqual([false, false, true, false, true])
  expect(JSON.stringify(messages)).not.toContain('cacheControl')
})

test('what a provider says beside its answer tells silent thinking from a dead connection', async () => {
  // Whoever stops this process stops guard and pings alike, and the guard would wake first: hence seconds.
  const timeouts = { firstChunkMs: 6_000, chunkMs: 6_000 }
  const play = (model: string) => world.play(model, { text: 'at last', pings: { count: 8, everyMs: 900 } }, { timeouts })
  const played = await Promise.all(['anthropic/claude-haiku-5-5', 'openai/gpt-5.4-mini'].map(play))
  expect(played.map(({ answer }) => answer.text)).toEqual(['at last', 'at last'])
})

test.each([
  ['anthropic/claude-haiku-5-5', {}, false],
  ['anthropic/claude-haiku-5-5', { openai: { itemId: 'msg_1' } }, false],
  ['openai/gpt-5.4-mini', { openai: { itemId: 'msg_1' } }, true],
])('%s: blank text beside a call, kept for %o, is sent: %s', async (model, providerOptions, isSent) => {
  const blank = { type: 'text' as const, text: '\n \n', providerOptions }
  const called = { type: 'tool-call' as const, toolCallId: 'c', toolName: 'weather', input: { city: 'Rome' } }
  const result = { type: 'tool-result' as const, toolCallId: 'c', toolName: 'weather', output: { type: 'text' as const, value: 'sunny' } }
  const messages: ModelMessage[] = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: [blank, called] },
    { role: 'tool', content: [result] },
  ]
  await world.models().call(requestFor(model, messages), () => {}, new AbortController().signal)
  const body = JSON.stringify(world.lastRequest()?.body)
  expect(body.includes('\\n \\n')).toBe(isSent)
  expect(body).toContain('Rome')
})

test('OpenAI stores nothing, so that a conversation may outlive what it keeps', async () => {
  await world.play('openai/gpt-5.4-mini', { text: 'x' })
  expect(world.lastRequest()).toMatchObject({ path: '/v1/responses', body: { store: false } })
})

test('through the gateway prompts are marked for the cache of Anthropic, and OpenAI stores nothing', async () => {
  await world.play('gateway/anthropic/claude-haiku-5.5', { text: 'x' })
  const body = z.object({ prompt: z.array(z.unknown()), providerOptions: z.unknown() }).parse(world.lastRequest()?.body)
  expect(JSON.stringify(body.prompt).match(/"cacheControl":\{"type":"ephemeral"\}/g)).toHaveLength(2)
  expect(body.providerOptions).toMatchObject({ openai: { store: false } })
})

test('a compatible provider is asked for its usage, which it tells in a stream only then', async () => {
  await world.play('compatible/llama', { text: 'x' })
  expect(world.lastRequest()).toMatchObject({ body: { stream: true, stream_options: { include_usage: true } } })
})

test('a template says more than its provider: its options go before those of lib/providers.ts, and beside them', async () => {
  const model = 'openai/gpt-5.4-mini'
  const providerOptions = { openai: { store: true, user: 'a' } }
  const definition = defineAgent({ id: 't', model, instructions: '', settings: { providerOptions } })
  const { answer } = await world.play(model, { text: 'x' }, { definition })
  expect(world.lastRequest()).toMatchObject({ body: { store: true, user: 'a' } })
  // Who has answered is what the provider says, not what was asked for.
  expect(answer).toMatchObject({ provider: 'openai', model: 'fake-model-1' })
})

test('OpenAI: codes that say more than the status', async () => {
  const model = 'openai/gpt-5.4-mini'
  const code = async (status: number, word: string) =>
    (await world.failure(model, { error: { status, body: openaiError('invalid_request_error', word) } })).code
  expect(await code(400, 'context_length_exceeded')).toBe('context_too_long')
  expect(await code(400, 'content_policy_violation')).toBe('content_filtered')
  expect(await code(429, 'insufficient_quota')).toBe('provider_quota')
})

test('a usage that the provider does not give is estimated, never zero', async () => {
  const { answer } = await world.play('compatible/llama', { text: 'one two three', usage: null })
  expect(answer.usage.inputTokens).toBeGreaterThan(0)
  expect(answer.usage.outputTokens).toBeGreaterThan(0)
})

test('a setting of the template reaches the provider', async () => {
  const definition = defineAgent({
    id: 't',
    model: 'compatible/llama',
    instructions: '',
    settings: { temperature: 0.25, providerOptions: { compatible: { reasoningEffort: 'low' } } },
  })
  await world.play('compatible/llama', { text: 'x' }, { definition, instructions: '', tools: [] })
  const body = world.lastRequest()?.body
  expect(body).toMatchObject({ temperature: 0.25, max_tokens: 500, reasoning_effort: 'low' })
  expect(JSON.stringify(body)).not.toContain('system')
})

test('what a call may use at most counts its tools, for they are sent with it', () => {
  const request = requestFor('compatible/llama', [{ role: 'user', content: 'x' }])
  const [tool] = request.tools
  const without = defineAgent({ id: 't', model: 'compatible/llama', instructions: 'Be brief.' })
  const { estimate } = world.models()
  const sent = Math.ceil(
    JSON.stringify({ name: tool?.name, description: tool?.description, schema: z.toJSONSchema(z.object({})) }).length / 3,
  )
  expect(estimate(request).inputTokens - estimate({ ...request, definition: without }).inputTokens).toBeGreaterThan(sent)
})

test('a tool that no model can be told of is no failure of the provider, which is not asked', async () => {
  const model = 'compatible/llama'
  await world.play(model, { text: 'before' })
  const before = world.lastRequest()
  const broken = { name: 'broken', description: '', input: z.object({ on: z.date() }), effect: 'pure' as const, run: () => 'ok' }
  const error = await world.failure(model, { text: 'never' }, { tools: [broken] })
  expect(error).toMatchObject({ code: 'bad_request', unsent: true, status: null })
  expect(error.message).toContain('compatible/llama was not asked: tool broken: input at on: no JSON is a date')
  expect(world.lastRequest()).toBe(before)
})

test('text is counted by its bytes whatever it says it is: only a picture of a user costs what pictures cost', () => {
  const { estimate } = world.models()
  const tokensOf = (message: ModelMessage): number => {
    const one = requestFor('compatible/llama', [message])
    return estimate(one).inputTokens - estimate({ ...one, messages: [] }).inputTokens
  }
  const text = 'x'.repeat(60_000)
  const called = { toolCallId: 'c', toolName: 'weather' }
  const disguises = [
    { type: 'image', data: text },
    { type: 'file', mediaType: 'image/png', data: text },
    [{ nested: { type: 'image', all: [text] } }],
  ]
  for (const value of disguises) {
    const input = { role: 'assistant' as const, content: [{ type: 'tool-call' as const, ...called, input: value }] }
    const output = { type: 'json' as const, value }
    expect(tokensOf(input)).toBeGreaterThan(20_000)
    expect(tokensOf({ role: 'tool', content: [{ type: 'tool-result', ...called, output }] })).toBeGreaterThan(20_000)
  }
  // What a data URL says of itself goes to the provider, not what stands beside it.
  const pages = `data:application/pdf;base64,${text}`
  expect(tokensOf({ role: 'user', content: [{ type: 'file', mediaType: 'image/png', data: pages }] })).toBeGreaterThan(20_000)
  expect(tokensOf({ role: 'user', content: [{ type: 'image', image: pages }] })).toBeGreaterThan(20_000)

  const picture = `data:image/png;base64,${text}`
  const pictures: ModelMessage = {
    role: 'user',
    content: [
      { type: 'image', image: picture },
      { type: 'file', mediaType: 'image/png', data: picture },
      { type: 'file', mediaType: 'image/png', data: 'https://files.example.com/a' },
    ],
  }
  expect(tokensOf(pictures)).toBeGreaterThan(15_000)
  expect(tokensOf(pictures)).toBeLessThan(16_000)
})

test('a missing key names the variable to set, an unknown provider its registry', async () => {
  const models = createModels({ providers, env: () => undefined, log: silent })
  const call = (model: string) => models.call(requestFor(model, []), () => {}, new AbortController().signal)
  await expect(call('anthropic/x')).rejects.toMatchObject({ code: 'provider_auth', message: expect.stringContaining('ANTHROPIC_API_KEY') })
  await expect(call('compatible/x')).rejects.toMatchObject({ message: expect.stringContaining('OPENAI_COMPATIBLE_BASE_URL') })
  await expect(call('nobody/x')).rejects.toMatchObject({ code: 'model_not_found' })
  await expect(call('constructor/x')).rejects.toMatchObject({ code: 'model_not_found' })
})

test('nobody listening is unavailable', async () => {
  const models = createModels({ providers, env: (name) => (name.endsWith('BASE_URL') ? 'http://127.0.0.1:9/v1' : 'key'), log: silent })
  const calling = models.call(requestFor('openai/x', [{ role: 'user', content: 'x' }]), () => {}, new AbortController().signal)
  await expect(calling).rejects.toMatchObject({ code: 'provider_unavailable' })
})

test('prices: exact, dated, unknown', () => {
  expect(priceOf(providers, 'anthropic/claude-haiku-4-5')?.inputMicrosPerMillion).toBe(1_000_000)
  expect(priceOf(providers, 'anthropic/claude-haiku-4-5-20251001')).toEqual(priceOf(providers, 'anthropic/claude-haiku-4-5'))
  expect(priceOf(providers, 'openai/gpt-5.4-2026-03-05')?.outputMicrosPerMillion).toBe(15_000_000)
  expect(priceOf(providers, 'gateway/anthropic/claude-haiku-5.5')).toEqual(priceOf(providers, 'anthropic/claude-haiku-5-5'))
  expect(priceOf(providers, 'anthropic/claude-9')).toBeNull()
  expect(priceOf(providers, 'toString/valueOf')).toBeNull()
})

test('no price has lost a digit: reading a cache costs less than a token that comes anew, writing one not less, an answer most', () => {
  for (const { prices } of Object.values(providers))
    for (const [model, { longPrompt, ...usual }] of Object.entries(prices))
      for (const price of [usual, ...(longPrompt === undefined ? [] : [longPrompt])]) {
        const { inputMicrosPerMillion: input, outputMicrosPerMillion: output } = price
        const { cacheReadMicrosPerMillion: read = input, cacheWriteMicrosPerMillion: write = input } = price
        expect([read, input, write, output], model).toEqual([read, input, write, output].toSorted((one, other) => one - other))
        // Nobody asks less for a long prompt.
        expect(input, model).toBeGreaterThanOrEqual(usual.inputMicrosPerMillion)
      }
})
