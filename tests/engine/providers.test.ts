import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { localTemplates } from '#local/scripted/extra'
import { booked, runOf, until } from '#tests/engine/helpers'
import { fake } from '#tests/fake-provider/script'
import { startFakeProvider, type FakeProvider } from '#tests/fake-provider/server'
import { startWorld, type World } from '#tests/world'

let provider: FakeProvider
let world: World
beforeAll(async () => {
  provider = await startFakeProvider()
  const key = { ANTHROPIC_API_KEY: 'test', OPENAI_API_KEY: 'test', OPENAI_COMPATIBLE_API_KEY: 'test' }
  const url = { ANTHROPIC_BASE_URL: provider.baseUrl, OPENAI_BASE_URL: provider.baseUrl, OPENAI_COMPATIBLE_BASE_URL: provider.baseUrl }
  const templates = [
    { id: 'claude', model: 'anthropic/claude-haiku-4-5' },
    { id: 'gpt', model: 'openai/gpt-5-mini' },
    { id: 'own', model: 'compatible/own' },
    { id: 'limited', model: 'anthropic/claude-opus-5' },
    { id: 'backed', model: 'anthropic/claude-sonnet-4-6', fallback: ['openai/gpt-4.1-mini'] },
    { id: 'narrow', model: 'anthropic/claude-sonnet-5', window: { maxTokens: 2_000 } },
    { id: 'brief', model: 'anthropic/claude-opus-5-5', window: { maxMessages: 4 } },
  ]
  world = await startWorld({
    real: ['models'],
    env: { ...key, ...url, ...localTemplates({ templates, prices: { 'compatible/own': { input: 1, output: 2 } } }) },
  })
})
afterAll(async () => {
  await world.close()
  await provider.close()
})

const wait = { prefer: 'wait=25' }
const anthropicBody = z.object({
  model: z.string(),
  system: z.array(z.looseObject({ text: z.string() })),
  messages: z.array(z.object({ role: z.string(), content: z.array(z.looseObject({ type: z.string() })) })),
})
/** The requests to the provider whose body names `mark`. */
function requests(mark: string): FakeProvider['requests'] {
  return provider.requests.filter(({ body }) => JSON.stringify(body).includes(mark))
}

test('basic answers through Anthropic: real cost by its price list, prompt caching in the request', async () => {
  const reply = await world.send('b1', fake({ text: 'Hello from Claude', usage: { input: 1_000, output: 10, cacheRead: 400 } }), {
    ...wait,
    template: 'basic',
  })
  expect(reply.status).toBe(200)
  // 1,000 at $2, 400 read from the cache at $0.10, 10 at $10 a million.
  expect(reply.body).toMatchObject({ output: 'Hello from Claude', costMicros: 2_140, usage: { inputTokens: 1_400, cacheReadTokens: 400 } })
  const body = anthropicBody.parse(requests('Hello from Claude')[0]?.body)
  expect(body.model).toBe('claude-sonnet-5-5')
  expect(body.system.at(-1)).toMatchObject({ cache_control: { type: 'ephemeral' } })
  expect(body.messages.at(-1)?.content.at(-1)).toMatchObject({ cache_control: { type: 'ephemeral' } })
  await booked(world, runOf(reply))
})

