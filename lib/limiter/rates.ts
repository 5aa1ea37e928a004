import type { Config } from '#lib/core/config'
import type { Clock, Ids, Log, Metrics, RateLimit, RateVerdict } from '#lib/core/ports'
import {
  agentRates,
  modelRates,
  requestRates,
  toolRates,
  type RateCaller,
  type RateLimits,
  type RequestVerdict,
  type TenantLimits,
} from '#lib/core/rate'
import type { Authority } from '#lib/core/store'
import { createLimiter } from '#lib/limiter/limiter'
import type { RedisCounts } from '#lib/limiter/redis'
import { createRefusals, type TellRefusals } from '#lib/limiter/refusals'
import { createLimitSettings, type LimitsSource } from '#lib/limiter/settings'

/** What the limits of a process are made of. */
export interface RatesNeeds {
  redis: Config['redis']
  local: boolean
  clock: Clock
  ids: Ids
  log: Log
  source: LimitsSource
  /** Writes the audit entry of refused requests. */
  tell: TellRefusals
  metrics: Pick<Metrics, 'count'>
  /** In place of Upstash, for tests. */
  counts?: RedisCounts
}

/** Who has no count of its own looks for announcements of changed limits so often, beside its work. */
const listenEveryMs = 1_000

/** Makes the rate limits of a process. */
export function createRates({ redis, local, clock, ids, log, source, tell, metrics, counts }: RatesNeeds): RateLimits {
  const settings = createLimitSettings(source, clock, log)
  const limiter = createLimiter({
    redis,
    local,
    clock,
    log,
    makeMarker: () => ids.make('mark'),
    onMarker: settings.note,
    ...(counts === undefined ? {} : { counts }),
  })
  const refusals = createRefusals(tell, clock, log)
  let listenedAt = Number.NEGATIVE_INFINITY

  function listenBeside(): Promise<void> | null {
    if (redis === null || clock.monotonic() - listenedAt < listenEveryMs) return null
    listenedAt = clock.monotonic()
    return limiter.listen()
  }

  /**
   * The first check may bring the news that limits have been changed: then they are loaded anew, and where others hold for this work
   * it is taken from those instead. Where the same hold it stays taken once: given back and taken again it would be in others' way.
   */
  async function decide(load: () => Promise<readonly RateLimit[]>): Promise<RateVerdict> {
    const verdict = await verdictOn(load)
    if (!verdict.allowed) metrics.count('baton_rate_limit_refusals_total', { limit: verdict.which?.name ?? 'none' })
    return verdict
  }

  async function verdictOn(load: () => Promise<readonly RateLimit[]>): Promise<RateVerdict> {
    const before = settings.version()
    const rates = await load()
    const verdict = await limiter.check(rates)
    if (settings.version() === before) return verdict
    const changed = await load()
    if (JSON.stringify(changed) === JSON.stringify(rates)) return verdict
    if (verdict.allowed) limiter.giveBack(rates)
    return limiter.check(changed)
  }

  /** What a caller is taken from; its refusal is told to the audit log. */
  async function ofCaller(authority: Authority, from: (who: RateCaller, limits: TenantLimits) => RateLimit[]): Promise<RequestVerdict> {
    let name = ''
    const verdict = await decide(async () => {
      const { who, limits } = await settings.of(authority)
      name = `${who.tenant}:${who.caller ?? who.keyHash}`
      return from(who, limits)
    })
    if (verdict.allowed) return { verdict, beside: verdict.which === null ? listenBeside() : null }
    return { verdict, beside: refusals.note(authority, name, verdict) }
  }

  return {
    request: (authority, of) => ofCaller(authority, (who, limits) => requestRates(who, limits, of)),
    agent: (authority, agent) => ofCaller(authority, ({ tenant }, limits) => agentRates(tenant, limits, agent)),
    tool: (tenantId, name) => decide(async () => toolRates(tenantId, await settings.ofTenant(tenantId), name)),
    async model(tenantId, model, tokens) {
      const from = clock.monotonic()
      const verdict = await decide(async () => modelRates(tenantId, await settings.ofTenant(tenantId), model, tokens))
      const state = verdict.states.find(({ limit }) => limit.name === 'model-tokens')
      return { ...verdict, tokens: state === undefined ? null : { limit: state.limit, until: from + state.resetMs } }
    },
    unused(taken, used) {
      if (taken === null || clock.monotonic() >= taken.until) return
      const { limit } = taken
      // What was taken is no more than the whole limit, so what was used is measured by it too.
      const cost = limit.cost - Math.min(used, limit.limit)
      if (cost > 0) limiter.giveBack([{ ...limit, cost }])
    },
    changed() {
      settings.forget()
      return limiter.announce()
    },
    status: limiter.status,
  }
}
