import type { DatabaseHealth, HealthStatus } from '#lib/core/health'
import type { Sample } from '#lib/core/metrics'
import type { Authority, Refusal } from '#lib/core/store'

/** A line for those on call; of one cause there is one at a time. */
export interface AlertLine {
  cause: string
  text: string
}

/** The part of the store for those who watch: health, metrics, alerts. */
export interface MonitorStore {
  /** `details`: whether the key is an admin's of the deployment's own tenant. */
  health(request: {
    environment: string
    ownTenant: string
    keyHash: string | null
  }): Promise<Omit<DatabaseHealth, 'latencyMs'> & { details: boolean }>
  /** Writes what a process has counted by itself, once for each id. */
  addMetrics(request: { environment: string; id: string; counts: readonly Sample[] }): Promise<void>
  /** What all processes have counted, and what stands in the tables now. */
  readMetrics(authority: Authority, ownTenant: string): Promise<{ ok: true; now: string; samples: Sample[] } | Refusal>
  /** Keeps the status; `send` is true for the one process that shall tell of its change. */
  tellHealth(request: { environment: string; status: HealthStatus; text: string }): Promise<{ send: boolean }>
  /** The lines of these causes were taken; of others the sweep hands out the line again. */
  alertsTold(request: { environment: string; causes: readonly string[] }): Promise<void>
}
