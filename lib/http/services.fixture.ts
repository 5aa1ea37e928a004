import type { Config } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'
import { unlimited } from '#lib/core/rate'
import { createRedactor } from '#lib/core/redact'
import type { HttpServices } from '#lib/http/endpoint'

export interface LogLine {
  level: 'info' | 'warn' | 'error'
  message: string
  fields: Record<string, unknown>
}

const localConfig: Config = {
  environment: 'test',
  local: true,
  baseUrl: null,
  tenantId: 'ten_local',
  access: {
    required: false,
    adminKey: null,
    users: {
      jwtSecret: null,
      jwksUrl: null,
      issuer: null,
      tenantClaim: 'tenant_id',
      tenant: 'ten_local',
      allowAnonymous: false,
      enabled: true,
    },
  },
  supabase: { url: 'http://127.0.0.1:1', secretKey: 'sb_secret_x' },
  redis: null,
  inngest: { eventKey: null, signingKey: null, appId: 'baton-test', dev: '1' },
  encryptionKey: new Uint8Array(32).fill(7),
  leaseMs: 6_000,
  sweepEveryMs: 2_000,
  maxDurationMs: 60_000,
  hardMarginMs: 5_000,
  defaultWaitMs: 25_000,
  haste: 10,
  maxStepCrashes: 3,
  maxBodyBytes: 4_096,
  maxMessageBytes: 2_048,
  maxResultBytes: 1_024,
  toolTimeoutMs: 1_000,
  modelSilenceMs: 60_000,
  cronEnabled: false,
  priceCeiling: null,
  corsOrigins: ['https://app.example.com'],
  metricsToken: 'metrics-token-0123456789-0123456789',
  alertWebhook: null,
  log: { format: 'json', lines: [] },
  traces: false,
  sampling: { by: 'parentbased_always_on', ratio: 1 },
  concurrency: 5,
  migrations: [],
}

/** Services with a clock that stands at one instant, ids that count, and the lines of the log. */
export function testServices(changes: Partial<Config> = {}): HttpServices & { lines: LogLine[] } {
  const lines: LogLine[] = []
  let made = 0
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      lines.push({ level, message, fields })
    }
  return {
    lines,
    config: { ...localConfig, ...changes },
    log: { info: write('info'), warn: write('warn'), error: write('error') },
    redact: createRedactor([localConfig.supabase.secretKey]),
    clock: { now: () => 1_700_000_000_000, monotonic: () => 0, sleep: () => Promise.resolve(), random: () => 0.5 },
    access: {
      isAdminKey: (text) => text === 'admin-key',
      isMetricsToken: (text) => text === 'metrics-token',
      verifyUser: (token) =>
        token.startsWith('user-')
          ? Promise.resolve({ id: token, tenant: 'ten_users' })
          : Promise.reject(new BatonError('unauthorized', 'The token is not valid.')),
      isSetUp: () => Promise.resolve(true),
      signIn: null,
    },
    rates: { request: () => Promise.resolve({ verdict: unlimited, beside: null }) },
    telemetry: {
      within: (_fields, work) => work(),
      span: (_info, work) => work({ set: () => undefined, fail: () => undefined }),
      traceparent: () => null,
      flush: () => Promise.resolve(),
    },
    metrics: { count: () => undefined, observe: () => undefined, due: () => false, flush: () => Promise.resolve() },
    settled: () => Promise.resolve(),
    ending: () => false,
    ids: { make: (prefix) => `${prefix}_${(made += 1)}`, uuid: () => String((made += 1)) },
  }
}
