import type { ModelPrice } from '#lib/core/prices'

/** What Baton is configured with: made once by lib/env from the environment, checked before the first request. Times in milliseconds. */
export interface Config {
  environment: string
  /** True only when BATON_LOCAL is set by the local stack. */
  local: boolean
  /** Where this deployment is reached, without a slash at the end; null when only the request knows. */
  baseUrl: string | null
  tenantId: string
  supabase: { url: string; secretKey: string }
  redis: { url: string; token: string; prefix: string } | null
  inngest: { eventKey: string | null; signingKey: string | null; appId: string; dev: string | null }
  encryptionKey: Uint8Array
  leaseMs: number
  sweepEveryMs: number
  /** The function's own limit (vercel.json maxDuration); the hard limit is this less 5 s. */
  maxDurationMs: number
  hardMarginMs: number
  /** How long a caller waits for the answer when Prefer names nothing. */
  defaultWaitMs: number
  /** Divides back-offs of poison and re-sends: 1 in production, 10 in local mode. */
  haste: number
  maxStepCrashes: number
  maxBodyBytes: number
  maxMessageBytes: number
  maxResultBytes: number
  toolTimeoutMs: number
  cronEnabled: boolean
  /** Origins that may call from browsers. */
  corsOrigins: readonly string[]
  /** The price of models that have none in lib/providers.ts; null refuses them. */
  priceCeiling: ModelPrice | null
}
