import type { Ratelimit } from '@upstash/ratelimit'
import type { Redis } from '@upstash/redis'
import type { Config } from '#lib/core/config'
import type { RateLimit } from '#lib/core/ports'
import { countName, type RateState } from '#lib/limiter/local'

/**
 * Longest time one request to Redis may take (2-run-contract, One engine). In local mode everything shares the cores of one machine,
 * and tests want exact counts rather than fast ones.
 */
const timeoutMs = { usual: 300, local: 3_000 }
/** Kinds of limits that are remembered; there are as many as different numbers have been set. */
const mostLimiters = 1_000
/** An announcement is remembered so long: far longer than any process keeps settings without asking. */
const markerLifeS = 86_400

/** Counts over all processes. Each call is one HTTP request and throws when Redis does not answer. */
export interface RedisCounts {
  /** Each limit is taken from by itself: what others refuse must be given back. `marker` is the last announcement. */
  take(limits: readonly RateLimit[]): Promise<{ states: RateState[]; marker: string | null }>
  giveBack(limits: readonly RateLimit[]): Promise<void>
  setMarker(marker: string): Promise<void>
}

/** Makes the counts over Upstash Redis; client and library are loaded with the first use, not before (cold start). */
export function createRedisCounts(settings: NonNullable<Config['redis']>, local: boolean): RedisCounts {
  const markerKey = `${settings.prefix}limits:changed`
  const limiters = new Map<string, Ratelimit>()
  let loaded: ReturnType<typeof load> | null = null
  const parts = (): ReturnType<typeof load> => (loaded ??= load(settings, local ? timeoutMs.local : timeoutMs.usual))

  /**
   * A bucket that is filled as a whole a window after its first use. The library's sliding window would let a limit of one a
   * minute pass twice in a second around the turn of the minute, and takes costs above what is left before it refuses them.
   */
  function limiterOf({ limit, windowMs }: RateLimit, { Limiter, redis }: Awaited<ReturnType<typeof load>>): Ratelimit {
    const name = `${limit}:${windowMs}`
    const known = limiters.get(name)
    if (known !== undefined) return known
    if (limiters.size >= mostLimiters) limiters.clear()
    const limiter = new Limiter({
      redis,
      prefix: `${settings.prefix}limit`,
      limiter: Limiter.tokenBucket(limit, `${windowMs} ms`, limit),
      // Ours is the client's signal: the library's own lets everything pass when it is over.
      timeout: 0,
      ephemeralCache: false,
      analytics: false,
    })
    limiters.set(name, limiter)
    return limiter
  }

  return {
    async take(limits) {
      const tools = await parts()
      const now = Date.now()
      // Called in one turn of the event loop, so that the client sends them as one pipeline.
      const [marker, ...states] = await Promise.all([
        // GETEX, for the client keeps what it takes for reads (GET) apart from scripts.
        tools.redis.getex<string>(markerKey),
        ...limits.map(async (limit): Promise<RateState> => {
          const { success, remaining, reset } = await limiterOf(limit, tools).limit(countName(limit), { rate: limit.cost })
          return { limit, allowed: success, remaining, resetMs: Math.max(1, reset - now) }
        }),
      ])
      return { states, marker }
    },
    async giveBack(limits) {
      const tools = await parts()
      await Promise.all(limits.map((limit) => limiterOf(limit, tools).limit(countName(limit), { rate: -limit.cost })))
    },
    async setMarker(marker) {
      const { redis } = await parts()
      await redis.set(markerKey, marker, { ex: markerLifeS })
    },
  }
}

async function load(
  settings: NonNullable<Config['redis']>,
  commandTimeoutMs: number,
): Promise<{ redis: Redis; Limiter: typeof Ratelimit }> {
  const [client, library] = await Promise.all([import('@upstash/redis'), import('@upstash/ratelimit')])
  const redis = new client.Redis({
    url: settings.url,
    token: settings.token,
    // No repetition: a script whose reply was lost would count twice. A plain signal would turn an abort into a result (7-stack-facts).
    retry: false,
    signal: () => AbortSignal.timeout(commandTimeoutMs),
    enableTelemetry: false,
    automaticDeserialization: false,
    enableAutoPipelining: true,
  })
  return { redis, Limiter: library.Ratelimit }
}
