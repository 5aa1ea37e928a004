import { randomUUID } from 'node:crypto'
import { BatonError } from '#lib/core/errors'
import type { Log } from '#lib/core/ports'
import { readBody } from '#lib/http/body'
import { authenticate } from '#lib/http/caller'
import { methods } from '#lib/http/endpoint'
import type { Endpoint, HttpServices, Method } from '#lib/http/endpoint'
import { isPreflight, requestIdOf, setCorsHeaders, setSecurityHeaders } from '#lib/http/headers'
import { matchPath } from '#lib/http/path'
import { readPrefer } from '#lib/http/prefer'
import { redact } from '#lib/core/redact'
import { respondWithProblem, toBatonError, type ShapeError } from '#lib/http/problem'
import { takeFromLimits } from '#lib/http/rate'
import { redactUrl } from '#lib/http/token'

/** What the binding to a framework brings. */
export interface HandleOptions<Services> {
  /** Makes or gives the services; its failure (bad configuration) is answered as a problem. */
  services: () => Promise<Services>
  /** Keeps the process going until the promise has settled; the promise never rejects. */
  background: (work: Promise<unknown>) => void
  /** Where to complain when there are no services. */
  fallbackLog: Log
  /** For addresses of a dialect at which there is nothing; endpoints bring their own. */
  shapeError?: ShapeError
}

const readsOnly: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What a Next route file exports. */
export type RouteMethods = Record<Method | 'HEAD' | 'OPTIONS', (request: Request) => Promise<Response>>

/**
 * Serves endpoints of one address: request id, CORS, security headers, access, body, checks, handler, problem, one log line.
 * A method without an endpoint is 405 with Allow; no endpoints at all is 404. Throws a TypeError when a method is doubled.
 */
