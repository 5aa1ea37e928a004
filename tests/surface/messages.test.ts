import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begun } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('A2: an idle agent answers', async () => {
  const reply = await world.send('a2', script({ text: 'Hello World' }), { prefer: 'wait=25' })
  expect(reply.status).toBe(200)
  expect(reply.body).toMatchObject({ status: 'done', output: 'Hello World' })
  expect((await world.agent('a2')).steps).toBeGreaterThan(0)
})

test('200 has the answer, the run, its usage and cost, and the last event number', async () => {
  const reply = await world.send('m-200', script({ text: 'hello', usage: { input: 100, output: 10 } }), { prefer: 'wait=25' })
  expect(reply.status).toBe(200)
  expect(reply.headers.get('content-type')).toMatch(/^application\/json/)
  expect(reply.headers.get('preference-applied')).toBe('wait=25')
  expect(reply.headers.get('x-request-id')).toBeTruthy()
  const { runId } = reply.body
  expect(reply.body).toEqual({
    status: 'done',
    output: 'hello',
    agentId: 'm-200',
    runId: expect.stringMatching(/^run_[0-9a-f]+$/),
    run: { id: runId, state: 'completed' },
    stopReason: 'end_turn',
    usage: { inputTokens: 100, outputTokens: 10, cacheReadTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 },
    costMicros: 450,
    costUsd: 0.00045,
    lastSeq: (await world.agent('m-200')).lastSeq,
  })
})

test('200 without a Prefer header: the default is to wait, and no preference is said to be applied', async () => {
  const reply = await world.send('m-default', script({ delayMs: 300, text: 'waited' }))
  expect([reply.status, reply.body['output'], reply.headers.get('preference-applied')]).toEqual([200, 'waited', null])
})

test('200 where the text was cut by its length, with the reason', async () => {
  const reply = await world.send('m-length', script({ text: 'cut', finish: 'length' }))
  expect([reply.status, reply.body['status'], reply.body['stopReason'], reply.body['output']]).toEqual([200, 'done', 'max_tokens', 'cut'])
})

test('200 to AI SDK content parts', async () => {
  const message = [
    { type: 'text', text: 'look: ' },
    { type: 'image', image: 'data:image/png;base64,iVBORw0KGgo=', mediaType: 'image/png' },
    { type: 'file', data: 'https://example.com/a.pdf', mediaType: 'application/pdf', filename: 'a.pdf' },
  ]
  const reply = await world.http('POST', '/api/agents/m-parts/messages', { message, template: 'scripted' })
  expect([reply.status, reply.body['output']]).toEqual([200, 'You said: look: '])
  expect((await world.messages('m-parts'))[0]?.content).toEqual(message)
})

for (const prefer of ['respond-async', 'wait=0']) {
  test(`invariant 6: 202 at once to Prefer: ${prefer}; nothing runs in the route, and the run is done elsewhere`, async () => {
    const agent = `m-${prefer.replace('=', '-')}`
    // The executor is kept from it: what has begun now was begun by the route.
    await world.chaos({ holdEvents: true })
    const reply = await world.send(agent, script({ delayMs: 500, text: 'later' }), { prefer })
    expect(reply.status).toBe(202)
    const runId = String(reply.body['runId'])
    expect(reply.body).toMatchObject({
      status: 'processing',
      agentId: agent,
      runId,
      run: { id: runId, state: 'running' },
      links: { run: `/api/runs/${runId}` },
    })
    expect(typeof reply.body['lastSeq']).toBe('number')
    expect(String((reply.body['links'] as Record<string, unknown>)['events'])).toMatch(new RegExp(`^/api/runs/${runId}/events\\?token=`))
    expect(reply.headers.get('location')).toBe(`/api/runs/${runId}`)
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(reply.headers.get('preference-applied')).toBe(prefer)
    expect(await world.run(runId)).toMatchObject({ lease: null, slices: 0, modelCalls: 0 })
    expect(await world.effects({ runId })).toEqual([])
    await world.chaos({ holdEvents: false, releaseHeld: true })
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'later', slices: 1 })
  })
}

test('202 when the wait is over before the run, which goes on and is found at its Location', async () => {
  const gate = world.gate()
  const reply = await world.send('m-wait', script({ gate: gate.file, text: 'slow' }), { prefer: 'wait=1' })
  expect([reply.status, reply.headers.get('preference-applied')]).toEqual([202, 'wait=1'])
  expect(reply.body).toMatchObject({ status: 'processing', run: { state: 'running' } })
  await gate.open()
  const found = await world.http('GET', `${reply.headers.get('location')}?wait=20`)
  expect(found.body).toMatchObject({ state: 'completed', output: 'slow' })
})

test('202 with both preferences: nothing runs in the route, and the caller waits', async () => {
  const reply = await world.send('m-both', script({ text: 'waited for' }), { prefer: 'respond-async, wait=20' })
  // RFC 7240 leaves the mix to the server: respond-async is answered at once, and a wait that was not kept is not claimed.
  expect(reply.status).toBe(202)
  expect(reply.headers.get('preference-applied')).toBe('respond-async')
  await world.ended(String(reply.body['runId']))
})

