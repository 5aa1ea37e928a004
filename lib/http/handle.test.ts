import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { endpointsFor } from '#lib/http/endpoint'
import type { Endpoint, HttpServices } from '#lib/http/endpoint'
import { handle } from '#lib/http/handle'
import { sseResponse } from '#lib/http/sse'
import { testServices } from './services.fixture.ts'
import type { LogLine } from './services.fixture.ts'

const endpoint = endpointsFor<HttpServices>()

const read = endpoint({
  method: 'GET',
  path: '/api/things/{id}',
  summary: 'Read a thing',
  params: z.object({ id: z.string().max(5) }),
  query: z.object({ limit: z.string().optional() }),
  handler: ({ params, query, caller, prefer }) =>
    Response.json({ id: params.id, limit: query.limit ?? null, caller: caller.kind, waitMs: prefer.waitMs }),
})

const create = endpoint({
  method: 'POST',
  path: '/api/things/{id}',
  summary: 'Create a thing',
  params: z.object({ id: z.string().max(5) }),
  body: z.object({ count: z.int(), note: z.string().default('none') }),
  handler: ({ body, rawBody, idempotencyKey }) => Response.json({ ...body, rawBody, idempotencyKey }, { status: 201 }),
})

function serve(endpoints: readonly Endpoint<HttpServices>[], changes: Parameters<typeof testServices>[0] = {}) {
  const services = testServices(changes)
  const work: Promise<unknown>[] = []
  const routes = handle(endpoints, {
    services: () => Promise.resolve(services),
    background: (promise) => work.push(promise),
    fallbackLog: services.log,
  })
  return { routes, lines: services.lines, work }
}

const url = 'http://localhost:3000/api/things/t1'
const json = { 'content-type': 'application/json' }
const post = (body: string, headers: Record<string, string> = {}, at = url): Request =>
  new Request(at, { method: 'POST', body, headers: { ...json, ...headers } })

describe('a request that is right', () => {
  test('reaches its handler with typed parts', async () => {
    const { routes } = serve([read, create])
    const got = await routes.GET(new Request(`${url}?limit=3`, { headers: { prefer: 'wait=2' } }))
    expect(await got.json()).toEqual({ id: 't1', limit: '3', caller: 'operator', waitMs: 2_000 })
    const made = await routes.POST(post('{"count":1}', { 'idempotency-key': 'k' }))
    expect(made.status).toBe(201)
    expect(await made.json()).toEqual({ count: 1, note: 'none', rawBody: '{"count":1}', idempotencyKey: 'k' })
  })

  test('HEAD answers as GET without a body and stops its stream', async () => {
    let closed: AbortSignal | undefined
    const stream = endpoint({
      method: 'GET',
      path: '/s',
      summary: 'Stream',
      handler: ({ request }) =>
        sseResponse({
          caller: { kind: 'operator', rateKey: 'local' },
          request,
          start: (opened) => {
            closed = opened.closed
          },
          onError: () => undefined,
        }),
    })
    const response = await serve([stream]).routes.HEAD(new Request('http://localhost/s', { method: 'HEAD' }))
    expect(response.headers.get('content-type')).toContain('event-stream')
    expect(response.body).toBeNull()
    expect(closed?.aborted).toBe(true)
  })
})

