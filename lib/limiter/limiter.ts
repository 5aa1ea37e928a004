import { createBreaker } from '#lib/core/breaker'
import type { Config } from '#lib/core/config'
import type { Clock, Limiter, Log, RateLimit } from '#lib/core/ports'
import { unlimited, verdictOf } from '#lib/core/rate'
import { countName, createLocalCounts, type RateState } from '#lib/limiter/local'
import { createRedisCounts, type RedisCounts } from '#lib/limiter/redis'

/** What a limiter is made of; `onMarker` is told the last announcement with each answer of Redis. */
export interface LimiterNeeds {
  redis: Config['redis']
  /** Local mode waits longer for Redis. */
  local: boolean
  clock: Clock
  log: Log
  onMarker(marker: string | null): void
  /** A name for an announcement, different each time. */
  makeMarker(): string
  /** In place of Upstash, for tests. */
  counts?: RedisCounts
}

/** Refused counts that are remembered at a time. */
const mostBlocked = 10_000
/** How long a refusal is believed without asking. */
const blockMs = 1_000

/**
 * Makes the Limiter over Upstash Redis; while Redis is away or not configured the same limits are counted in this process, so N
 * processes let N times as much pass. Of limits that refuse together nothing is taken: what the others had given is given back.
 */
export function createLimiter({ redis, local: localMode, clock, log, onMarker, makeMarker, counts }: LimiterNeeds): Limiter {
  const shared = counts ?? (redis === null ? null : createRedisCounts(redis, localMode))
  const local = createLocalCounts(clock)
  let localChecks = 0
  const breaker = createBreaker(clock, (error, pauseMs) => {
    if (pauseMs === null) return
    log.warn('Redis does not answer and is left alone for a while; rate limits are counted in this process', {
      pauseMs,
      localChecks,
      error: error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 200) : 'unknown error',
    })
  })

  const blocked = new Map<string, { until: number; resetAt: number }>()

  async function take(limits: readonly RateLimit[]): Promise<RateState[]> {
    if (shared !== null) {
      const outcome = await breaker.run(() => shared.take(limits))
      if (outcome.ok) {
        const { states, marker } = outcome.value
        onMarker(marker)
        const refused = states.filter(({ allowed }) => !allowed)
        if (refused.length > 0) giveBack(states.filter(({ allowed }) => allowed).map(({ limit }) => limit))
        for (const { limit, resetMs } of refused) block(limit, resetMs)
        return states
      }
      localChecks += 1
    }
    return local.take(limits)
  }

  /** For a moment nobody asks Redis again: a flood costs it little. No longer, for what others have taken may be given back. */
  function block(limit: RateLimit, resetMs: number): void {
    if (limit.cost !== 1) return
    if (blocked.size >= mostBlocked) blocked.clear()
    const now = clock.monotonic()
    blocked.set(countName(limit), { until: now + Math.min(blockMs, resetMs), resetAt: now + resetMs })
  }

  function standing(limit: RateLimit): RateState | null {
    // Zero means zero: nothing is asked.
    if (limit.limit === 0) return { limit, allowed: false, remaining: 0, resetMs: limit.windowMs }
    const known = blocked.get(countName(limit))
    const now = clock.monotonic()
    if (known === undefined || now >= known.until) return null
    return { limit, allowed: false, remaining: 0, resetMs: Math.ceil(known.resetAt - now) }
  }

  function giveBack(limits: readonly RateLimit[]): void {
    if (limits.length === 0) return
    for (const limit of limits) blocked.delete(countName(limit))
    if (shared === null || breaker.isOpen()) local.giveBack(limits)
    else void breaker.run(() => shared.giveBack(limits))
  }

  let listening: Promise<void> | null = null
  /** One at a time for all who ask meanwhile: a flood asks no faster than Redis answers. */
  function listen(): Promise<void> {
    if (shared === null) return Promise.resolve()
    listening ??= breaker
      .run(() => shared.take([]))
      .then((outcome) => {
        if (outcome.ok) onMarker(outcome.value.marker)
      })
      .finally(() => (listening = null))
    return listening
  }

  return {
    async check(limits) {
      if (limits.length === 0) return unlimited
      const refused = limits.map(standing).filter((state) => state !== null)
      if (refused.length === 0) return verdictOf(await take(limits))
      // Nothing is counted, but a limit that has been raised must be heard of.
      await listen()
      return verdictOf(refused)
    },
    giveBack,
    async announce() {
      if (shared === null) return
      const marker = makeMarker()
      const outcome = await breaker.run(() => shared.setMarker(marker))
      if (outcome.ok) onMarker(marker)
    },
    listen,
    status: () => ({ redis: shared === null ? 'off' : breaker.isOpen() ? 'down' : 'ok', localChecks }),
  }
}
