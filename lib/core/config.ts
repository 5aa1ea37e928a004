import type { ModelPrice } from '#lib/core/prices'

/** Who may call (3-http-api), as far as the environment says it; API keys stand in the database. */
export interface AccessConfig {
  /** True outside local mode, with a real Supabase, and where BATON_LOCAL_ACCESS asks for it: nobody calls without a credential. */
  required: boolean
  /** A key of all rights for the deployment's own tenant, until API keys exist. */
  adminKey: string | null
  users: {
    /** The legacy shared secret of the project. */
    jwtSecret: string | null
    /** Where the project's public keys stand; null in the local stack, which has none. */
    jwksUrl: string | null
    /** Null where the issuer is not known (the local stack). */
    issuer: string | null
    /** The name under app_metadata that says a user's tenant. */
    tenantClaim: string
    /** The tenant of users whose token names none; null refuses them. */
    tenant: string | null
    allowAnonymous: boolean
    /** True when somebody has set up that users may call. */
    enabled: boolean
  }
}

/** The kinds of lines that are written only where BATON_LOG_LINES names them. */
export const logLines = ['usage', 'retry', 'cache'] as const
/** One of these kinds. */
export type LogLineKind = (typeof logLines)[number]

/** How log lines look, and which of the many small ones are written. */
export interface LogConfig {
  format: 'json' | 'text'
  lines: readonly LogLineKind[]
}

/** How traces are chosen, in the words of OTEL_TRACES_SAMPLER. */
export const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const
/** Which traces are recorded; `ratio` (0 to 1) holds for those by ratio. */
export interface Sampling {
  by: (typeof samplers)[number]
  ratio: number
}

/** What Baton is configured with: made once by lib/env from the environment, checked before the first request. Times in milliseconds. */
export interface Config {
  environment: string
  /** True only when BATON_LOCAL is set by the local stack. */
  local: boolean
  /** Where this deployment is reached, without a slash at the end; null when only the request knows. */
  baseUrl: string | null
  tenantId: string
  access: AccessConfig
  supabase: { url: string; secretKey: string }
  redis: { url: string; token: string; prefix: string } | null
  inngest: { eventKey: string | null; signingKey: string | null; appId: string; dev: string | null }
  encryptionKey: Uint8Array
  leaseMs: number
  sweepEveryMs: number
  /** The function's own limit (on Vercel maxDuration of the route files); the hard limit is this less 5 s. */
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
  modelSilenceMs: number
  cronEnabled: boolean
  /** Origins that may call from browsers. */
  corsOrigins: readonly string[]
  /** The price of models that have none in lib/providers.ts; null refuses them. */
  priceCeiling: ModelPrice | null
  /** Opens metrics and the details of health, and nothing else. */
  metricsToken: string | null
  /** Where one line of text goes when somebody on call should know. */
  alertWebhook: string | null
  log: LogConfig
  /** True when OTEL_* says where traces go. */
  traces: boolean
  sampling: Sampling
  /** So many slices, and so many deliveries of webhooks, Inngest runs at a time. */
  concurrency: number
  /** The migrations that belong to this code. */
  migrations: readonly string[]
}
