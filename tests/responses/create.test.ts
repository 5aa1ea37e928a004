import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '#tests/engine/helpers'
import { create, errorOf, model, outputText, retrieve, runOf } from '#tests/responses/kit'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  // Longer than a request of these tests may take: nothing is answered because the function's time is over.
  world = await startWorld({ env: { BATON_MAX_DURATION_MS: '300000' } })
})
afterAll(() => world.close())

const runs = async (): Promise<number> => (await world.sql('select from baton.runs')).length

test('a text, with what it used and what it was given; read again it is the same', async () => {
  const input = script({ text: 'Good day', usage: { input: 12, output: 3 } })
  const reply = await create(world, { input, metadata: { order: '17' } })
  expect(reply).toMatchObject({
    status: 200,
    body: {
      id: expect.stringMatching(/^resp_[0-9a-f]{32}$/),
      object: 'response',
      status: 'completed',
      model,
      metadata: { order: '17' },
      output: [{ type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'Good day' }] }],
      usage: { input_tokens: 12, output_tokens: 3, total_tokens: 15 },
      previous_response_id: null,
      background: false,
      error: null,
      incomplete_details: null,
    },
  })
  const { background: _said, ...rest } = reply.body
  expect(await retrieve(world, reply.body['id'])).toEqual(rest)
  const run = await world.run(runOf(reply.body['id']))
  expect(run).toMatchObject({ output: 'Good day', metadata: { order: '17' } })
  const { created_at: created, completed_at: completed } = reply.body
  expect([created, completed]).toEqual([run.createdAt, run.endedAt].map((at) => Math.floor(Date.parse(String(at)) / 1_000)))
})

