import type { Config } from '#lib/core/config'
import type { NewKey } from '#lib/core/keys'
import type { Store } from '#lib/core/pages'
import type { Queue } from '#lib/core/ports'
import type { RateLimits } from '#lib/core/rate'
import type { EngineServices } from '#lib/engine/services'
import type { HttpServices } from '#lib/http/endpoint'
import type { Alerts } from '#lib/jobs/alerts'
import type { Sweep } from '#lib/jobs/sweep'

/** What only the local mode has: the effects log and the clock that tests move. */
export interface LocalServices {
  effects(filter: { key?: string | undefined; runId?: string | undefined }): Promise<unknown[]>
  time(advanceMs: number): Promise<{ now: string; offsetMs: number }>
  /** Lets this process die (SIGKILL) at a point, for tests; null takes it back. */
  crash(point: Record<string, unknown> | null): void
}

/** Everything that handlers use; made by lib/baton. */
export interface Services extends EngineServices, HttpServices {
  config: Config
  store: Store
  queue: Queue
  rates: RateLimits
  local: LocalServices | null
  sweep: Sweep
  alerts: Alerts
  /** Asks Redis now; only where there is one. */
  checkRedis(): Promise<{ connected: boolean; latencyMs: number | null }>
  /** Makes the tenant where it is the deployment's own and does not exist; false where it is another's, or belongs to another environment. */
  ensureTenant(tenant: string): Promise<boolean>
  /** A new API key and what may be stored of it. */
  makeKey(id: string): { text: string; stored: NewKey }
  /** Throws BatonError webhook_refused for a secret that no receiver could use. */
  sealSecret(plain: string): string
  /** Tells whether two secrets are the same; sealed ones never look alike. */
  markSecret(plain: string): string
  makeWebhookSecret(): string
  checkWebhookAddress(url: string): URL
}