describe('a request that is wrong', () => {
  test('gets all problems of all its parts at once', async () => {
    const { routes } = serve([read, create])
    const response = await routes.POST(
      post('{"count":"1","extra":2}', { 'idempotency-key': 'a b' }, 'http://localhost/api/things/too-long?unknown=1'),
    )
    expect(response.status).toBe(400)
    const problem = z
      .object({ code: z.string(), problems: z.array(z.object({ in: z.string(), path: z.string() })) })
      .parse(await response.json())
    expect(problem.code).toBe('validation')
    expect(problem.problems.map((one) => `${one.in} ${one.path}`)).toEqual([
      'path /id',
      'query /unknown',
      'body /count',
      'body /extra',
      'header /idempotency-key',
    ])
  })

  test('a method without an endpoint is 405 with Allow, an address without one 404', async () => {
    const { routes } = serve([read, create])
    const response = await routes.DELETE(new Request(url, { method: 'DELETE' }))
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, POST, HEAD, OPTIONS'])
    expect(await response.json()).toMatchObject({ code: 'method_not_allowed' })
    expect((await serve([]).routes.GET(new Request(url))).status).toBe(404)
    expect((await routes.GET(new Request('http://localhost/api/other/t1'))).status).toBe(404)
  })

  test('an endpoint without a body schema takes none', async () => {
    const act = endpoint({ method: 'POST', path: '/a', summary: 'Act', handler: ({ body }) => Response.json({ body: body ?? null }) })
    const { routes } = serve([act])
    expect((await routes.POST(new Request('http://localhost/a', { method: 'POST' }))).status).toBe(200)
    expect((await routes.POST(post('{}', {}, 'http://localhost/a'))).status).toBe(200)
    expect((await routes.POST(post('{"x":1}', {}, 'http://localhost/a'))).status).toBe(400)
  })

  test('nothing is read or run for those who may not call', async () => {
    const { routes } = serve([create], { local: false })
    const request = post('{"count":1}')
    const response = await routes.POST(request)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="baton"')
    expect(await response.json()).toMatchObject({ code: 'unauthorized' })
    expect(request.bodyUsed).toBe(false)
  })

  test('where nobody could be let in, the answer names what to set up; a database that is away leaves it at 401', async () => {
    const asked = async (isSetUp: () => Promise<boolean>): Promise<Response> => {
      const services = testServices({ local: false })
      const access = { ...services.access, isSetUp }
      const { GET } = handle([read], {
        services: () => Promise.resolve({ ...services, access }),
        background: () => undefined,
        fallbackLog: services.log,
      })
      return GET(new Request(url))
    }
    const missing = await asked(() => Promise.resolve(false))
    expect(missing.status).toBe(503)
    const problem = (await missing.json()) as Record<string, unknown>
    expect(problem['code']).toBe('access_control_missing')
    expect(problem['detail']).toMatch(/npm run bootstrap.*BATON_ADMIN_KEY/)
    expect((await asked(() => Promise.reject(new Error('away')))).status).toBe(401)
  })
})

describe('every answer', () => {
  const fail = endpoint({
    method: 'GET',
    path: '/f',
    summary: 'Fail',
    query: z.object({ how: z.enum(['known', 'unknown']), token: z.string().optional() }),
    handler: ({ query }) => {
      throw query.how === 'known' ? new BatonError('run_not_found', 'There is no run_9.', { runId: 'run_9' }) : new Error('secret detail')
    },
  })

  test('carries the request id that came in, or a made one', async () => {
    const { routes } = serve([read])
    const idOf = async (given: string): Promise<string | null> =>
      (await routes.GET(new Request(url, { headers: { 'x-request-id': given } }))).headers.get('x-request-id')
    expect(await idOf('abc.DEF_1-2')).toBe('abc.DEF_1-2')
    expect(await idOf('a b')).toBe('req_1')
    expect(await idOf('x'.repeat(129))).toBe('req_2')
  })

  test('carries the security headers; HSTS outside local mode only', async () => {
    const local = (await serve([read]).routes.GET(new Request(url))).headers
    expect(local.get('x-content-type-options')).toBe('nosniff')
    expect(local.get('referrer-policy')).toBe('no-referrer')
    expect(local.get('content-security-policy')).toContain("default-src 'none'")
    expect(local.get('cache-control')).toBe('no-store')
    expect(local.has('strict-transport-security')).toBe(false)
    expect((await serve([read], { local: false }).routes.GET(new Request(url))).headers.has('strict-transport-security')).toBe(true)
  })

  test('leaves one line in the log, without secrets', async () => {
    const { routes, lines } = serve([fail])
    await routes.GET(new Request('http://localhost/f?how=known&token=hidden'))
    expect(lines).toEqual<LogLine[]>([
      {
        level: 'info',
        message: 'request',
        fields: { method: 'GET', path: '/f?how=known&token=[redacted]', status: 404, duration_ms: 0, request_id: 'req_1' },
      },
    ])
  })

  test('is a problem that leaks nothing when the handler throws something unknown', async () => {
    const { routes, lines } = serve([fail])
    const response = await routes.GET(new Request('http://localhost/f?how=unknown'))
    expect(await response.json()).toMatchObject({ code: 'internal_error', requestId: 'req_1' })
    expect(JSON.stringify(lines)).toContain('secret detail')
  })

  test('is not_configured while the services cannot be made', async () => {
    const { log, lines } = testServices()
    const services = (): Promise<HttpServices> =>
      Promise.reject(new BatonError('not_configured', 'SUPABASE_URL is missing.', { problems: [] }))
    const routes = handle([read], { services, background: () => undefined, fallbackLog: log })
    const response = await routes.GET(new Request(url))
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ code: 'not_configured', detail: 'SUPABASE_URL is missing.' })
    expect(lines.map((line) => line.message)).toEqual(['no services'])
  })

  test('may have headers that cannot be changed', async () => {
    const away = endpoint({ method: 'GET', path: '/r', summary: 'Redirect', handler: () => Response.redirect('http://localhost/x', 303) })
    const response = await serve([away]).routes.GET(new Request('http://localhost/r'))
    expect([response.status, response.headers.get('location'), response.headers.get('x-request-id')]).toEqual([
      303,
      'http://localhost/x',
      'req_1',
    ])
  })
})

