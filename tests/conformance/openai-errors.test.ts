import { APIError, type OpenAI } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, startGuarded, tokenOf } from '#tests/access/kit'
import { script, type World } from '#tests/world'
import { clientOf, openaiOf, runOf } from './openai-kit.ts'

let world: World
let openai: OpenAI
beforeAll(async () => {
  world = await startGuarded()
  openai = await openaiOf(world)
})
afterAll(() => world.close())

const model = 'scripted'
type Refusal = Pick<APIError, 'status' | 'code' | 'param' | 'type' | 'message'>

async function refused(asked: Promise<unknown>): Promise<Refusal> {
  const error: unknown = await asked.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof APIError)) throw new Error(`not refused in OpenAI's shape: ${String(error)}`)
  expect(error.headers?.get('content-type')).toContain('application/json')
  expect(error.requestID).toBeTruthy()
  return error
}

/** The body as it is, for what the client's types do not allow. */
const post = (body: object, client = openai) => client.post('/responses', { body })
const runs = async (): Promise<number> => (await world.sql('select from baton.runs')).length

describe('a request that is wrong starts nothing and names its field', () => {
  const unsupported: [string, unknown][] = [
    ['instructions', 'Be brief.'],
    ['temperature', 0.3],
    ['top_p', 1],
    ['tools', [{ type: 'function', name: 'f', parameters: {} }]],
    ['tool_choice', 'auto'],
    ['max_output_tokens', 10],
    ['reasoning', { effort: 'low' }],
    ['text', { format: { type: 'json_object' } }],
    ['truncation', 'auto'],
    ['include', ['reasoning.encrypted_content']],
    ['parallel_tool_calls', false],
    ['user', 'somebody'],
    ['prompt', { id: 'pmpt_1' }],
    ['store', false],
    ['stream_options', {}],
    ['constructor', 1],
    ['nonsense', 1],
  ]
  test.each(unsupported)('%s is unsupported', async (field, value) => {
    const before = await runs()
    expect(await refused(post({ model, input: 'hi', [field]: value }))).toMatchObject({
      status: 400,
      code: 'unsupported_parameter',
      param: field,
      type: 'invalid_request_error',
      message: expect.stringContaining(field),
    })
    expect(await runs()).toBe(before)
  })

  const wrong: [string, object, string, string][] = [
    ['no input', { model }, 'input', 'missing_required_parameter'],
    ['an empty input', { model, input: '' }, 'input', 'invalid_value'],
    ['no model', { input: 'hi' }, 'model', 'missing_required_parameter'],
    ['a role that is not the user', { model, input: [{ role: 'system', content: 'x' }] }, 'input[0].role', 'invalid_value'],
    [
      'a result of a tool',
      { model, input: [{ type: 'function_call_output', call_id: 'c', output: 'x' }] },
      'input[0].type',
      'invalid_value',
    ],
    [
      'a picture by http',
      { model, input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'http://a.example/x.png' }] }] },
      'input[0].content[0].image_url',
      'invalid_value',
    ],
    [
      'a detail',
      { model, input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'https://a.example/x.png', detail: 'high' }] }] },
      'input[0].content[0].detail',
      'invalid_value',
    ],
    [
      'a file',
      { model, input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] },
      'input[0].content[0].type',
      'invalid_value',
    ],
    ['a long value of metadata', { model, input: 'x', metadata: { a: 'x'.repeat(513) } }, 'metadata.a', 'invalid_value'],
    [
      'too many pairs of metadata',
      { model, input: 'x', metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, 'v'])) },
      'metadata',
      'invalid_value',
    ],
    ['a number in metadata', { model, input: 'x', metadata: { a: 1 } }, 'metadata.a', 'invalid_value'],
    [
      'both a conversation and a response',
      { model, input: 'x', conversation: 'c', previous_response_id: 'r' },
      'conversation',
      'invalid_value',
    ],
    ['a conversation of a bad name', { model, input: 'x', conversation: 'a b' }, 'conversation', 'invalid_value'],
  ]
  test.each(wrong)('%s', async (_what, body, param, code) => {
    const before = await runs()
    expect(await refused(post(body))).toMatchObject({ status: 400, param, code, type: 'invalid_request_error' })
    expect(await runs()).toBe(before)
  })

  test('a model that does not exist, and the model of another conversation', async () => {
    expect(await refused(openai.responses.create({ model: 'gpt-99', input: 'hi' }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    })
    const first = await openai.responses.create({ model, input: 'hi' })
    const other = openai.responses.create({ model: 'basic', input: 'hi', previous_response_id: first.id })
    expect(await refused(other)).toMatchObject({ status: 409, code: 'conflict' })
    expect((await openai.responses.create({ input: 'hi', previous_response_id: first.id })).model).toBe(model)
  })

  test('pictures that are too large, and bodies', async () => {
    const picture = (bytes: number) => ({
      model,
      input: [
        { role: 'user' as const, content: [{ type: 'input_image' as const, image_url: `data:image/png;base64,${'A'.repeat(bytes)}` }] },
      ],
    })
    expect(await refused(post(picture(300_000)))).toMatchObject({ status: 413, code: 'body_too_large', param: 'input' })
    expect(await refused(post(picture(1_200_000)))).toMatchObject({ status: 413, code: 'body_too_large' })
  })

  test('no JSON, another method, another address', async () => {
    const raw = await world.http('POST', '/v1/responses', '{"model":', bearer(openai.apiKey ?? ''))
    expect(raw).toMatchObject({ status: 400, body: { error: { type: 'invalid_request_error', code: 'malformed_json' } } })
    expect(await refused(openai.delete('/responses'))).toMatchObject({ status: 405, code: 'method_not_allowed' })
    expect(await refused(openai.models.list().then(() => null))).toMatchObject({ status: 404, code: 'not_found' })
    expect(await refused(openai.chat.completions.create({ model, messages: [] }))).toMatchObject({ status: 404, code: 'not_found' })
  })
})