test.each(['wait=5', 'respond-async'])('200 to a stream with Prefer: %s, which it does not claim to have applied', async (prefer) => {
  const reply = await world.send('m-stream', script({ text: 'streamed' }), { prefer, headers: { accept: 'text/event-stream' } })
  expect([reply.status, reply.headers.get('content-type'), reply.headers.get('preference-applied')]).toEqual([
    200,
    expect.stringContaining('text/event-stream'),
    null,
  ])
})

test('202 names a state; a malformed Prefer is ignored', async () => {
  const reply = await world.send('m-odd', script({ text: 'x' }), { prefer: 'wait=soon, handling=lenient' })
  expect([reply.status, reply.headers.get('preference-applied')]).toEqual([200, null])
})

test('412 to If-Match: * without the agent, 200 with it', async () => {
  const none = await world.send('m-match', script({ text: 'x' }), { headers: { 'if-match': '*' } })
  expect([none.status, none.body['code']]).toEqual([412, 'precondition_failed'])
  await world.http('POST', '/api/agents', { id: 'm-match', template: 'scripted' })
  expect((await world.send('m-match', script({ text: 'x' }), { headers: { 'if-match': '*' } })).status).toBe(200)
})

test('409 agent_busy with onBusy reject names the run at work', async () => {
  const gate = world.gate()
  const open = await begun(world, 'm-busy', [{ gate: gate.file, text: 'x' }])
  const reply = await world.send('m-busy', script({ text: 'y' }), { onBusy: 'reject' })
  expect([reply.status, reply.body['code'], reply.body['runId'], reply.body['retryable']]).toEqual([409, 'agent_busy', open, true])
  await gate.open()
  await world.ended(open)
})

const ends = [
  { status: 422, code: 'max_steps', message: script({ tools: [{ name: 'echo', input: { value: 1 } }] }), limits: { maxSteps: 1 } },
  { status: 422, code: 'max_tool_calls', message: script({ tools: [{ name: 'echo', input: { value: 1 } }] }), limits: { maxToolCalls: 0 } },
  { status: 422, code: 'empty_response', message: script({ text: '' }, { text: '' }), limits: {} },
  { status: 402, code: 'budget_exceeded', message: script({ usage: { input: 1_000_000, output: 0 } }), limits: { maxCostMicros: 10 } },
  { status: 502, code: 'provider_auth', message: script({ error: { status: 401 } }), limits: {} },
  { status: 502, code: 'bad_request', message: script({ error: { status: 400 } }), limits: {} },
]
test.each(ends)('$status for a run that ended as $code', async ({ status, code, message, limits }) => {
  const reply = await world.send(`m-${code}`, message, { limits })
  expect(reply.status).toBe(status)
  expect(reply.headers.get('content-type')).toBe('application/problem+json')
  expect(reply.headers.get('x-should-retry')).toBe('false')
  expect(reply.body).toMatchObject({ code, status, stopReason: code, agentId: `m-${code}`, retryable: false })
  const runId = String(reply.body['runId'])
  expect(reply.body['run']).toEqual({ id: runId, state: (await world.run(runId)).state })
  expect(String(reply.body['detail']).length).toBeGreaterThan(10)
})

describe('the short address /api/agent/:id', () => {
  test('200 {status: "done", output} to {message} alone; a new agent gets the first template', async () => {
    const reply = await world.http('POST', '/api/agent/kode', { message: script({ text: 'Hello' }) })
    expect(reply.status).toBe(200)
    expect(reply.body).toMatchObject({ status: 'done', output: 'Hello', agentId: 'kode' })
    expect((await world.agent('kode')).template).toBe('basic')
  })

  test('202 {status: "processing", agentId} when it takes longer', async () => {
    const reply = await world.http('POST', '/api/agent/kode-slow', { message: script({ delayMs: 1_500, text: 'x' }) }, { prefer: 'wait=1' })
    expect(reply.status).toBe(202)
    expect(reply.body).toMatchObject({ status: 'processing', agentId: 'kode-slow' })
    expect(reply.headers.get('location')).toBe(`/api/runs/${String(reply.body['runId'])}`)
    expect((await world.ended(String(reply.body['runId']))).output).toBe('x')
  })

  test('200 under an idempotency key, once', async () => {
    const send = () => world.http('POST', '/api/agent/kode-key', { message: script({ text: 'once' }) }, { 'idempotency-key': 'kode' })
    const [first, second] = [await send(), await send()]
    expect(second.body).toEqual(first.body)
    expect(second.headers.get('idempotent-replayed')).toBe('true')
  })

  test('405 to GET, naming POST', async () => {
    const reply = await world.http('GET', '/api/agent/kode')
    expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'POST, OPTIONS'])
  })
})
