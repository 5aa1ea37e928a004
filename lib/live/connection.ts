import type { Redis } from '@upstash/redis'
import type { Config } from '#lib/core/config'
import type { Clock, Log } from '#lib/core/ports'
import { createBreaker, type Outcome } from '#lib/core/breaker'
import { reasonOf } from '#lib/core/errors'

/** Where Redis is and what all keys begin with. */
export type RedisSettings = NonNullable<Config['redis']>

const timeoutMs = { usual: 300, local: 2_000 }

/**
 * Longest time one request to Redis may take, its repetition included. In local mode everything shares the cores of one machine, and a
 * busy one is no outage.
 */
export function commandTimeoutMs(local: boolean): number {
  return local ? timeoutMs.local : timeoutMs.usual
}

/** Redis behind a time-out and a breaker. */
export interface Connection {
  /** Runs commands; `ok: false` when Redis failed or is left alone for a while. Never throws. */
  run<Value>(work: (redis: Redis) => Promise<Value>): Promise<Outcome<Value>>
  /** True when commands would be tried now. */
  available(): boolean
  health(): 'ok' | 'down'
}

/** Makes the connection; the client is loaded with the first command, not before (cold start). */
export function createConnection(settings: RedisSettings, clock: Clock, log: Log, timeoutMs: number): Connection {
  const breaker = createBreaker(clock, (error, pauseMs) => {
    if (pauseMs !== null)
      log.warn('Redis does not answer and is left alone for a while; live deltas stay in their process', {
        pauseMs,
        error: describe(error),
      })
  })
  let client: Promise<Redis> | null = null
  return {
    run: (work) =>
      breaker.run(async () => {
        client ??= load(settings, timeoutMs)
        return work(await client)
      }),
    available: breaker.allows,
    health: () => (breaker.isOpen() ? 'down' : 'ok'),
  }
}

async function load(settings: RedisSettings, timeoutMs: number): Promise<Redis> {
  const { Redis } = await import('@upstash/redis')
  return new Redis({
    url: settings.url,
    token: settings.token,
    // The client's own values spend 4.3 s on a dead Redis (7-stack-facts); a plain signal would turn an abort into a result.
    retry: { retries: 1, backoff: () => 20 },
    signal: () => AbortSignal.timeout(timeoutMs),
    enableTelemetry: false,
    automaticDeserialization: false,
    // Commands are sent as they are written here; what belongs together is in one pipeline already.
    enableAutoPipelining: false,
  })
}

/** The error for the log, without the command that the client appends: it holds what the model wrote. */
export function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : 'unknown error'
  const behind = error instanceof Error && error.cause !== undefined ? ` (${reasonOf(error.cause)})` : ''
  return `${text.split(', command was')[0] ?? text}${behind}`.slice(0, 200)
}