describe('CORS', () => {
  const from = (origin: string, headers: Record<string, string> = {}): RequestInit => ({
    headers: { host: 'localhost', origin, ...headers },
  })

  test('an allowed origin may read the answer and its headers', async () => {
    const { headers } = await serve([read]).routes.GET(new Request(url, from('https://app.example.com')))
    expect(headers.get('access-control-allow-origin')).toBe('https://app.example.com')
    const names = 'location retry-after preference-applied idempotent-replayed etag x-request-id x-baton-run-id x-baton-agent-uid'
    const others = 'www-authenticate x-should-retry x-workflow-run-id x-workflow-stream-tail-index ratelimit ratelimit-policy'
    expect(headers.get('access-control-expose-headers')?.split(', ').toSorted()).toEqual(
      [...names.split(' '), ...others.split(' ')].toSorted(),
    )
    expect(headers.get('vary')).toBe('Origin')
    expect(headers.has('access-control-allow-credentials')).toBe(false)
  })

  test('a preflight is answered for allowed origins only', async () => {
    const { routes } = serve([read, create], { local: false })
    const ask = (origin: string): Promise<Response> =>
      routes.OPTIONS(
        new Request(url, {
          method: 'OPTIONS',
          ...from(origin, { 'access-control-request-method': 'POST', 'access-control-request-headers': 'prefer' }),
        }),
      )
    const yes = await ask('https://app.example.com')
    expect(yes.status).toBe(204)
    expect(yes.headers.get('access-control-allow-methods')).toContain('POST')
    // Each of them is read somewhere: a page that may not send it gets another answer than everybody else.
    const sent = [
      'idempotency-key',
      'prefer',
      'last-event-id',
      'if-match',
      'if-none-match',
      'x-baton-steps',
      'authorization',
      'content-type',
    ]
    expect(yes.headers.get('access-control-allow-headers')?.split(', ')).toEqual(expect.arrayContaining(sent))
    for (const origin of ['https://evil.example', 'http://localhost:5173', 'null']) {
      expect((await ask(origin)).headers.has('access-control-allow-origin')).toBe(false)
    }
  })

  test('a foreign origin is refused and cannot read the refusal', async () => {
    const response = await serve([read]).routes.GET(new Request(url, from('https://evil.example')))
    expect(response.status).toBe(403)
    expect(response.headers.has('access-control-allow-origin')).toBe(false)
  })
})

test('background work is handed on and its failure logged', async () => {
  const later = endpoint({
    method: 'GET',
    path: '/l',
    summary: 'Later',
    handler: ({ background }) => {
      background(Promise.reject(new Error('late failure')))
      return new Response('ok')
    },
  })
  const { routes, work, lines } = serve([later])
  await routes.GET(new Request('http://localhost/l'))
  expect(work).toHaveLength(1)
  await Promise.all(work)
  expect(lines.find((line) => line.level === 'error')?.fields['error']).toContain('late failure')
})

test('mistakes of authors are told when the module loads', () => {
  const bare = { method: 'GET', path: '/x/{id}', summary: 'x', handler: () => new Response() } as const
  expect(() => endpoint(bare)).toThrow('params must have exactly the fields of the path')
  expect(() =>
    handle([read, read], {
      services: () => Promise.reject(new Error('unused')),
      background: () => undefined,
      fallbackLog: testServices().log,
    }),
  ).toThrow('same method')
})