test.each([
  ['claude', '/v1/messages'],
  ['gpt', '/v1/responses'],
  ['own', '/v1/chat/completions'],
])('%s: a turn with a tool', async (template, path) => {
  const last = fake({ text: `${template} is done` })
  const reply = await world.send(`t-${template}`, fake({ tools: [{ name: 'echo', input: JSON.stringify({ value: last }) }] }), {
    ...wait,
    template,
  })
  expect(reply.body).toMatchObject({ status: 'done', output: `${template} is done` })
  expect((await world.messages(`t-${template}`)).map((row) => row.role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
  expect(requests(`${template} is done`).map((request) => request.path)).toEqual([path, path])
  // Ids are ours: the provider sees its own history under them.
  expect(JSON.stringify(requests(`${template} is done`)[1]?.body)).toMatch(/call_[0-9a-f]{32}/)
  await booked(world, runOf(reply))
})

test('A54: 401 fails at once, 500 after four tries; the caller is told which', async () => {
  const auth = await world.send(
    'e1',
    fake({ text: 'mark-401', error: { status: 401, body: { type: 'error', error: { type: 'authentication_error', message: 'no' } } } }),
    { ...wait, template: 'claude' },
  )
  expect([auth.status, auth.body['code'], requests('mark-401').length]).toEqual([502, 'provider_auth', 1])
  const down = await world.send(
    'e2',
    fake({ text: 'mark-500', error: { status: 500, body: { type: 'error', error: { type: 'api_error', message: 'no' } } } }),
    { ...wait, template: 'claude' },
  )
  expect([down.status, down.body['code'], requests('mark-500').length]).toEqual([502, 'provider_unavailable', 4])
  expect((await booked(world, runOf(down))).every((row) => row.cost === 0)).toBe(true)
})

test('a 429 with retry-after is handed over, and nobody asks again before', async () => {
  const limited = fake({ text: 'mark-429', error: { status: 429, body: {}, headers: { 'retry-after': '600' } } })
  const reply = await world.send('e3', limited, { ...wait, template: 'limited' })
  expect(reply.body).toMatchObject({ status: 'processing', run: { state: 'waiting' } })
  const other = await world.send('e4', fake({ text: 'mark-other' }), { ...wait, template: 'limited' })
  expect(other.body).toMatchObject({ run: { state: 'waiting' } })
  expect([requests('mark-429').length, requests('mark-other').length]).toEqual([1, 0])
  // It would only close the gate again.
  await world.http('POST', `/api/runs/${runOf(reply)}/cancel`)
  await world.advance(1_000_000)
  expect(await world.ended(runOf(other))).toMatchObject({ output: 'mark-other' })
})

test('a file that the provider does not fetch ends the run at once and for nothing: no retry, no other model, no request', async () => {
  const message = [
    { type: 'file', data: 'https://files.example.com/notes', mediaType: 'text/plain' },
    { type: 'text', text: fake({ text: 'mark-file' }) },
  ]
  const reply = await world.http('POST', '/api/agents/file/messages', { message, template: 'backed' }, wait)
  expect([reply.status, reply.body['code']]).toEqual([502, 'bad_request'])
  expect(await world.ended(runOf(reply))).toMatchObject({
    attempt: 0,
    costMicros: 0,
    error: { message: expect.stringContaining('data URL') },
  })
  expect(requests('mark-file')).toEqual([])
  await booked(world, runOf(reply))
})

test('a file that the provider refuses ends its run and not those after it: they are asked without it, and the history keeps it', async () => {
  const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
  const file = { type: 'file', data: `data:image/png;base64,${png}`, mediaType: 'image/png' }
  const picky = (text: string): string => fake({ text, refuses: png })
  const send = (message: unknown) => world.http('POST', '/api/agents/picky/messages', { message, template: 'claude' }, wait)
  const refused = await send([file, { type: 'text', text: picky('mark-refused') }])
  expect([refused.status, refused.body['code']]).toEqual([502, 'bad_request'])
  // A retry is asked with the file once more: the cause may be gone.
  const retried = await world.ended(runOf(await world.http('POST', `/api/runs/${runOf(refused)}/retry`)))
  expect([retried.stopReason, requests(png).length]).toEqual(['bad_request', 2])
  expect((await send(picky('mark-after'))).body).toMatchObject({ status: 'done', output: 'mark-after' })
  expect(JSON.stringify(requests('mark-after')[0]?.body)).toContain('A file of the type image/png was left out')
  expect(JSON.stringify(await world.messages('picky'))).toContain(png)
})

test('when one provider refuses its key the other answers', async () => {
  // Both play the same prompt, so the second fails too: what counts is that it was asked, in its own dialect.
  const reply = await world.send('e5', fake({ text: 'mark-both', error: { status: 401, body: {} } }), { ...wait, template: 'backed' })
  expect(reply.body['code']).toBe('provider_auth')
  expect(requests('mark-both').map((request) => request.path)).toEqual(['/v1/messages', '/v1/responses'])
})

test('content that the provider refuses ends as content_filtered', async () => {
  const reply = await world.send('e6', fake({ text: 'no', finish: 'content_filter' }), { ...wait, template: 'claude' })
  expect([reply.status, reply.body['code']]).toEqual([422, 'content_filtered'])
})

test('a stream that breaks is repeated', async () => {
  const reply = await world.send('e7', fake({ text: 'mark cut here', cutAfter: 1 }), { ...wait, template: 'claude' })
  expect([reply.status, reply.body['code'], requests('mark cut here').length]).toEqual([502, 'provider_unavailable', 4])
  for (const row of await booked(world, runOf(reply))) expect(row).toMatchObject({ state: 'estimated', cost: row.micros })
})

test("Anthropic's plain 400 for a prompt that is too long moves the window once", async () => {
  await world.send('w1', `earlier ${'x'.repeat(2_000)}`, { ...wait, template: 'narrow' })
  const tooLong = { type: 'error', error: { type: 'invalid_request_error', message: 'prompt is too long' } }
  const reply = await world.send('w1', fake({ text: `mark-long ${'y'.repeat(2_500)}`, error: { status: 400, body: tooLong } }), {
    ...wait,
    template: 'narrow',
  })
  expect([reply.status, reply.body['code']]).toEqual([422, 'context_too_long'])
  const sent = requests('mark-long').map(({ body }) => anthropicBody.parse(body).messages.length)
  expect(sent).toEqual([3, 1])
})

test('a message that is steered in after the next call was reserved makes it reserve anew', async () => {
  const gate = world.gate()
  const first = await world.send('s1', fake({ tools: [{ name: 'wait', input: JSON.stringify({ ms: 0, gate: gate.file }) }] }), {
    prefer: 'respond-async',
    template: 'claude',
  })
  await until('the tool runs', async () => (await world.effects({ runId: runOf(first) })).some((line) => line.name === 'wait'))
  await world.send('s1', fake({ text: `steered ${'z'.repeat(6_000)}` }), { prefer: 'respond-async', onBusy: 'steer', template: 'claude' })
  await gate.open()
  expect((await world.ended(runOf(first))).output).toContain('steered')
  const rows = await booked(world, runOf(first))
  expect(rows.map((row) => row.cost > 0)).toEqual([true, false, true])
  expect(rows[2]?.micros).toBeGreaterThan((rows[1]?.micros ?? 0) + 1_500)
})

test('the model sees the window and no more', async () => {
  for (let turn = 1; turn <= 4; turn++) await world.send('w2', fake({ text: `answer-${turn}` }), { ...wait, template: 'brief' })
  const sent = provider.requests
    .filter(({ body }) => JSON.stringify(body).includes('claude-opus-5-5'))
    .map(({ body }) => anthropicBody.parse(body))
  expect(sent.map((body) => body.messages.length)).toEqual([1, 3, 1, 3])
  expect(sent.every((body) => body.messages[0]?.role === 'user')).toBe(true)
})