test('previous_response_id goes on with the conversation; only the last response can be followed, by one', async () => {
  const { body: first } = await create(world, { input: 'one' })
  const { body: second } = await create(world, { input: 'two', previous_response_id: first['id'] })
  expect(second).toMatchObject({ status: 'completed', conversation: first['conversation'], previous_response_id: first['id'] })
  expect(await retrieve(world, second['id'])).toMatchObject({ previous_response_id: first['id'] })
  expect(errorOf(await create(world, { input: 'a fork', previous_response_id: first['id'] }))).toMatchObject({
    status: 409,
    code: 'not_last_response',
    param: 'previous_response_id',
    last_response_id: second['id'],
  })
  const both = await Promise.all(['a', 'b'].map((input) => create(world, { input, previous_response_id: second['id'] })))
  expect(both.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([200, 409])
  const { id } = first['conversation'] as { id: string }
  expect((await world.messages(id)).map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user', 'assistant'])
})

test('who follows a response that is still made is told that the conversation is busy', async () => {
  const gate = world.gate()
  const { body } = await create(world, { input: script({ text: 'slow', gate: gate.file }), background: true })
  const refused = await create(world, { input: 'next', previous_response_id: body['id'] })
  expect(errorOf(refused)).toMatchObject({ status: 409, code: 'conversation_busy', param: 'previous_response_id' })
  await gate.open()
  await world.ended(runOf(body['id']))
})

test('a conversation has the name that the caller gave it, and a response in it says which came before', async () => {
  const { body: first } = await create(world, { input: 'one', conversation: 'order-17' })
  const { body: second } = await create(world, { input: 'two', conversation: { id: 'order-17' } })
  expect(first).toMatchObject({ conversation: { id: 'order-17' }, previous_response_id: null })
  expect(second).toMatchObject({ conversation: { id: 'order-17' }, previous_response_id: first['id'] })
  const both = await create(world, { input: 'three', conversation: 'order-18', previous_response_id: second['id'] })
  expect(errorOf(both)).toMatchObject({ status: 400, param: 'conversation', code: 'invalid_value' })
})

test('a key stands for one request: the same again is the same response, another is refused', async () => {
  const key = { 'idempotency-key': 'response-1' }
  const { body: first } = await create(world, { input: 'once' }, key)
  const again = await create(world, { input: 'once' }, key)
  expect(again).toMatchObject({ status: 200, body: { id: first['id'], output: first['output'] } })
  expect(again.headers.get('idempotent-replayed')).toBe('true')
  expect(errorOf(await create(world, { input: 'twice' }, key))).toMatchObject({ status: 422, code: 'idempotency_mismatch' })
})

test('text and pictures of several items are one message', async () => {
  const picture = 'data:image/png;base64,iVBORw0KGgo='
  const content = [
    { type: 'input_text', text: 'What is this?' },
    { type: 'input_image', image_url: picture, detail: 'auto' },
  ]
  const { body } = await create(world, {
    input: [
      { role: 'user', content },
      { role: 'user', content: 'Shortly.' },
    ],
  })
  const { id } = body['conversation'] as { id: string }
  expect((await world.messages(id))[0]).toMatchObject({
    role: 'user',
    content: [
      { type: 'text', text: 'What is this?' },
      { type: 'image', image: picture, mediaType: 'image/png' },
      { type: 'text', text: 'Shortly.' },
    ],
  })
})

test('background: answered at once as queued, though nothing can be made yet, and read later', async () => {
  const gate = world.gate()
  const { status, body } = await create(world, { input: script({ text: 'Later', gate: gate.file }), background: true })
  expect({ status, body }).toMatchObject({ status: 200, body: { status: 'queued', background: true, output: [], usage: null } })
  expect((await retrieve(world, body['id']))['status']).toMatch(/^(?:queued|in_progress)$/)
  await gate.open()
  await world.ended(runOf(body['id']))
  const over = await retrieve(world, body['id'])
  expect([over['status'], outputText(over)]).toEqual(['completed', 'Later'])
})

test('Prefer: wait is how long the caller waits: then the response is in progress, and nothing is lost', async () => {
  const gate = world.gate()
  const input = script({ text: 'At last', gate: gate.file })
  const { status, body } = await create(world, { input }, { prefer: 'wait=1' })
  expect({ status, body }).toMatchObject({ status: 200, body: { status: 'in_progress', output: [], completed_at: null } })
  await gate.open()
  await world.ended(runOf(body['id']))
  expect(outputText(await retrieve(world, body['id']))).toBe('At last')
})

test('a caller that waits is answered when the response is whole, also where another request has made the rest of it', async () => {
  const input = script({ error: { status: 503, times: 1, retryAfter: 600 }, text: 'The rest' })
  const asked = create(world, { input, conversation: 'handed-over' })
  const waits = `select 1 from baton.runs r join baton.agents a using (agent_uid) where a.id = 'handed-over' and r.state = 'waiting'`
  await until('the run waits for another request', async () => (await world.sql(waits)).length > 0)
  // A wait is spread by a fifth of its length at most.
  await world.advance(720_000)
  const { status, body } = await asked
  expect([status, body['status'], outputText(body)]).toEqual([200, 'completed', 'The rest'])
})

test('a message whose steered run ends before it could enter is answered by the response that it came to', async () => {
  const conversation = 'steered-late'
  const steers = `update baton.agents set settings = jsonb_set(settings, '{onBusy}', '"steer"') where id = $1`
  const accepted = `select from baton.inbox join baton.agents a using (agent_uid) where a.id = $1 and mode = 'steer'`
  for (const end of ['failed', 'cancelled']) {
    const gate = world.gate()
    const error = end === 'failed' ? { error: { status: 401 } } : { text: 'never' }
    const { body: first } = await create(world, { input: script({ gate: gate.file, ...error }), conversation, background: true })
    await until('it is at work', async () => (await world.run(runOf(first['id']))).state === 'running')
    await world.sql(steers, [conversation])
    // Without the template's name the agent keeps its own settings.
    const asked = create(world, { model: null, input: script({ text: `after it has ${end}` }), conversation })
    await until('one steers', async () => (await world.sql(accepted, [conversation])).length === 1)
    if (end === 'cancelled') await world.http('POST', `/v1/responses/${String(first['id'])}/cancel`)
    await gate.open()
    const { status, body } = await asked
    expect([status, body['status'], outputText(body)]).toEqual([200, 'completed', `after it has ${end}`])
    expect(body).toMatchObject({ object: 'response', previous_response_id: first['id'], background: false })
    expect(await retrieve(world, first['id'])).toMatchObject({ status: end })
    const { background: _said, ...rest } = body
    expect(await retrieve(world, body['id'])).toEqual(rest)
  }
})

test('null is as if left out, also of what is not supported', async () => {
  const nothing = { instructions: null, temperature: null, tools: null, metadata: null, previous_response_id: null, stream: null }
  const { status, body } = await create(world, { input: script({ text: 'Good day' }), ...nothing })
  expect([status, outputText(body)]).toEqual([200, 'Good day'])
})

const wrong: [string, object, string, string][] = [
  ['no input', {}, 'input', 'missing_required_parameter'],
  ['null as input', { input: null }, 'input', 'missing_required_parameter'],
  ['null inside', { input: [{ role: null, content: 'x' }] }, 'input[0].role', 'invalid_value'],
  ['no model', { model: null, input: 'x' }, 'model', 'missing_required_parameter'],
  ['instructions', { input: 'x', instructions: 'Be brief.' }, 'instructions', 'unsupported_parameter'],
  ['a temperature', { input: 'x', temperature: 0 }, 'temperature', 'unsupported_parameter'],
  ['not to be kept', { input: 'x', store: false }, 'store', 'unsupported_parameter'],
  ['words of the system', { input: [{ role: 'system', content: 'x' }] }, 'input[0].role', 'invalid_value'],
  [
    'a picture by http',
    { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'http://a.example/x.png' }] }] },
    'input[0].content[0].image_url',
    'invalid_value',
  ],
  ['a number in metadata', { input: 'x', metadata: { a: 1 } }, 'metadata.a', 'invalid_value'],
  ['a long value of metadata', { input: 'x', metadata: { a: 'x'.repeat(513) } }, 'metadata.a', 'invalid_value'],
  [
    'seventeen pairs of metadata',
    { input: 'x', metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, 'v'])) },
    'metadata',
    'invalid_value',
  ],
]
test.each(wrong)('refused by name, and nothing begins: %s', async (_what, body, param, code) => {
  const before = await runs()
  expect(errorOf(await create(world, { ...body }))).toMatchObject({ status: 400, type: 'invalid_request_error', param, code })
  expect(await runs()).toBe(before)
})

