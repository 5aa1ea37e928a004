import { BatonError } from '#lib/core/errors'
import type { RateVerdict } from '#lib/core/ports'
import type { RateLimits, RequestVerdict } from '#lib/core/rate'
import type { Authority } from '#lib/core/store'
import type { Caller } from '#lib/http/caller'
import type { Endpoint } from '#lib/http/endpoint'

/** What a request is taken from its caller's limits with. */
export interface RateRequest {
  caller: Caller
  endpoint: Pick<Endpoint<never>, 'access' | 'counts'>
  environment: string
  /** The decoded `{id}` of the path, where there is one. */
  id: string | undefined
  rates: Pick<RateLimits, 'request'>
  background: (work: Promise<unknown>) => void
}

/**
 * Takes the request from its caller's limits before the database is asked for anything, and gives the headers that its answer
 * carries, whatever it will be. Throws BatonError rate_limited, with those headers and `hard: false`: nothing was spent or kept.
 */
export async function takeFromLimits({
  caller,
  endpoint,
  environment,
  id,
  rates,
  background,
}: RateRequest): Promise<Record<string, string>> {
  if (endpoint.access === 'open' || endpoint.access === 'status') return {}
  const message = endpoint.counts === 'message'
  const authority = { environment, credential: caller.credential, requestId: caller.requestId }
  return allowed(await rates.request(authority, { message, agent: message ? (id ?? null) : null }), background)
}

/** Takes a message whose agent only its body names from that agent's limits. Throws as `takeFromLimits` does. */
export async function takeFromAgent(
  rates: Pick<RateLimits, 'agent'>,
  authority: Authority,
  agent: string,
  background: (work: Promise<unknown>) => void,
): Promise<void> {
  allowed(await rates.agent(authority, agent), background)
}

/** The headers of a verdict that lets the request pass; throws BatonError rate_limited for one that does not. */
function allowed({ verdict, beside }: RequestVerdict, background: (work: Promise<unknown>) => void): Record<string, string> {
  if (beside !== null) background(beside)
  const headers = rateHeaders(verdict)
  if (verdict.allowed || verdict.which === null) return headers
  const { name, limit, windowMs } = verdict.which
  throw new BatonError(
    'rate_limited',
    `The limit ${name} of ${limit} in ${windowMs / 1_000} s is used up; nothing was done. Ask again in ${Math.ceil(verdict.resetMs / 1_000)} s.`,
    { hard: false, limit: { name, limit, windowMs }, retryAfterMs: verdict.resetMs },
    { headers },
  )
}

/** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): quota and window, what remains and the seconds until it is whole again. */
export function rateHeaders({ states }: RateVerdict): Record<string, string> {
  if (states.length === 0) return {}
  const seconds = (ms: number): number => Math.ceil(ms / 1_000)
  return {
    'ratelimit-policy': states.map(({ limit }) => `"${limit.name}";q=${limit.limit};w=${seconds(limit.windowMs)}`).join(', '),
    ratelimit: states.map(({ limit, remaining, resetMs }) => `"${limit.name}";r=${remaining};t=${seconds(resetMs)}`).join(', '),
  }
}
