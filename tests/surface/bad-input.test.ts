import { afterAll, beforeAll, expect, test } from 'vitest'
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

interface Case {
  name: string
  method?: string
  path?: string
  body?: unknown
  headers?: Record<string, string>
  status: number
  code: string
  /** What the detail must name: the thing that is wrong, or the cure. */
  says: RegExp
}

const message = script({ text: 'hi' })
const send = '/api/agents/fresh/messages'
const cases: Case[] = [
  {
    name: 'an unknown template',
    body: { message, template: 'nowhere' },
    status: 400,
    code: 'template_unknown',
    says: /no template nowhere.*Deployed: basic, scripted/,
  },
  {
    name: 'an unknown template of a new agent',
    path: '/api/agents',
    body: { id: 'fresh', template: 'nowhere' },
    status: 400,
    code: 'template_unknown',
    says: /nowhere/,
  },
  {
    name: 'a template that is not the agent’s',
    path: '/api/agents/known/messages',
    body: { message, template: 'basic' },
    status: 409,
    code: 'conflict',
    says: /another template/,
  },
  { name: 'no body', status: 400, code: 'validation', says: /body/ },
  { name: 'no message', body: { template: 'scripted' }, status: 400, code: 'validation', says: /\/message/ },
  { name: 'an empty message', body: { message: '', template: 'scripted' }, status: 400, code: 'validation', says: /\/message/ },
  { name: 'a message that is a number', body: { message: 7, template: 'scripted' }, status: 400, code: 'validation', says: /\/message/ },
  {
    name: 'a message part of an unknown type',
    body: { message: [{ type: 'video', data: 'x' }], template: 'scripted' },
    status: 400,
    code: 'validation',
    says: /\/message/,
  },
  {
    name: 'a file part over http',
    body: { message: [{ type: 'file', data: 'http://example.com/a.pdf', mediaType: 'application/pdf' }] },
    status: 400,
    code: 'validation',
    says: /\/message/,
  },
  {
    name: 'an unknown field',
    body: { message, templat: 'scripted' },
    status: 400,
    code: 'validation',
    says: /\/templat.*not a known field/,
  },
  {
    name: 'wrong types in several places',
    body: { message, onBusy: 'wait', limits: { maxSteps: 'many', maxCost: 1 } },
    status: 400,
    code: 'validation',
    says: /onBusy.*limits/,
  },
  {
    name: 'a negative limit',
    body: { message, template: 'scripted', limits: { maxSteps: -1 } },
    status: 400,
    code: 'validation',
    says: /maxSteps/,
  },
  {
    name: 'a limit above the template’s',
    body: { message, template: 'scripted', limits: { maxSteps: 51 } },
    status: 400,
    code: 'limit_above_template',
    says: /only lower/,
  },
  {
    name: 'a tool result as message',
    body: { message: [{ type: 'tool-result', toolCallId: 'x', toolName: 'y', output: 1 }] },
    status: 400,
    code: 'validation',
    says: /\/message/,
  },
  { name: 'an array as body', body: [], status: 400, code: 'validation', says: /body/ },
  { name: 'null as body', body: 'null', status: 400, code: 'validation', says: /body/ },
  { name: 'broken JSON', body: '{"message": "hi",}', status: 400, code: 'malformed_json', says: /position 17.*line 1/ },
  { name: 'JSON that is cut off', body: '{"message": "hi', status: 400, code: 'malformed_json', says: /ends too early/ },
  {
    name: 'JSON nested too deep',
    body: `{"metadata":${'['.repeat(100)}${']'.repeat(100)}}`,
    status: 400,
    code: 'malformed_json',
    says: /64 levels/,
  },
  {
    name: 'a key named __proto__',
    body: '{"message":"hi","metadata":{"__proto__":1}}',
    status: 400,
    code: 'validation',
    says: /__proto__/,
  },
  {
    name: 'a body that is not declared as JSON',
    body: 'message=hi',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'unsupported_media_type',
    says: /application\/json/,
  },
  {
    name: 'a compressed body',
    body: '{}',
    headers: { 'content-encoding': 'gzip' },
    status: 415,
    code: 'unsupported_media_type',
    says: /ompressed/,
  },
  {
    name: 'a body of 2 MB',
    body: { message: 'x'.repeat(2_000_000), template: 'scripted' },
    status: 413,
    code: 'body_too_large',
    says: /bytes/,
  },
  {
    name: 'a message of 300 KB',
    body: { message: 'x'.repeat(300_000), template: 'scripted' },
    status: 413,
    code: 'body_too_large',
    says: /262144 bytes/,
  },
  {
    name: 'metadata of 20 KB',
    body: { message, template: 'scripted', metadata: { a: 'x'.repeat(20_000) } },
    status: 400,
    code: 'validation',
    says: /metadata.*16 KB/,
  },
  {
    name: 'an invalid agent id',
    path: '/api/agents/-bad/messages',
    body: { message, template: 'scripted' },
    status: 400,
    code: 'validation',
    says: /agent id has 1 to 128/,
  },
  {
    name: 'an agent id with a slash',
    path: '/api/agents/a%2Fb/messages',
    body: { message, template: 'scripted' },
    status: 400,
    code: 'validation',
    says: /agent id/,
  },
  {
    name: 'an agent id of 129 characters',
    path: `/api/agents/${'a'.repeat(129)}/messages`,
    body: { message, template: 'scripted' },
    status: 400,
    code: 'validation',
    says: /agent id/,
  },
  {
    name: 'an invalid id at creation',
    path: '/api/agents',
    body: { id: 'no spaces', template: 'basic' },
    status: 400,
    code: 'validation',
    says: /\/id: an agent id/,
  },
  {
    name: 'an ftp webhook',
    body: { message, template: 'scripted', webhook: { url: 'ftp://example.com/x' } },
    status: 400,
    code: 'webhook_refused',
    says: /ftp.*use https/,
  },
  {
    name: 'a javascript webhook',
    body: { message, template: 'scripted', webhook: { url: 'javascript:alert(1)' } },
    status: 400,
    code: 'webhook_refused',
    says: /use https/,
  },
  {
    name: 'a webhook that is no URL',
    body: { message, template: 'scripted', webhook: { url: 'nowhere' } },
    status: 400,
    code: 'webhook_refused',
    says: /not a URL/,
  },
  {
    name: 'a webhook into a private network',
    body: { message, template: 'scripted', webhook: { url: 'https://169.254.169.254/x' } },
    status: 400,
    code: 'webhook_refused',
    says: /not public/,
  },
  {
    name: 'a webhook with credentials',
    body: { message, template: 'scripted', webhook: { url: 'https://a:b@example.com/x' } },
    status: 400,
    code: 'webhook_refused',
    says: /credentials/,
  },
  {
    name: 'an unknown query parameter',
    path: `${send}?wait=5`,
    body: { message, template: 'scripted' },
    status: 400,
    code: 'validation',
    says: /query \/wait/,
  },
  {
    name: 'an idempotency key with a space',
    body: { message, template: 'scripted' },
    headers: { 'idempotency-key': 'a b' },
    status: 400,
    code: 'validation',
    says: /idempotency-key/,
  },
  {
    name: 'an entity tag in If-Match',
    body: { message, template: 'scripted' },
    headers: { 'if-match': '"abc"' },
    status: 412,
    code: 'precondition_failed',
    says: /If-Match: \*/,
  },
  {
    name: 'If-Match without an agent',
    body: { message, template: 'scripted' },
    headers: { 'if-match': '*' },
    status: 412,
    code: 'precondition_failed',
    says: /does not exist/,
  },
  {
    name: 'a wrong method',
    method: 'PUT',
    body: { message },
    status: 405,
    code: 'method_not_allowed',
    says: /PUT is not allowed here: use GET, POST/,
  },
  { name: 'a wrong method of a run', method: 'DELETE', path: '/api/runs/run_1', status: 405, code: 'method_not_allowed', says: /use GET/ },
  {
    name: 'an address that is not there',
    method: 'GET',
    path: '/api/nothing/here',
    status: 404,
    code: 'not_found',
    says: /nothing at this address/,
  },
  { name: 'a run that is not there', method: 'GET', path: '/api/runs/run_none', status: 404, code: 'run_not_found', says: /no run/ },
  { name: 'cancelling a run that is not there', path: '/api/runs/run_none/cancel', status: 404, code: 'run_not_found', says: /no run/ },
  { name: 'retrying a run that is not there', path: '/api/runs/run_none/retry', status: 404, code: 'run_not_found', says: /no run/ },
  {
    name: 'a limit of a list that is too high',
    method: 'GET',
    path: '/api/agents?limit=201',
    status: 400,
    code: 'validation',
    says: /query \/limit/,
  },
  {
    name: 'a limit of a list that is no number',
    method: 'GET',
    path: '/api/runs?limit=ten',
    status: 400,
    code: 'validation',
    says: /query \/limit/,
  },
  {
    name: 'a state that does not exist',
    method: 'GET',
    path: '/api/runs?state=DONE',
    status: 400,
    code: 'validation',
    says: /query \/state/,
  },
  {
    name: 'an instant that is none',
    method: 'GET',
    path: '/api/agents?from=yesterday',
    status: 400,
    code: 'validation',
    says: /query \/from/,
  },
  {
    name: 'a filter that does not exist',
    method: 'GET',
    path: '/api/agents?owner=me',
    status: 400,
    code: 'validation',
    says: /owner.*metadata\.KEY/,
  },
  {
    name: 'a cursor of nobody’s making',
    method: 'GET',
    path: '/api/agents?cursor=abc',
    status: 400,
    code: 'invalid_cursor',
    says: /without it/,
  },
  {
    name: 'a forged cursor',
    method: 'GET',
    path: `/api/agents?cursor=${forged('agents:asc:not-a-uuid')}`,
    status: 400,
    code: 'invalid_cursor',
    says: /without it/,
  },
  {
    name: 'a cursor of another list',
    method: 'GET',
    path: `/api/agents?cursor=${forged('runs:desc:run_1')}`,
    status: 400,
    code: 'invalid_cursor',
    says: /without it/,
  },
  {
    name: 'a forged cursor of messages',
    method: 'GET',
    path: `/api/agents/known/messages?cursor=${forged('messages:asc:one')}`,
    status: 400,
    code: 'invalid_cursor',
    says: /without it/,
  },
  {
    name: 'an event cursor that is no number',
    method: 'GET',
    path: '/api/agents/known/events',
    headers: { 'last-event-id': 'x' },
    status: 400,
    code: 'invalid_cursor',
    says: /whole numbers/,
  },
  {
    name: 'a channel that does not exist',
    method: 'GET',
    path: '/api/agents/known/events?channels=all',
    status: 400,
    code: 'validation',
    says: /query \/channels/,
  },
  {
    name: 'a wait that is no number',
    method: 'GET',
    path: '/api/runs/run_1?wait=long',
    status: 400,
    code: 'validation',
    says: /query \/wait/,
  },
  {
    name: 'PATCH of what cannot be changed',
    method: 'PATCH',
    path: '/api/agents/known',
    body: { template: 'basic' },
    status: 400,
    code: 'validation',
    says: /\/template/,
  },
  {
    name: 'the alias with more than a message',
    path: '/api/agent/fresh',
    body: { message: 'hi', onBusy: 'steer' },
    status: 400,
    code: 'validation',
    says: /\/onBusy/,
  },
]

function forged(text: string): string {
  return Buffer.from(text).toString('base64url')
}

test.each(cases)('$status to $name', async ({ method = 'POST', path = send, body, headers, status, code, says }) => {
  const before = await rows()
  const key = method === 'POST' && path === send ? { 'idempotency-key': 'bad-input' } : {}
  const reply = await world.http(method, path, body, { ...key, ...headers })
  expectProblem(reply, status, code)
  expect(reply.body['detail']).toMatch(says)
  expect(await rows()).toEqual(before)
})

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
