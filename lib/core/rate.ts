import type { Limiter, RateLimit, RateVerdict } from '#lib/core/ports'
import type { Authority } from '#lib/core/store'

/** Limits of one scope as an administrator sets them; what is absent has its default, zero allows nothing. */
export interface LimitValues {
  requestsPerMinute?: number
  messagesPerMinute?: number
  tokensPerMinute?: number
  concurrentRuns?: number
  queuedMessages?: number
  /** Agents that a user may have. */
  agents?: number
}

/** What has been set for a tenant: scope -> values. */
export type TenantLimits = Readonly<Record<string, LimitValues>>

/** Which values each kind of scope takes; `user:*`, `key:*` and `agent:*` set the default of all. */
export const limitFields: Readonly<Record<string, readonly (keyof LimitValues)[]>> = {
  tenant: ['requestsPerMinute', 'messagesPerMinute', 'concurrentRuns'],
  user: ['requestsPerMinute', 'messagesPerMinute', 'concurrentRuns', 'agents'],
  key: ['requestsPerMinute', 'messagesPerMinute'],
  agent: ['messagesPerMinute', 'queuedMessages'],
  tool: ['requestsPerMinute'],
  model: ['requestsPerMinute', 'tokensPerMinute'],
}

/** Limits that are on by default (3-http-api, Who may call): a user may send 60 messages a minute; a key, a user or all who have links to one agent's events may make 600 requests. */
export const defaultRates = { userMessagesPerMinute: 60, requestsPerMinute: 600 }

const windowMs = 60_000

/** Who calls, as far as it is known before the database is asked: `caller` is `key:ID`, `user:ID`, `stream:AGENTUID` or an operator's name. */
export interface RateCaller {
  /** Null for a key that this process has never seen resolved: it is counted by its hash. */
  tenant: string | null
  caller: string | null
  keyHash: string | null
}

/** The values that hold for a scope: its own, else those of all of its kind. */
function valuesOf(limits: TenantLimits, kind: string, id: string): LimitValues {
  return { ...limits[`${kind}:*`], ...limits[`${kind}:${id}`] }
}

function rate(name: string, key: string, limit: number | undefined, cost = 1): RateLimit[] {
  return limit === undefined ? [] : [{ name, key, limit, windowMs, cost }]
}

/** The counts that a request is taken from. Operators have none of their own; limits of tenant and agent hold for everybody. */
export function requestRates(who: RateCaller, limits: TenantLimits, of: { message: boolean; agent: string | null }): RateLimit[] {
  const { tenant, caller, keyHash } = who
  const [kind = '', ...rest] = (caller ?? '').split(':')
  const rates: RateLimit[] = []
  const add = (name: string, key: string, values: LimitValues): void => {
    rates.push(...rate(name, `${key}:requests`, values.requestsPerMinute))
    if (of.message) rates.push(...rate(`${name}-messages`, `${key}:messages`, values.messagesPerMinute))
  }
  const requestsPerMinute = defaultRates.requestsPerMinute
  if (kind === 'user') {
    const messagesPerMinute = defaultRates.userMessagesPerMinute
    add('user', `${tenant}:${caller}`, { requestsPerMinute, messagesPerMinute, ...valuesOf(limits, 'user', rest.join(':')) })
  } else if (kind === 'stream') {
    // Whoever has a link may pass it on: they share what its agent has.
    add('stream', `${tenant}:${caller}`, { requestsPerMinute })
  } else if (keyHash !== null) {
    const values = kind === 'key' ? valuesOf(limits, 'key', rest.join(':')) : {}
    // By its hash also when its id is known: a count must not begin anew when the key is resolved.
    add('key', `key:${keyHash.slice(0, 16)}`, { requestsPerMinute, ...values })
  }
  if (tenant !== null) {
    add('tenant', `${tenant}:tenant`, limits['tenant'] ?? {})
    if (of.agent !== null && of.message) rates.push(...agentRates(tenant, limits, of.agent))
  }
  return rates
}

