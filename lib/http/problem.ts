import { BatonError, errorTable } from '#lib/core/errors'
import type { ErrorCode } from '#lib/core/errors'
import type { Log } from '#lib/core/ports'
import type { Redact } from '#lib/core/redact'

/** A problem document (RFC 9457) with its details: what a dialect makes its own error of. */
export interface ProblemDocument extends Record<string, unknown> {
  type: string
  title: string
  status: number
  detail: string
  instance: string
  code: ErrorCode
  requestId: string
  retryable: boolean
}

/**
 * How a protocol of somebody else words errors: the body (text as it stands, else JSON), and the status where it is not the problem's
 * own; null for the problem document itself.
 */
export type ShapeError = (problem: ProblemDocument, request: Request) => { body: unknown; status?: number } | null

/** Where a problem occurred; `baseUrl` null makes `type` a relative URI. */
export interface ProblemPlace {
  request: Request
  requestId: string
  baseUrl: string | null
  /** Errors are made from what others have thrown: a document shows no secret. */
  redact: Redact
  log: Log
  /** The address belongs to a dialect: its shape instead of a problem document. */
  shapeError?: ShapeError | undefined
}

/** What an answer without `details.retryAfterMs` tells callers to wait when the code is retryable, in milliseconds. */
const defaultRetryAfterMs = 1_000

/** Makes a BatonError of whatever was thrown: a BatonError is itself, anything else is `internal_error` and says nothing of its cause. */
export function toBatonError(thrown: unknown): BatonError {
  if (thrown instanceof BatonError) return thrown
  return new BatonError(
    'internal_error',
    'Something went wrong in Baton. What was committed before is kept; the request may be repeated.',
    {},
    { cause: thrown },
  )
}

/** `Retry-After` in whole seconds (rounded up), or null where waiting does not help. */
function retryAfterSeconds(code: ErrorCode, details: Record<string, unknown>): number | null {
  const [status, , retryable] = errorTable[code]
  const asked = details['retryAfterMs']
  if (typeof asked === 'number' && Number.isFinite(asked)) return Math.max(0, Math.ceil(asked / 1_000))
  return retryable && (status === 429 || status === 503) ? defaultRetryAfterMs / 1_000 : null
}

/** The RFC 9457 document of an error. Details never override the standard members. */
export function problemOf(error: BatonError, place: Omit<ProblemPlace, 'log' | 'shapeError'>): ProblemDocument {
  const [status, title, mayHelp] = errorTable[error.code]
  return {
    ...place.redact(error.details),
    type: `${place.baseUrl ?? ''}/docs/errors#${error.code}`,
    title,
    status,
    detail: place.redact(error.message),
    instance: new URL(place.request.url).pathname,
    code: error.code,
    requestId: place.requestId,
    // A run that has ended answers the same however often it is asked: `final` says so.
    retryable: mayHelp && error.details['final'] !== true,
  }
}

/** The answer to an error, as a problem document or in the shape of its dialect, with the headers that go with it. */
export function problemResponse(error: BatonError, place: Omit<ProblemPlace, 'log'>): Response {
  const problem = problemOf(error, place)
  const shaped = place.shapeError?.(problem, place.request) ?? null
  const asText = typeof shaped?.body === 'string'
  const headers = new Headers({
    ...error.headers,
    'content-type': shaped === null ? 'application/problem+json' : `${asText ? 'text/plain' : 'application/json'}; charset=utf-8`,
    'x-should-retry': String(problem.retryable),
  })
  const seconds = retryAfterSeconds(error.code, error.details)
  if (seconds !== null) headers.set('retry-after', String(seconds))
  if (error.code === 'unauthorized') headers.set('www-authenticate', 'Bearer realm="baton"')
  const allow = error.details['allow']
  if (error.code === 'method_not_allowed' && Array.isArray(allow)) headers.set('allow', allow.join(', '))
  const body = shaped === null ? problem : shaped.body
  return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status: shaped?.status ?? problem.status, headers })
}

/** Answers whatever was thrown with its problem document; what is no BatonError is logged with its stack and not shown. */
export function respondWithProblem(thrown: unknown, place: ProblemPlace): Response {
  const error = toBatonError(thrown)
  if (error !== thrown) {
    // A caller that has left makes reads and waits reject: nothing is wrong with Baton then.
    const level = place.request.signal.aborted ? 'info' : 'error'
    const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    place.log[level]('request failed', { request_id: place.requestId, code: error.code, error: stack })
  } else if (error.cause instanceof Error) {
    place.log.warn('request refused', { request_id: place.requestId, code: error.code, cause: error.cause.message })
  }
  return problemResponse(error, place)
}