describe('who may not, and what is not theirs', () => {
  test('a key that is not valid, and one that may not', async () => {
    expect(await refused(clientOf(world, 'bt_nonsense').responses.create({ model, input: 'x' }))).toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    })
    const reader = await openaiOf(world, ['agents:read'])
    expect(await refused(reader.responses.create({ model, input: 'x' }))).toMatchObject({ status: 403, code: 'forbidden' })
    const sender = await openaiOf(world, ['agents:run'])
    const sent = await sender.responses.create({ model, input: 'x', conversation: 'senders' })
    expect(sent.output_text).toBe('You said: x')
    expect(await refused(sender.responses.retrieve(sent.id))).toMatchObject({ status: 403 })
    expect(await sender.responses.cancel(sent.id)).toMatchObject({ status: 'completed' })
  })

  test('ids that are unknown, malformed or of somebody else are not found, for each call', async () => {
    const owner = clientOf(world, await tokenOf(world, '11111111-1111-4111-8111-111111111111'))
    const own = await owner.responses.create({ model, input: 'mine', metadata: { a: 'b' } })
    expect((await owner.responses.retrieve(own.id)).output_text).toBe('You said: mine')
    const stranger = clientOf(world, await tokenOf(world, '22222222-2222-4222-8222-222222222222'))
    for (const id of [own.id, `resp_${'0'.repeat(32)}`, 'resp_x', runOf(own.id), '%2e%2e']) {
      const gone = { status: 404, code: 'response_not_found', param: 'response_id', type: 'invalid_request_error' }
      expect(await refused(stranger.responses.retrieve(id))).toMatchObject(gone)
      expect(await refused(stranger.responses.retrieve(id, { stream: true }))).toMatchObject(gone)
      expect(await refused(stranger.responses.cancel(id))).toMatchObject(gone)
      expect(await refused(stranger.responses.create({ model, input: 'x', previous_response_id: id }))).toMatchObject({
        status: 404,
        code: 'previous_response_not_found',
        param: 'previous_response_id',
      })
    }
    // A name is nobody's property: the stranger's conversation of this name is another one, or refused; never the owner's.
    const agent = String(own.conversation?.id)
    const same = await stranger.responses.create({ model, input: 'x', conversation: agent }).catch((error: unknown) => error)
    if (same instanceof APIError) expect(same.status).toBeGreaterThanOrEqual(400)
    expect(await world.sql('select from baton.messages m join baton.agents a using (agent_uid) where a.id = $1', [agent])).toHaveLength(2)
    expect(await refused(owner.responses.create({ model: 'hooked', input: 'x' }))).toMatchObject({ status: 403 })
  })

  test('places in a stream that were never given out', async () => {
    const { id } = await openai.responses.create({ model, input: script({ text: 'abc', tools: [{ name: 'echo', input: { value: 1 } }] }) })
    const beyond = [7, 2 ** 20 * 999, Number.MAX_SAFE_INTEGER, 2 ** 20 + 900, 2 ** 20 * 2 + 1_025 + 40]
    for (const starting_after of beyond) {
      expect(await refused(openai.responses.retrieve(id, { stream: true, starting_after }))).toMatchObject({
        status: 400,
        code: 'invalid_starting_after',
        param: 'starting_after',
      })
    }
    for (const value of ['-1', '1.5', 'x', '99999999999999999']) {
      expect(await refused(openai.get(`/responses/${id}?stream=true&starting_after=${value}`))).toMatchObject({
        status: 400,
        code: 'invalid_value',
        param: 'starting_after',
      })
    }
    expect(await refused(openai.get(`/responses/${id}?starting_after=0`))).toMatchObject({ status: 400, param: 'starting_after' })
    expect(await refused(openai.responses.retrieve(id, { include: ['reasoning.encrypted_content'] }))).toMatchObject({
      status: 400,
      code: 'unsupported_parameter',
    })
  })
})

