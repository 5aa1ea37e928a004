import { describe, expect, test } from 'vitest'
import type { ProviderCode } from '#lib/core/errors'
import { anthropicError, openaiError, providerWorld, requestFor } from '#tests/fake-provider/world'

const world = providerWorld()

/** Each provider that is registered: openai speaks responses, compatible chat completions. */
const cases = [
  { model: 'anthropic/claude-haiku-5-5', problem: anthropicError },
  { model: 'openai/gpt-5.4-mini', problem: (type: string) => openaiError(type, null) },
  { model: 'compatible/llama', problem: (type: string) => openaiError(type, null) },
  { model: 'gateway/anthropic/claude-haiku-5.5', problem: (type: string) => openaiError(type, null) },
]

describe.each(cases)('$model', ({ model, problem }) => {
  test('text is streamed and comes whole, with its usage', async () => {
    const { answer, deltas } = await world.play(model, { text: 'one two three', usage: { input: 100, output: 7, cacheRead: 40 } })
    expect(deltas.map((delta) => delta.text)).toEqual(['one ', 'two ', 'three'])
    expect(deltas.every((delta) => delta.kind === 'text' && delta.part === 0)).toBe(true)
    expect(answer).toMatchObject({ text: 'one two three', reasoning: '', finish: 'stop', calls: [] })
    expect(answer.content).toMatchObject([{ type: 'text', text: 'one two three' }])
    // Anthropic counts cached tokens beside the input, the others inside it.
    expect(answer.usage).toMatchObject({ inputTokens: model.startsWith('anthropic') ? 140 : 100, outputTokens: 7, cacheReadTokens: 40 })
  })

  test('a tool call is handed over as the model wrote it, and not executed', async () => {
    const { answer } = await world.play(model, { text: 'let me see', tools: [{ name: 'weather', input: '{"city":"Rome","days":"2"}' }] })
    expect(answer.finish).toBe('tool-calls')
    expect(answer.calls).toEqual([{ providerCallId: 'tool_0', name: 'weather', input: { city: 'Rome', days: '2' }, problem: null }])
    expect(answer.content).toMatchObject([
      { type: 'text' },
      { type: 'tool-call', toolCallId: 'tool_0', toolName: 'weather', input: { city: 'Rome', days: '2' } },
    ])
  })

  test('bad arguments and unknown tools are problems, not errors', async () => {
    const tools = [
      { name: 'weather', input: '{"city":7}' },
      { name: 'rocket', input: '{}' },
    ]
    const { answer } = await world.play(model, { tools })
    expect(answer.calls.map((call) => call.problem?.errorType)).toEqual(['validation', 'unknown_tool'])
    expect(answer.calls[0]?.problem?.message).toContain('city')
    expect(answer.calls[1]?.problem?.message).toContain('weather')
  })

  test('arguments that are no JSON are a problem, and the history keeps an object', async () => {
    const { answer } = await world.play(model, { tools: [{ name: 'weather', input: '{"city":' }] })
    expect(answer.calls).toMatchObject([{ problem: { errorType: 'validation' } }])
    expect(answer.content).toMatchObject([{ type: 'tool-call', input: {} }])
  })

  test('an answer cut by length has no tool calls', async () => {
    const { answer } = await world.play(model, { text: 'so', finish: 'length', tools: [{ name: 'weather', input: '{"city":"Rome"}' }] })
    expect(answer).toMatchObject({ finish: 'length', calls: [], text: 'so' })
    expect(answer.content).toHaveLength(1)
  })

  test('filtered content is a finish', async () => {
    const tools = [{ name: 'weather', input: '{"city":"Rome"}' }]
    const { answer } = await world.play(model, { text: 'no', finish: 'content_filter', tools })
    // What was asked for before the filter spoke is not done.
    expect(answer).toMatchObject({ finish: 'content-filter', calls: [] })
  })

  test.each<[number, string, ProviderCode]>([
    [400, 'invalid_request_error', 'bad_request'],
    [401, 'authentication_error', 'provider_auth'],
    [402, 'billing_error', 'provider_quota'],
    [404, 'model_not_found', 'model_not_found'],
    [413, 'request_too_large', 'context_too_long'],
    [429, 'rate_limit_error', 'provider_rate_limited'],
    [429, 'insufficient_quota', 'provider_quota'],
    [500, 'api_error', 'provider_unavailable'],
    [529, 'overloaded_error', 'provider_unavailable'],
  ])('status %i with type %s is %s', async (status, type, code) => {
    const error = await world.failure(model, { error: { status, body: problem(type) } })
    expect(error).toMatchObject({ code, status })
  })

  test('a 429 says how long to wait', async () => {
    const error = await world.failure(model, { error: { status: 429, body: problem('rate_limit_error'), headers: { 'retry-after': '7' } } })
    expect(error).toMatchObject({ code: 'provider_rate_limited', retryAfterMs: 7_000 })
  })

  test('an error without a document is told by its status', async () => {
    expect(await world.failure(model, { error: { status: 503, body: '<html>insufficient_quota</html>' } })).toMatchObject({
      code: 'provider_unavailable',
    })
  })

  test('a connection that breaks in the answer is unavailable', async () => {
    expect(await world.failure(model, { text: 'one two three', cutAfter: 2 })).toMatchObject({ code: 'provider_unavailable' })
  })

  test('a stream that ends politely without a finish is unavailable', async () => {
    const error = await world.failure(model, { text: 'one two three', endAfter: 2, usage: null })
    expect(error.code).toBe('provider_unavailable')
  })

  test('an error inside the stream is told by its type', async () => {
    expect(await world.failure(model, { text: 'one two', streamError: 'overloaded_error' })).toMatchObject({ code: 'provider_unavailable' })
    expect(await world.failure(model, { text: 'one two', streamError: 'rate_limit_error' })).toMatchObject({
      code: 'provider_rate_limited',
    })
  })

  test('a provider that never answers is timed out', async () => {
    const error = await world.failure(model, { hang: 'headers' }, { timeouts: { firstChunkMs: 80, chunkMs: 5_000 } })
    expect(error).toMatchObject({ code: 'provider_timeout', message: expect.stringContaining('no answer for 80 ms') })
  })

  test('a provider that falls silent is timed out', async () => {
    const error = await world.failure(model, { text: 'one two', hang: 'stream' }, { timeouts: { firstChunkMs: 5_000, chunkMs: 80 } })
    expect(error).toMatchObject({ code: 'provider_timeout', message: expect.stringContaining('nothing more for 80 ms') })
  })

  test('an abort rejects with its reason', async () => {
    const controller = new AbortController()
    const reason = new Error('lease lost')
    const calling = world.play(model, { text: 'one two', hang: 'stream' }, {}, controller.signal)
    setTimeout(() => controller.abort(reason), 50)
    await expect(calling).rejects.toBe(reason)
    await expect(world.play(model, { text: 'x' }, {}, AbortSignal.abort(reason))).rejects.toBe(reason)
  })

  test('the estimate covers what is sent', () => {
    const models = world.models()
    const request = requestFor(model, [{ role: 'user', content: 'x'.repeat(3_000) }])
    expect(models.estimate(request).inputTokens).toBeGreaterThan(1_000)
    expect(models.estimate(request).outputTokens).toBe(500)
  })
})