/** The count that a message to an agent is taken from, where one is set. */
export function agentRates(tenant: string | null, limits: TenantLimits, agent: string): RateLimit[] {
  if (tenant === null) return []
  return rate('agent-messages', `${tenant}:agent:${agent}:messages`, valuesOf(limits, 'agent', agent).messagesPerMinute)
}

/** The count that a call of a tool is taken from, where one is set. */
export function toolRates(tenant: string, limits: TenantLimits, name: string): RateLimit[] {
  return rate('tool', `${tenant}:tool:${name}`, limits[`tool:${name}`]?.requestsPerMinute)
}

/** The counts that a model call is taken from. A call above the whole limit of tokens takes all of it: it could never be made otherwise. */
export function modelRates(tenant: string, limits: TenantLimits, model: string, tokens: number): RateLimit[] {
  const { requestsPerMinute, tokensPerMinute } = limits[`model:${model}`] ?? {}
  const key = `${tenant}:model:${model}`
  const cost = Math.min(tokens, tokensPerMinute ?? tokens)
  return [
    ...rate('model-requests', `${key}:requests`, requestsPerMinute),
    ...(cost > 0 || tokensPerMinute === 0 ? rate('model-tokens', `${key}:tokens`, tokensPerMinute, cost) : []),
  ]
}

/** The verdict where no limit applies. */
export const unlimited: RateVerdict = { allowed: true, which: null, remaining: 0, resetMs: 0, states: [] }

/** The whole verdict of what each count says: the refusing one that is longest in the way, else the one with least left. */
export function verdictOf(states: RateVerdict['states']): RateVerdict {
  const refused = states.filter(({ allowed }) => !allowed).toSorted((a, b) => b.resetMs - a.resetMs)[0]
  const state = refused ?? states.toSorted((a, b) => a.remaining - b.remaining)[0]
  if (state === undefined) return unlimited
  return { allowed: refused === undefined, which: state.limit, remaining: state.remaining, resetMs: state.resetMs, states }
}

/** What the HTTP layer is told: `beside` is work that goes on after the answer and never rejects. */
export interface RequestVerdict {
  verdict: RateVerdict
  beside: Promise<void> | null
}

/** The tokens that a model call was taken for: the count with its cost, and the time of the monotonic clock at which its window is over. */
export interface TokensTaken {
  limit: RateLimit
  until: number
}

/** What the limits say of a model call; `tokens` is null where none of them counts any. */
export interface ModelVerdict extends RateVerdict {
  tokens: TokensTaken | null
}

/** The rate limits of callers, tools and models: the settings of tenants over the counts of a Limiter. Nothing of it ever throws. */
export interface RateLimits {
  /** Takes a request from its counts, before the database is asked. */
  request(authority: Authority, of: { message: boolean; agent: string | null }): Promise<RequestVerdict>
  /** Takes a message whose agent only its body names from that agent's count; the caller's own were taken by `request`. */
  agent(authority: Authority, agent: string): Promise<RequestVerdict>
  tool(tenantId: string, name: string): Promise<RateVerdict>
  /** `tokens` is the worst case of the call. */
  model(tenantId: string, model: string, tokens: number): Promise<ModelVerdict>
  /** Gives back what a call was taken for beyond the tokens that it has used; nothing once another window has begun. */
  unused(taken: TokensTaken | null, used: number): void
  /** Limits have been set: every process that reaches Redis asks the database anew. Waits 300 ms at most. */
  changed(): Promise<void>
  status(): ReturnType<Limiter['status']>
}

/** No limits at all: for engines without a stack. */
export const noRates: Pick<RateLimits, 'tool' | 'model' | 'unused'> = {
  tool: () => Promise.resolve(unlimited),
  model: () => Promise.resolve({ ...unlimited, tokens: null }),
  unused: () => undefined,
}