describe('what stops a run', () => {
  test('a provider that fails: an error to who waits, a failed response to who reads or streams', async () => {
    const input = script({ error: { status: 401, times: 9 } })
    const error = await refused(openai.responses.create({ model, input }))
    expect(error).toMatchObject({ status: 502, type: 'server_error', code: 'provider_auth' })
    const id = String((error as unknown as { error: { response_id: string } }).error.response_id)
    expect(await openai.responses.retrieve(id)).toMatchObject({ status: 'failed', error: { code: 'provider_auth' }, output: [] })
    const final = await openai.responses.stream({ model, input }).finalResponse()
    expect(final).toMatchObject({ status: 'failed', error: { code: 'provider_auth' } })
  })

  test('a kill switch is 423, a budget 402, a rate 429 with when to come again', async () => {
    const admin = bearer(adminKey)
    const made = await makeKey(world, ['agents:read', 'agents:run'])
    const client = clientOf(world, made.key)
    const scope = encodeURIComponent(`key:${made.id}`)
    const ask = () => client.responses.create({ model, input: script({ text: 'x', usage: { input: 1_000, output: 1_000 } }) })

    await world.http('PUT', `/api/budgets/${scope}`, { period: 'day', limitMicros: 1 }, admin)
    expect(await refused(ask())).toMatchObject({ status: 402, type: 'insufficient_quota', code: 'budget_exceeded' })
    await world.http('DELETE', `/api/budgets/${scope}`, undefined, admin)

    await world.http('POST', '/api/kill', { scope: `key:${made.id}`, mode: 'kill', reason: 'a test' }, admin)
    expect(await refused(ask())).toMatchObject({ status: 423, code: 'killed', type: 'invalid_request_error' })
    await world.http('DELETE', `/api/kill/${scope}`, undefined, admin)

    await world.http('PUT', `/api/limits/${scope}`, { messagesPerMinute: 1 }, admin)
    const answers = await Promise.allSettled([ask(), ask(), ask()])
    const limited: unknown = answers.find((answer) => answer.status === 'rejected')?.reason
    expect(limited).toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' })
    expect(limited instanceof APIError ? limited.headers?.get('retry-after') : null).toMatch(/^\d+$/)
  })
})