export function handle<Services extends HttpServices>(
  endpoints: readonly Endpoint<Services>[],
  options: HandleOptions<Services>,
): RouteMethods {
  const byMethod = new Map(endpoints.map((endpoint) => [endpoint.method, endpoint]))
  if (byMethod.size !== endpoints.length)
    throw new TypeError(`two endpoints have the same method: ${endpoints.map(({ method, path }) => `${method} ${path}`).join(', ')}`)
  // One address speaks one dialect, whatever the method.
  const shapeError = options.shapeError ?? endpoints.find((endpoint) => endpoint.shapeError !== undefined)?.shapeError
  const allow = [...methods.filter((method) => byMethod.has(method)), ...(byMethod.has('GET') ? ['HEAD'] : []), 'OPTIONS']

  async function serve(request: Request, method: Method | 'HEAD' | 'OPTIONS'): Promise<Response> {
    let services: Services
    try {
      services = await options.services()
    } catch (error) {
      const requestId = requestIdOf(request, () => `req_${randomUUID()}`)
      const alone = method === 'OPTIONS' ? null : byMethod.get(method === 'HEAD' ? 'GET' : method)?.alone
      if (alone != null) return finish(alone(), request, requestId, null)
      if (error instanceof BatonError)
        options.fallbackLog.error('no services', { request_id: requestId, code: error.code, error: error.message })
      const place = { request, requestId, baseUrl: null, redact, log: options.fallbackLog, shapeError }
      const response = respondWithProblem(error, place)
      return finish(response, request, requestId, null)
    }
    const requestId = requestIdOf(request, () => services.ids.make('req'))
    return services.telemetry.within({ request_id: requestId }, () => traced(request, method, services, requestId))
  }

  /** A request as a span, which those of monitors are not: they come every few seconds and tell nothing. */
  async function traced(request: Request, method: Method | 'HEAD' | 'OPTIONS', services: Services, requestId: string): Promise<Response> {
    const route = endpoints[0]?.path ?? 'none'
    const access = endpoints[0]?.access
    if (access === 'open' || access === 'status' || access === 'monitoring') return told(request, method, services, requestId)
    const attributes = { 'http.request.method': method, 'http.route': route, 'url.path': new URL(request.url).pathname }
    const info = { name: `${method} ${route}`, kind: 'server' as const, parent: request.headers.get('traceparent'), attributes }
    return services.telemetry.span(info, async (span) => {
      const response = await told(request, method, services, requestId)
      span.set({ 'http.response.status_code': response.status })
      if (response.status >= 500) span.fail(String(response.status))
      return response
    })
  }

  async function told(request: Request, method: Method | 'HEAD' | 'OPTIONS', services: Services, requestId: string): Promise<Response> {
    const from = services.clock.monotonic()
    const added = new Headers()
    const { metrics } = services
    const response = await answer(request, method, services, requestId, added).catch(async (error: unknown) => {
      metrics.count('baton_errors_total', { code: toBatonError(error).code })
      const { config, redact: hide, log } = services
      const place = { request, requestId, baseUrl: config.baseUrl, redact: hide, log, shapeError }
      return respondWithProblem(await explained(error, services), place)
    })
    const finished = finish(response, request, requestId, services, added)
    const ms = services.clock.monotonic() - from
    const route = endpoints[0]?.path ?? 'none'
    metrics.count('baton_http_requests_total', { route, method, status: String(finished.status) })
    metrics.observe('baton_http_request_duration_seconds', { route }, ms / 1_000)
    if (metrics.due()) options.background(metrics.flush())
    // On serverless nobody waits for a batch to fill.
    if (services.config.traces) options.background(services.telemetry.flush())
    // Nor would a frozen process send what the request has written to the outbox: the sweeper would, minutes later.
    if (!readsOnly.has(method)) options.background(services.settled())
    services.log.info('request', {
      method,
      path: redactUrl(request.url),
      status: finished.status,
      duration_ms: Math.round(ms),
      request_id: requestId,
    })
    return method === 'HEAD' ? withoutBody(finished) : finished
  }

  /** `added` gets the headers that every answer to this caller carries, also where a later part refuses. */
  async function answer(
    request: Request,
    method: Method | 'HEAD' | 'OPTIONS',
    services: Services,
    requestId: string,
    added: Headers,
  ): Promise<Response> {
    if (endpoints.length === 0 && !isPreflight(request)) throw new BatonError('not_found', 'There is nothing at this address.')
    if (method === 'OPTIONS') return new Response(null, { status: 204, headers: { allow: allow.join(', ') } })
    const endpoint = byMethod.get(method === 'HEAD' ? 'GET' : method)
    if (endpoint === undefined)
      throw new BatonError('method_not_allowed', `${method} is not allowed here: use ${allow.join(', ')}.`, { allow })
    const { config, clock, log, access: checks } = services
    const url = new URL(request.url)
    // An address without parameters was matched by the framework already, perhaps under another name (next.config.ts, rewrites).
    const params = endpoint.path.includes('{') ? matchPath(endpoint.path, url.pathname) : {}
    const { access } = endpoint
    const caller = await authenticate({ request, config, checks, access, id: params['id'], now: clock.now(), requestId })
    const { environment } = config
    const { rates } = services
    const limits = await takeFromLimits({ caller, endpoint, environment, id: params['id'], rates, background: options.background })
    for (const [name, value] of Object.entries(limits)) added.set(name, value)
    const body = endpoint.body === null ? { text: null, value: undefined } : await readBody(request, config.maxBodyBytes)
    const prefer = readPrefer(request.headers, {
      defaultWaitMs: config.defaultWaitMs,
      maxWaitMs: Math.max(0, config.maxDurationMs - config.hardMarginMs),
    })
    const background = (work: Promise<unknown>): void =>
      options.background(
        work
          .catch((error: unknown) => {
            log.error('background work failed', {
              request_id: requestId,
              error: error instanceof Error ? (error.stack ?? error.message) : String(error),
            })
          })
          .then(() => services.settled()),
      )
    return endpoint.respond({ request, url, params, body, caller, services, requestId, prefer, background })
  }

  function finish(response: Response, request: Request, requestId: string, services: Services | null, added = new Headers()): Response {
    // A new response, because headers of some responses (redirects, fetched ones) cannot be changed.
    const headers = new Headers(response.headers)
    for (const [name, value] of added) headers.set(name, value)
    headers.set('x-request-id', requestId)
    setSecurityHeaders(headers, services?.config.local ?? false)
    if (services !== null) setCorsHeaders(headers, request, services.config, allow)
    // Next waits for connections at its end, idle ones too: this one would keep the process until its time is over, and get no other answer.
    if (services?.ending() === true) headers.set('connection', 'close')
    return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
  }

  const entry = (method: Method | 'HEAD' | 'OPTIONS') => (request: Request) => serve(request, method)
  return {
    GET: entry('GET'),
    POST: entry('POST'),
    PUT: entry('PUT'),
    PATCH: entry('PATCH'),
    DELETE: entry('DELETE'),
    HEAD: entry('HEAD'),
    OPTIONS: entry('OPTIONS'),
  }
}

/** Where nobody could ever be let in, the answer says what to set up: no other credential would do. */
async function explained(error: unknown, { access, log }: HttpServices): Promise<unknown> {
  if (!(error instanceof BatonError) || error.code !== 'unauthorized') return error
  const isSetUp = await access.isSetUp().catch((cause: unknown) => {
    log.warn('whether access control is set up is not known', { error: String(cause) })
    return true
  })
  if (isSetUp) return error
  return new BatonError(
    'access_control_missing',
    'Nobody can call yet. Make the first tenant and API key with `npm run bootstrap`, or set BATON_ADMIN_KEY; for signed-in users set BATON_USER_TENANT. Nothing was done.',
  )
}

/** The same answer without its body, whose stream is told to stop. */
async function withoutBody(response: Response): Promise<Response> {
  await response.body?.cancel()
  return new Response(null, { status: response.status, statusText: response.statusText, headers: response.headers })
}
