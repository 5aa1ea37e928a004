import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '#tests/engine/helpers'
import { fake } from '#tests/fake-provider/script'
import { startFakeProvider, type FakeProvider } from '#tests/fake-provider/server'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
let provider: FakeProvider
beforeAll(async () => {
  provider = await startFakeProvider()
  world = await startWorld({ real: ['models'], env: { ANTHROPIC_API_KEY: 'a-key', ANTHROPIC_BASE_URL: provider.baseUrl } })
})
afterAll(async () => {
  await world.close()
  await provider.close()
})

/** How often the model was really called for a run. */
async function modelCalls(runId: unknown): Promise<number> {
  return (await world.effects({ runId: String(runId) })).filter(({ kind }) => kind === 'model').length
}

async function keysOf(key: string): Promise<number> {
  const [row] = await world.sql<{ n: number }>('select count(*)::integer as n from baton.idempotency where key = $1', [key])
  return row?.n ?? -1
}

test('A3: each model call sees all earlier turns, and the history has them in order', async () => {
  for (const text of ['alpha', 'beta', 'gamma']) {
    const reply = await world.send('a3', fake({ text: `answer to ${text}` }), { template: 'basic' })
    expect(reply.body).toMatchObject({ status: 'done', output: `answer to ${text}` })
  }
  const messages = await world.messages('a3')
  expect(messages.map(({ seq, role }) => [seq, role])).toEqual([1, 2, 3, 4, 5, 6].map((seq) => [seq, seq % 2 === 1 ? 'user' : 'assistant']))
  const third = provider.requests.at(-1)?.body as { messages: { role: string; content: unknown }[] }
  expect(third.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user'])
  const text = third.messages.map(({ content }) => JSON.stringify(content))
  for (const [index, word] of ['alpha', 'alpha', 'beta', 'beta', 'gamma'].entries()) expect(text[index]).toContain(word)
})

test('A13: a repeat gets the same run and the same body, and nothing runs again', async () => {
  const message = script({ text: 'once', tools: [{ name: 'charge', input: { key: 'a13', cents: 1 } }] }, { text: 'charged' })
  const first = await world.send('a13', message, { key: 'a13-key' })
  const second = await world.send('a13', message, { key: 'a13-key' })
  expect([first.status, second.status]).toEqual([200, 200])
  expect(first.headers.get('idempotent-replayed')).toBeNull()
  expect(second.headers.get('idempotent-replayed')).toBe('true')
  expect(second.body).toEqual(first.body)
  expect(await modelCalls(first.body['runId'])).toBe(2)
  expect((await world.effects({ key: 'a13' })).filter(({ name }) => name === 'charge')).toHaveLength(1)
  expect((await world.agent('a13')).messages).toBe(4)
})

test.concurrent('A13: a repeat while the first is running waits for the same run', async () => {
  const gate = world.gate()
  const message = script({ gate: gate.file, text: 'slow' })
  const first = world.send('a13-running', message, { key: 'a13-running-key' })
  await working('a13-running')
  const waits = world.send('a13-running', message, { key: 'a13-running-key', prefer: 'wait=20' })
  const now = await world.send('a13-running', message, { key: 'a13-running-key', prefer: 'respond-async' })
  await gate.open()
  const later = await waits
  const { status, body } = await first
  expect([status, now.status, later.status]).toEqual([200, 202, 200])
  expect([now.body['runId'], later.body['runId']]).toEqual([body['runId'], body['runId']])
  expect([now, later].map(({ headers }) => headers.get('idempotent-replayed'))).toEqual(['true', 'true'])
  expect(later.body).toEqual(body)
  expect(await modelCalls(body['runId'])).toBe(1)
})

test.concurrent('invariant 1: a twin whose first is still being accepted waits 3 s at most, is told to come again, and then starts the one run', async () => {
  const message = script({ text: 'after all' })
  const twin = (): Promise<Reply> => world.send('a13-held', message, { key: 'a13-held-key' })
  await world.send('a13-caller', script({ text: 'x' }), { key: 'a13-caller-key' })
  // Another process is in the middle of its transaction.
  const other = new pg.Client({ connectionString: String(world.stack.info.databaseUrl) })
  await other.connect()
  try {
    await other.query('begin')
    await other.query(
      `insert into baton.idempotency (tenant_id, caller, key, hash) select tenant_id, caller, 'a13-held-key', 'h' from baton.idempotency where key = 'a13-caller-key'`,
    )
    const from = performance.now()
    const busy = await twin()
    expect(busy).toMatchObject({ status: 503, body: { code: 'idempotency_busy', retryable: true } })
    expect(Number(busy.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(performance.now() - from).toBeGreaterThan(2_500)
    await other.query('rollback')
  } finally {
    await other.end()
  }
  expect((await world.http('GET', '/api/agents/a13-held')).status).toBe(404)
  const replies = [await twin(), await twin()]
  expect(replies.map(({ status, headers }) => [status, headers.get('idempotent-replayed')])).toEqual([
    [200, null],
    [200, 'true'],
  ])
  expect(await modelCalls(replies[0]?.body['runId'])).toBe(1)
})

/** Polls until the agent works on something. */
async function working(agent: string): Promise<void> {
  await until(`${agent} works`, async () => (await world.agent(agent)).state === 'working')
}

test.concurrent('A13: ten twins at once make one agent, one run and one model call', async () => {
  const message = script({ delayMs: 300, text: 'twin' })
  const replies: Reply[] = await Promise.all(Array.from({ length: 10 }, () => world.send('a13-twins', message, { key: 'twins' })))
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
  expect(new Set(replies.map(({ body }) => body['runId'])).size).toBe(1)
  expect(replies.filter(({ headers }) => headers.get('idempotent-replayed') === null)).toHaveLength(1)
  expect(await modelCalls(replies[0]?.body['runId'])).toBe(1)
  expect(await world.messages('a13-twins')).toHaveLength(2)
})

test.concurrent('A13: a key stands for the address of a webhook and not for its secret, which may be another one by now', async () => {
  const send = (url: string, secret: string): Promise<Reply> => {
    const body = { template: 'scripted', message: script({ text: 'told' }), webhook: { url, secret } }
    return world.http('POST', '/api/agents/a13-secret/messages', body, { 'idempotency-key': 'a13-secret-key', prefer: 'wait=20' })
  }
  const first = await send('http://127.0.0.1:9/one', 'the first secret of all')
  const second = await send('http://127.0.0.1:9/one', 'another secret after it')
  expect([first.status, second.status, second.body['runId']]).toEqual([200, 200, first.body['runId']])
  expect(await send('http://127.0.0.1:9/two', 'the first secret of all')).toMatchObject({ status: 422 })
})

test('A13: a repeat answers under its own Prefer and Accept', async () => {
  const message = script({ chunks: ['a', 'b'] })
  const first = await world.send('a13-forms', message, { key: 'a13-forms-key' })
  const runId = first.body['runId']
  const async = await world.send('a13-forms', message, { key: 'a13-forms-key', prefer: 'respond-async' })
  // The run has ended: its present state is the answer, whatever the caller prefers.
  expect([async.status, async.body['runId'], async.headers.get('preference-applied')]).toEqual([200, runId, 'respond-async'])
  const frames = await world.stream('/api/agents/a13-forms/messages', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'a13-forms-key' },
    body: JSON.stringify({ message, template: 'scripted' }),
  })
  expect(frames.at(-1)).toMatchObject({ event: 'done', data: { runId, output: 'ab' } })
  expect(await modelCalls(runId)).toBe(1)
})

test('A13: the same key with another body, path or method is 422 and changes nothing', async () => {
  await world.send('a13-other', script({ text: 'x' }), { key: 'other' })
  const body = await world.send('a13-other', script({ text: 'y' }), { key: 'other' })
  const path = await world.send('a13-elsewhere', script({ text: 'x' }), { key: 'other' })
  for (const reply of [body, path]) {
    expect(reply.status).toBe(422)
    expect(reply.body).toMatchObject({ code: 'idempotency_mismatch', retryable: false })
  }
  expect((await world.http('GET', '/api/agents/a13-elsewhere')).status).toBe(404)
  expect(await world.messages('a13-other')).toHaveLength(2)
  // Key order and white space are no difference: the hash is of the canonical body.
  const reordered = await world.http(
    'POST',
    '/api/agents/a13-other/messages',
    `{ "template": "scripted",  "message": ${JSON.stringify(script({ text: 'x' }))} }`,
    { 'idempotency-key': 'other' },
  )
  expect([reordered.status, reordered.headers.get('idempotent-replayed')]).toEqual([200, 'true'])
})

test('A13: refused requests leave no key and no agent', async () => {
  const refused = await Promise.all([
    world.send('a13-refused', 'hi', { key: 'refused-1', template: 'nowhere' }),
    world.send('a13-refused', 'hi', { key: 'refused-2', limits: { maxSteps: 51 } }),
    world.send('a13-refused', 'hi', { key: 'refused-3', headers: { 'if-match': '*' } }),
    world.send('a13-refused', 'hi', { key: 'refused-4', webhook: { url: 'ftp://example.com' } }),
  ])
  expect(refused.map(({ status, body }) => [status, body['code']])).toEqual([
    [400, 'template_unknown'],
    [400, 'limit_above_template'],
    [412, 'precondition_failed'],
    [400, 'webhook_refused'],
  ])
  for (const key of ['refused-1', 'refused-2', 'refused-3', 'refused-4']) expect(await keysOf(key)).toBe(0)
  expect((await world.http('GET', '/api/agents/a13-refused')).status).toBe(404)
  // The key is free for a request that is right.
  expect((await world.send('a13-refused', script({ text: 'right' }), { key: 'refused-1' })).body).toMatchObject({ status: 'done' })
})

test('A13: a repeat of a failed run gets the same problem, marked as replayed', async () => {
  const message = script({ error: { status: 401 } })
  const first = await world.send('a13-failed', message, { key: 'a13-failed-key' })
  const second = await world.send('a13-failed', message, { key: 'a13-failed-key', prefer: 'wait=5' })
  expect([first.status, second.status]).toEqual([502, 502])
  const { requestId: _first, ...one } = first.body
  const { requestId: _second, ...two } = second.body
  expect(two).toEqual(one)
  expect([second.headers.get('idempotent-replayed'), second.headers.get('preference-applied')]).toEqual(['true', 'wait=5'])
  expect(await modelCalls(one['runId'])).toBe(1)
})

test('A14: a streamed message tells start, deltas, end and done in this order', async () => {
  const frames = await world.stream('/api/agents/a14/messages', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: script({ chunks: ['one ', 'two ', 'three'], chunkDelayMs: 30 }), template: 'scripted' }),
  })
  const names = frames.map(({ event }) => event)
  const progress = names.filter((name) => name !== undefined && ['text_start', 'text_end', 'done'].includes(name))
  expect(progress).toEqual(['text_start', 'text_end', 'done'])
  const deltas = frames.filter(({ event }) => event === 'text_delta')
  expect(deltas.map(({ data }) => data['text']).join('')).toBe('one two three')
  expect(names.indexOf('text_start')).toBeLessThan(names.indexOf('text_delta'))
  expect(names.lastIndexOf('text_delta')).toBeLessThan(names.indexOf('text_end'))
  const states = frames.filter(({ event }) => event === 'state_changed').map(({ data }) => data['state'])
  expect(states).toEqual(['working', 'ready'])
})