test('the root of the dialect is nothing, said in its own words', async () => {
  expect(errorOf(await world.http('GET', '/v1'))).toMatchObject({ status: 404, type: 'invalid_request_error', code: 'not_found' })
})

test('a model that there is not, the model of another conversation, and a response that there is not', async () => {
  const unknown = await create(world, { model: 'gpt-99', input: 'x' })
  expect(errorOf(unknown)).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' })
  const { body } = await create(world, { input: 'x' })
  const other = await create(world, { model: 'basic', input: 'x', previous_response_id: body['id'] })
  expect(errorOf(other)).toMatchObject({ status: 409, code: 'conflict' })
  expect((await create(world, { model: null, input: 'x', previous_response_id: body['id'] })).body['model']).toBe(model)
  for (const id of [`resp_${'0'.repeat(32)}`, 'resp_x', runOf(body['id'])]) {
    const before = await create(world, { input: 'x', previous_response_id: id })
    const missing = { status: 404, code: 'previous_response_not_found', param: 'previous_response_id' }
    expect(errorOf(before)).toMatchObject(missing)
    const read = await world.http('GET', `/v1/responses/${id}`)
    expect(errorOf(read)).toMatchObject({ status: 404, code: 'response_not_found', param: 'response_id' })
    expect(errorOf(await world.http('POST', `/v1/responses/${id}/cancel`))).toMatchObject({ status: 404, code: 'response_not_found' })
  }
})
