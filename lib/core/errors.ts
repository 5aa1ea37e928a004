/**
 * The closed list of error codes: HTTP status, title, whether a retry may help. Each is documented in docs/errors.md.
 * A problem document is made from this table alone (lib/http/problem).
 */
export const errorTable = {
  validation: [400, 'The request is not valid', false],
  malformed_json: [400, 'The body is not valid JSON', false],
  invalid_agent_id: [400, 'The agent id is not valid', false],
  chat_id_missing: [400, 'The chat has no id', false],
  limit_above_template: [400, 'A limit may only be lowered', false],
  override_refused: [400, 'An override may only narrow', false],
  template_required: [400, 'A new agent needs a template', false],
  template_unknown: [400, 'There is no such template', false],
  webhook_refused: [400, 'The webhook is not allowed', false],
  invalid_cursor: [400, 'The cursor is not valid', false],
  unauthorized: [401, 'Authentication is required', false],
  forbidden: [403, 'Not allowed', false],
  tenant_missing: [403, 'The tenant does not exist here', false],
  agent_not_found: [404, 'There is no such agent', false],
  run_not_found: [404, 'There is no such run', false],
  key_not_found: [404, 'There is no such key', false],
  webhook_not_found: [404, 'There is no such webhook endpoint', false],
  delivery_not_found: [404, 'There is no such webhook delivery', false],
  switch_not_found: [404, 'There is no such switch', false],
  approval_not_found: [404, 'There is no such approval', false],
  call_not_found: [404, 'There is no such tool call', false],
  not_found: [404, 'There is nothing at this address', false],
  method_not_allowed: [405, 'The method is not allowed here', false],
  conflict: [409, 'The request conflicts with what exists', false],
  already_decided: [409, 'It has been decided already', false],
  too_many_keys: [409, 'The tenant has as many keys as it may', false],
  agent_busy: [409, 'The agent is working', true],
  not_last_run: [409, 'The run is not the last of its agent', false],
  run_open: [409, 'The run has not ended', true],
  nothing_to_retry: [409, 'There is nothing to retry', false],
  template_missing: [409, "The agent's template is not deployed", true],
  webhook_disabled: [409, 'The webhook endpoint is disabled', false],
  webhook_limit: [409, 'There are too many webhook endpoints', false],
  interrupted: [409, 'The run was interrupted', false],
  cancelled: [409, 'The run was cancelled', false],
  cursor_expired: [410, 'The cursor is older than the oldest kept event', false],
  authority_expired: [410, 'The authority to act has expired', false],
  expired: [410, 'The run expired', false],
  too_late: [410, 'The time for an answer is over', false],
  precondition_failed: [412, 'The precondition does not hold', false],
  body_too_large: [413, 'The body is too large', false],
  unsupported_media_type: [415, 'The body must be JSON', false],
  idempotency_mismatch: [422, 'The Idempotency-Key was used for another request', false],
  max_steps: [422, 'The run reached its limit of steps', false],
  max_tokens: [422, 'The run reached its limit of tokens', false],
  max_tool_calls: [422, 'The run reached its limit of tool calls', false],
  max_time: [422, 'The run reached its limit of working time', false],
  content_filtered: [422, 'The provider refused the content', false],
  context_too_long: [422, 'The conversation does not fit the model', false],
  empty_response: [422, 'The model answered nothing', false],
  hook_stopped: [422, 'A hook of the template stopped the run', false],
  unknown_outcome: [422, 'The outcome of a tool call is unknown', false],
  killed: [423, 'A kill switch is set', false],
  queue_full: [429, 'Too many runs or queued messages', true],
  rate_limited: [429, 'Too many requests', true],
  budget_exceeded: [402, 'A budget is used up', false],
  price_unknown: [402, 'The model has no known price', false],
  internal_error: [500, 'Something went wrong in Baton', true],
  hook_failed: [500, 'A hook of the template failed', false],
  step_crashed: [500, 'A step crashed its process again and again', false],
  step_too_long: [500, 'A step did not fit into a slice', false],
  corrupted_data: [500, 'Stored data cannot be read', false],
  provider_auth: [502, 'The model provider refused the credentials', false],
  provider_quota: [502, 'The quota at the model provider is used up', false],
  provider_rate_limited: [502, 'The model provider limits the rate', true],
  provider_timeout: [502, 'The model provider did not answer in time', true],
  provider_unavailable: [502, 'The model provider is not available', true],
  bad_request: [502, 'The model provider refused the request', false],
  model_not_found: [502, 'The model provider does not know the model', false],
  access_control_missing: [503, 'Access control is not set up', false],
  sign_in_unavailable: [503, 'The keys of the sign-in service cannot be read', true],
  database_unavailable: [503, 'The database is not reachable', true],
  idempotency_busy: [503, 'What the request needs is being worked on', true],
  lease_lost: [503, 'Another executor has taken over', true],
  not_configured: [503, 'Baton is not configured', false],
} as const satisfies Record<string, readonly [status: number, title: string, retryable: boolean]>