test('A20: a turn tells its state, usage and step on the monitor channel', async () => {
  await world.send('a20', script({ text: 'counted', usage: { input: 12, output: 7 } }))
  const page = await world.http('GET', '/api/agents/a20/events?channels=monitor&after=0', undefined, { accept: 'application/json' })
  const events = page.body['data'] as Record<string, unknown>[]
  expect(new Set(events.map(({ channel }) => channel))).toEqual(new Set(['monitor']))
  expect(events.map(({ type }) => type)).toEqual(['state_changed', 'usage', 'step_complete', 'state_changed'])
  expect(events.find(({ type }) => type === 'usage')).toMatchObject({ inputTokens: 12, outputTokens: 7, model: 'local/scripted' })
})

test('A54: a provider that answers 500 is tried four times, then the run fails and says so', async () => {
  const reply = await world.send('a54-500', script({ error: { status: 500 } }))
  expect(reply.status).toBe(502)
  expect(reply.body).toMatchObject({ code: 'provider_unavailable', stopReason: 'provider_unavailable', state: 'failed', retryable: false })
  expect(reply.headers.get('x-should-retry')).toBe('false')
  expect(await modelCalls(reply.body['runId'])).toBe(4)
  const retries = (await world.events('a54-500')).filter(({ type }) => type === 'retry')
  expect(retries.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  const delays = retries.map(({ delayMs }) => Number(delayMs))
  expect(delays[1]).toBeGreaterThan(Number(delays[0]))
  expect(delays[2]).toBeGreaterThan(Number(delays[1]))
  expect(await world.ended(String(reply.body['runId']))).toMatchObject({
    state: 'failed',
    output: null,
    error: { code: 'provider_unavailable' },
  })
})

test('A54: a provider that refuses the key ends the run at once', async () => {
  const reply = await world.send('a54-401', script({ error: { status: 401 } }))
  expect([reply.status, reply.body['code']]).toEqual([502, 'provider_auth'])
  expect(await modelCalls(reply.body['runId'])).toBe(1)
  // The failed turn stays in the history; the next message goes on from it.
  expect((await world.send('a54-401', script({ text: 'on' }))).body).toMatchObject({ status: 'done', output: 'on' })
  expect((await world.messages('a54-401')).map(({ role }) => role)).toEqual(['user', 'user', 'assistant'])
})

test('A54: the same through a real provider client', async () => {
  const body = { type: 'error', error: { type: 'api_error', message: 'no' } }
  const before = provider.requests.length
  const failed = await world.send('a54-real', fake({ error: { status: 500, body } }), { template: 'basic' })
  expect([failed.status, failed.body['code']]).toEqual([502, 'provider_unavailable'])
  expect(provider.requests.length - before).toBe(4)
  const refused = await world.send(
    'a54-real',
    fake({ error: { status: 401, body: { type: 'error', error: { type: 'authentication_error', message: 'no' } } } }),
    {
      template: 'basic',
    },
  )
  expect([refused.status, refused.body['code']]).toEqual([502, 'provider_auth'])
  expect(provider.requests.length - before).toBe(5)
})
