import { z } from 'zod'
import type { ProviderCode } from '#lib/core/errors'
import { ProviderError } from '#lib/core/errors'
import { redactText } from '#lib/core/secret-values'
import { retryAfterMs } from '#lib/models/retry-after'

/** What the providers' own words for an error mean where they say more than the status does. */
const byProviderCode: Readonly<Record<string, ProviderCode>> = {
  insufficient_quota: 'provider_quota',
  billing_error: 'provider_quota',
  billing_hard_limit_reached: 'provider_quota',
  billing_not_active: 'provider_quota',
  insufficient_funds: 'provider_quota',
  context_length_exceeded: 'context_too_long',
  context_window_exceeded: 'context_too_long',
  model_context_window_exceeded: 'context_too_long',
  prompt_too_long: 'context_too_long',
  request_too_large: 'context_too_long',
  content_filter: 'content_filtered',
  content_policy_violation: 'content_filtered',
  ResponsibleAIPolicyViolation: 'content_filtered',
  invalid_prompt: 'content_filtered',
  model_not_found: 'model_not_found',
  invalid_api_key: 'provider_auth',
}

/** Words as coarse as a status: looked at only where there is none, as inside a stream. */
const byTypeAlone: Readonly<Record<string, ProviderCode>> = {
  authentication_error: 'provider_auth',
  permission_error: 'provider_auth',
  forbidden: 'provider_auth',
  rate_limit_error: 'provider_rate_limited',
  rate_limit_exceeded: 'provider_rate_limited',
  overloaded_error: 'provider_unavailable',
  slow_down: 'provider_unavailable',
  api_error: 'provider_unavailable',
  server_error: 'provider_unavailable',
  internal_server_error: 'provider_unavailable',
  failed_dependency: 'provider_unavailable',
  timeout_error: 'provider_timeout',
  not_found_error: 'model_not_found',
  not_found: 'model_not_found',
  invalid_request_error: 'bad_request',
}

const byStatus: Readonly<Record<number, ProviderCode>> = {
  401: 'provider_auth',
  402: 'provider_quota',
  403: 'provider_auth',
  404: 'model_not_found',
  408: 'provider_timeout',
  409: 'provider_unavailable',
  424: 'provider_unavailable',
  425: 'provider_unavailable',
  429: 'provider_rate_limited',
}

/** Names of the AI SDK's own errors, codes of sockets and of the HTTP client. */
const byName: Readonly<Record<string, ProviderCode>> = {
  AI_LoadAPIKeyError: 'provider_auth',
  AI_LoadSettingError: 'provider_auth',
  GatewayAuthenticationError: 'provider_auth',
  GatewayError: 'provider_auth',
  AI_NoSuchModelError: 'model_not_found',
  AI_NoSuchProviderError: 'model_not_found',
  AI_InvalidPromptError: 'bad_request',
  AI_InvalidArgumentError: 'bad_request',
  AI_InvalidMessageRoleError: 'bad_request',
  AI_UnsupportedFunctionalityError: 'bad_request',
  AI_MissingToolResultsError: 'bad_request',
  TimeoutError: 'provider_timeout',
  ETIMEDOUT: 'provider_timeout',
  UND_ERR_CONNECT_TIMEOUT: 'provider_timeout',
  UND_ERR_HEADERS_TIMEOUT: 'provider_timeout',
  UND_ERR_BODY_TIMEOUT: 'provider_timeout',
}

const word = z.union([z.string(), z.number()]).transform(String).optional().catch(undefined)

/** The parts of a provider's error that mean something, wherever an SDK puts them. */
const link = z.object({
  name: word,
  message: word,
  statusCode: z.int().optional().catch(undefined),
  type: word,
  code: word,
  responseHeaders: z.record(z.string(), z.string()).optional().catch(undefined),
  responseBody: z.string().optional().catch(undefined),
  data: z.unknown().optional(),
  error: z.unknown().optional(),
  response: z.unknown().optional(),
  cause: z.unknown().optional(),
  details: z.object({ error_code: word }).optional().catch(undefined),
  innererror: z.object({ code: word }).optional().catch(undefined),
})
type Link = z.infer<typeof link>

/** An error, its causes and the documents they carry, outermost first; bounded, because errors may refer to themselves. */
function chain(error: unknown): Link[] {
  const links: Link[] = []
  const open: unknown[] = [error]
  while (open.length > 0 && links.length < 12) {
    const parsed = link.safeParse(open.shift())
    if (!parsed.success) continue
    links.push(parsed.data)
    open.push(parsed.data.error, parsed.data.data, body(parsed.data.responseBody), parsed.data.response, parsed.data.cause)
  }
  return links
}

function body(text: string | undefined): unknown {
  if (text === undefined || !text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    // A proxy's page in place of the provider's document says nothing beyond its status.
    return undefined
  }
}

function firstKnown(words: readonly (string | undefined)[], table: Readonly<Record<string, ProviderCode>>): ProviderCode | null {
  const known = words.find((candidate) => candidate !== undefined && Object.hasOwn(table, candidate))
  return known === undefined ? null : (table[known] ?? null)
}

/** The code of an HTTP status alone. Anything that is no client error may pass, so it counts as unavailable. */
export function codeOfStatus(status: number): ProviderCode {
  return byStatus[status] ?? (status >= 400 && status < 500 ? 'bad_request' : 'provider_unavailable')
}

function codeOf(links: readonly Link[], status: number | null): ProviderCode {
  const words = links.flatMap((one) => [one.innererror?.code, one.details?.error_code, one.code, one.type])
  const named = firstKnown(words, byProviderCode)
  if (named !== null) return named
  // Anthropic has no code for a prompt that is too long, only this status for a body that is too large.
  if (status === 413) return 'context_too_long'
  if (status !== null && status >= 400) return codeOfStatus(status)
  const names = links.flatMap((one) => [one.name, one.code])
  return firstKnown(words, byTypeAlone) ?? firstKnown(names, byName) ?? 'provider_unavailable'
}

/**
 * Makes a ProviderError of whatever a provider or the AI SDK has thrown: by HTTP status and by the provider's error type
 * and code, never by the words of a message (2-run-contract, Retries). What cannot be told counts as `provider_unavailable`.
 * `now` (milliseconds since the epoch) is for `retry-after` dates.
 */
export function classify(error: unknown, provider: string, now: number): ProviderError {
  if (error instanceof ProviderError) return error
  const links = chain(error)
  const status = links.map((one) => one.statusCode).find((candidate) => candidate !== undefined) ?? null
  const headers = links.map((one) => one.responseHeaders).find((candidate) => candidate !== undefined) ?? {}
  const code = codeOf(links, status)
  const said = links.map((one) => one.message).find((candidate) => candidate !== undefined && candidate !== '') ?? String(error)
  const message = `${provider}${status === null ? '' : ` answered ${status}`}: ${redactText(said).slice(0, 500)}`
  const lowered = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  return new ProviderError(code, message, { status, retryAfterMs: retryAfterMs(lowered, status, now) }, { cause: error })
}