/** A code of the table. */
export type ErrorCode = keyof typeof errorTable

/** True for a code of the table. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code)
}

/** The one error class. The message says what happened, what was kept and what to do. */
export class BatonError extends Error {
  /** By its name: a development server loads this module anew where services of before go on, whose errors are ours as well. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return error instanceof Error && error.name === 'BatonError' && 'details' in error
  }
  readonly code: ErrorCode
  readonly details: Record<string, unknown>
  /** Headers that the answer carries besides those of its code. */
  readonly headers: Readonly<Record<string, string>>
  constructor(
    code: ErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    options?: ErrorOptions & { headers?: Readonly<Record<string, string>> },
  ) {
    super(message, options)
    this.name = 'BatonError'
    this.code = code
    this.details = details
    this.headers = options?.headers ?? {}
  }
}

/** The typed errors of a model provider (2-run-contract, Retries). `retryAfterMs` is what the provider asked for. */
export type ProviderCode =
  | 'provider_rate_limited'
  | 'provider_timeout'
  | 'provider_unavailable'
  | 'provider_auth'
  | 'provider_quota'
  | 'bad_request'
  | 'content_filtered'
  | 'context_too_long'
  | 'model_not_found'

/** A failed model call, typed by status and error type, never by words of a message. */
export class ProviderError extends Error {
  /** As that of BatonError. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return error instanceof Error && error.name === 'ProviderError' && 'unsent' in error
  }
  readonly code: ProviderCode
  readonly retryAfterMs: number | null
  readonly status: number | null
  /** True where the provider was never asked, so that the call has cost nothing. */
  readonly unsent: boolean
  constructor(
    code: ProviderCode,
    message: string,
    at: { retryAfterMs?: number | null; status?: number | null; unsent?: boolean } = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'ProviderError'
    this.code = code
    this.retryAfterMs = at.retryAfterMs ?? null
    this.status = at.status ?? null
    this.unsent = at.unsent ?? false
  }
}

const retryableProvider: ReadonlySet<ProviderCode> = new Set(['provider_rate_limited', 'provider_timeout', 'provider_unavailable'])
/** True when the same call may succeed later. */
export function isRetryable(code: ProviderCode): boolean {
  return retryableProvider.has(code)
}

/** What is behind an error, in one line for those who operate: its causes, without the sentence that a caller is told. */
export function reasonOf(error: unknown): string {
  return reasonIn(error, new Set())
}

/** The same; `seen` ends it where errors are causes of themselves. */
function reasonIn(error: unknown, seen: Set<unknown>): string {
  const says: string[] = []
  for (let link = error; link instanceof Error && !seen.has(link) && says.length < 4; link = link.cause) {
    seen.add(link)
    if (link instanceof BatonError && link.cause instanceof Error) continue
    const parts = link instanceof AggregateError && link.message === '' ? link.errors.map((part) => reasonIn(part, seen)) : [link.message]
    const inner = parts.join('; ')
    if (inner !== '' && !says.some((said) => said.includes(inner))) says.push(inner)
  }
  return (says.length === 0 ? String(error) : says.join(': ')).replaceAll(/\s+/g, ' ').slice(0, 300)
}
