import type { Config } from '#lib/core/config'
import { isAllowedOrigin } from '#lib/http/caller'

/** The request id that came in, when it is 1 to 128 of A-Z a-z 0-9 . _ -, else a made one. */
export function requestIdOf(request: Request, make: () => string): string {
  const given = request.headers.get('x-request-id')
  return given !== null && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : make()
}

/** True where the caller names the media type, and does not refuse it with q=0 (RFC 9110, 12.5.1); a star names none. */
export function accepts(request: Request, type: string): boolean {
  const ranges = (request.headers.get('accept') ?? '').toLowerCase().slice(0, 4_096).split(',')
  return ranges.some((range) => {
    const [name, ...parameters] = range.split(';').map((part) => part.trim())
    return name === type && !parameters.some((parameter) => /^q\s*=\s*0(\.0*)?$/.test(parameter))
  })
}

const requestHeaders = [
  'accept',
  'authorization',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-none-match',
  'last-event-id',
  'prefer',
  'x-baton-csrf',
  'x-baton-steps',
  'x-request-id',
]

/** What clients of others send besides (OpenAI's names itself and its attempts, a traced page its span) and pages are allowed where they ask. */
const othersHeader = /^(?:x-stainless-[a-z-]{1,40}|user-agent|traceparent|tracestate|baggage|sentry-trace|openai-(?:organization|project))$/

function allowedHeaders(request: Request): string {
  const asked = (request.headers.get('access-control-request-headers') ?? '').toLowerCase().slice(0, 4_096).split(',')
  const others = asked.map((name) => name.trim()).filter((name) => othersHeader.test(name))
  return [...requestHeaders, ...others].join(', ')
}

const exposedHeaders = [
  'etag',
  'idempotent-replayed',
  'location',
  'preference-applied',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'www-authenticate',
  'x-baton-agent-uid',
  'x-baton-run-id',
  'x-request-id',
  'x-should-retry',
  'x-workflow-run-id',
  'x-workflow-stream-tail-index',
].join(', ')

/** True for the question that browsers ask before a cross-origin request (Fetch standard, CORS-preflight). */
export function isPreflight(request: Request): boolean {
  return request.method === 'OPTIONS' && request.headers.has('origin') && request.headers.has('access-control-request-method')
}

/** Sets the CORS headers on an answer: only for origins of the allow-list, never a star, never credentials. */
export function setCorsHeaders(
  headers: Headers,
  request: Request,
  config: Pick<Config, 'local' | 'corsOrigins'>,
  methods: readonly string[],
): void {
  headers.append('vary', 'Origin')
  const origin = request.headers.get('origin')
  if (origin === null || !isAllowedOrigin(origin, config)) return
  headers.set('access-control-allow-origin', origin)
  headers.set('access-control-expose-headers', exposedHeaders)
  if (!isPreflight(request)) return
  headers.set('access-control-allow-methods', methods.join(', '))
  headers.set('access-control-allow-headers', allowedHeaders(request))
  headers.append('vary', 'Access-Control-Request-Headers')
  headers.set('access-control-max-age', '600')
}

/** Sets what every answer of the API carries; an answer's own content-security-policy and cache-control stay. */
export function setSecurityHeaders(headers: Headers, local: boolean): void {
  headers.set('x-content-type-options', 'nosniff')
  headers.set('referrer-policy', 'no-referrer')
  // Pages of other origins get answers by CORS or not at all: never as their picture or script.
  headers.set('cross-origin-resource-policy', 'same-origin')
  if (!headers.has('content-security-policy')) headers.set('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
  if (!local) headers.set('strict-transport-security', 'max-age=31536000')
}
