/** A problem document (RFC 9457) as Baton answers it; `code` is one of docs/errors.md, fields of its own stand beside it. */
export interface Problem {
  type?: string
  title?: string
  status?: number
  detail?: string
  instance?: string
  code?: string
  requestId?: string
  retryable?: boolean
  problems?: { in: string; path: string; message: string }[]
  runId?: string
  agentId?: string
  [field: string]: unknown
}

/** What is known of an error when it is made. */
export interface BatonErrorInit {
  code: string
  status?: number
  problem?: Problem
  retryable?: boolean
  retryAfterMs?: number | null
  cause?: unknown
}

/**
 * The one error that this client throws (beside the reason of your own AbortSignal). `code` is Baton's (docs/errors.md), the stop reason of
 * a run that ended badly, or one of the client's own: `network_error`, `timeout`, `connection_lost`, `invalid_answer`, `http_502` and so on,
 * `webhook_signature_invalid`, `webhook_timestamp_invalid`. `status` is 0 without an HTTP answer.
 */
export class BatonError extends Error {
  override readonly name = 'BatonError'
  readonly code: string
  readonly status: number
  readonly problem: Problem
  /** True where the same call may succeed later. */
  readonly retryable: boolean
  /** How long the server asks to wait, in milliseconds; null where it did not say. */
  readonly retryAfterMs: number | null

  constructor(message: string, { code, status = 0, problem = {}, retryable = false, retryAfterMs = null, cause }: BatonErrorInit) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.status = status
    this.problem = problem
    this.retryable = retryable
    this.retryAfterMs = retryAfterMs
  }

  /** The run that the error is about, where there is one: what it did until then is kept. */
  get runId(): string | undefined {
    return this.problem.runId
  }
}

const mayPass: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504])

/** The milliseconds of a Retry-After header (seconds or a date); null without one. */
export function retryAfterOf(header: string | null, now: number): number | null {
  if (header === null || header.trim() === '') return null
  const seconds = Number(header)
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - now
  return Number.isFinite(ms) ? Math.max(0, ms) : null
}

/** The error of an answer that is not 2xx; what stands between client and Baton may have made it, so it need not be a problem document. */
export async function errorOf(response: Response): Promise<BatonError> {
  const { status, headers } = response
  const text = await response.text().catch(() => '')
  const problem = problemIn(text)
  const should = headers.get('x-should-retry')
  return new BatonError(problem.detail ?? problem.title ?? `The server answered ${status}.`, {
    code: problem.code ?? `http_${status}`,
    status,
    problem,
    retryable: should === null ? (problem.retryable ?? mayPass.has(status)) : should === 'true',
    retryAfterMs: retryAfterOf(headers.get('retry-after'), Date.now()),
  })
}

function problemIn(text: string): Problem {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Problem) : {}
  } catch {
    // A page of a proxy: its status is all there is.
    return {}
  }
}

const endStatus: Readonly<Record<string, number>> = {
  budget_exceeded: 402,
  price_unknown: 402,
  interrupted: 409,
  cancelled: 409,
  expired: 410,
  killed: 423,
  corrupted_data: 500,
  internal_error: 500,
  hook_failed: 500,
  step_crashed: 500,
  step_too_long: 500,
  bad_request: 502,
  model_not_found: 502,
}

/** The HTTP status with which Baton answers a run of that stop reason. */
export function statusOfEnd(stopReason: string): number {
  return endStatus[stopReason] ?? (stopReason.startsWith('provider_') ? 502 : 422)
}
