import { afterAll, beforeAll, expect, test } from 'vitest'
import { badAddresses } from '#tests/surface/bad-addresses'
import { badBodies } from '#tests/surface/bad-bodies'
import { send } from '#tests/surface/bad-case'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
  await world.send('known', script({ text: 'x' }))
})
afterAll(() => world.close())

/** Counts of all rows: what a refused request must not change. */
async function rows(): Promise<unknown> {
  const tables = [
    'agents',
    'runs',
    'messages',
    'inbox',
    'events',
    'outbox',
    'idempotency',
    'reservations',
    'tool_calls',
    'webhook_deliveries',
  ]
  const counts = tables.map((name) => `(select count(*) from baton.${name})::integer as ${name}`)
  return (await world.sql(`select ${counts.join(', ')}`))[0]
}

/** A problem document as RFC 9457 and 3-http-api have it. */
function expectProblem(reply: Reply, status: number, code: string): void {
  expect(reply.body).toMatchObject({ code, status })
  expect(reply.status).toBe(status)
  expect(reply.headers.get('content-type')).toBe('application/problem+json')
  expect(String(reply.body['type'])).toMatch(new RegExp(`^http.*/docs/errors#${code}$`))
  expect(reply.body['requestId']).toBe(reply.headers.get('x-request-id'))
  for (const member of ['title', 'detail', 'instance']) expect(String(reply.body[member]).length, member).toBeGreaterThan(0)
  expect(reply.body['retryable']).toBe(reply.headers.get('x-should-retry') === 'true')
}

test.each([...badBodies, ...badAddresses])(
  '$status to $name',
  async ({ method = 'POST', path = send, body, headers, status, code, says }) => {
    const before = await rows()
    const key = method === 'POST' && path === send ? { 'idempotency-key': 'bad-input' } : {}
    const reply = await world.http(method, path, body, { ...key, ...headers })
    expectProblem(reply, status, code)
    expect(reply.body['detail']).toMatch(says)
    expect(await rows()).toEqual(before)
  },
)

test('400 lists all problems at once, with their places and what is allowed', async () => {
  const body = { message: 7, templat: 'x', onBusy: 'wait', limits: { maxSteps: 'many' }, webhook: { uri: 'https://example.com' } }
  const reply = await world.http('POST', '/api/agents/-bad/messages?x=1', body, { 'idempotency-key': 'a b' })
  expectProblem(reply, 400, 'validation')
  const problems = reply.body['problems'] as { in: string; path: string; message: string; allowed?: string[] }[]
  const places = problems.map((problem) => `${problem.in} ${problem.path}`)
  expect(places).toEqual(
    expect.arrayContaining([
      'path /id',
      'query /x',
      'header /idempotency-key',
      'body /message',
      'body /templat',
      'body /onBusy',
      'body /limits/maxSteps',
      'body /webhook/url',
      'body /webhook/uri',
    ]),
  )
  expect(problems.find(({ path }) => path === '/onBusy')?.allowed).toEqual(['enqueue', 'steer', 'interrupt', 'reject'])
  expect(problems.find(({ path }) => path === '/templat')?.allowed).toContain('template')
})

test('405 names the methods that are allowed', async () => {
  const reply = await world.http('PUT', '/api/agents/known', {})
  expectProblem(reply, 405, 'method_not_allowed')
  expect(reply.headers.get('allow')).toBe('GET, PATCH, DELETE, HEAD, OPTIONS')
})

test('a body that claims to be small and is not is cut while it is read', async () => {
  const before = await rows()
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode(' '.repeat(200_000)))
    },
  })
  const init = {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(20_000),
  }
  const response = await fetch(`${world.base()}${send}`, init).catch((error: unknown) => error)
  // The server answers and closes: a client that still sends sees either the answer or the closed connection.
  if (response instanceof Response) expect(response.status).toBe(413)
  else expect(response).toBeInstanceOf(TypeError)
  expect(await rows()).toEqual(before)
})

test('text that Postgres cannot store is taken as the nearest text that it can', async () => {
  const reply = await world.http('POST', '/api/agents/odd-text/messages', '{"message":"a\\u0000b\\ud800c","template":"scripted"}')
  expect(reply.status).toBe(200)
  expect((await world.messages('odd-text'))[0]?.content).toBe('a\uFFFDb\uFFFDc')
})
