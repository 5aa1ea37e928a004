import { judge, missingMigrations, type DatabaseHealth, type Health, type HealthFacts } from '#lib/core/health'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { within } from '#lib/api/within'
import type { Services } from '#lib/services'
import type { Caller } from '#lib/http/caller'

/** Each check may take so long, in milliseconds; all run at once, so that the answer comes within 3 s. */
const checkMs = 2_000
/** A monitor that asks again sooner learns nothing new. */
const again = { 'retry-after': '2' }

/** What the database says, and whether the caller may see it: the operator, or an admin key of the deployment's own tenant. */
async function askDatabase(
  services: Services,
  caller: Caller,
): Promise<{ database: DatabaseHealth | null; why: string | null; details: boolean }> {
  const { clock, config, store, log } = services
  const from = clock.monotonic()
  const keyHash = caller.kind === 'key' && 'keyHash' in caller.credential ? caller.credential.keyHash : null
  const asked = await within(clock, checkMs, store.health({ environment: config.environment, ownTenant: config.tenantId, keyHash }))
  const operator = caller.kind === 'operator'
  if ('why' in asked) {
    log.warn('the database does not answer', { error: asked.why })
    return { database: null, why: asked.why, details: operator }
  }
  const { details, ...found } = asked.value
  return { database: { ...found, latencyMs: Math.round(clock.monotonic() - from) }, why: null, details: operator || details }
}

/** Asks Redis; null where there is none. */
export async function askRedis(services: Services): Promise<HealthFacts['redis']> {
  if (services.config.redis === null) return null
  const asked = await within(services.clock, checkMs, services.checkRedis())
  return 'why' in asked ? { connected: false, latencyMs: null } : asked.value
}

async function look(services: Services, caller: Caller): Promise<{ facts: HealthFacts; health: Health; details: boolean }> {
  const { config } = services
  const [{ details, ...asked }, redis] = await Promise.all([askDatabase(services, caller), askRedis(services)])
  const facts = { ...asked, redis, expected: config.migrations, sweepEveryMs: config.sweepEveryMs, clock: config.cronEnabled }
  return { facts, health: judge(facts), details }
}

function checksOf({ database, redis }: HealthFacts, { missing }: Health): Record<string, unknown> {
  const { lastSweepAgeMs = null, oldestDueAgeMs = null, oldestOutboxAgeMs = null, auditFailures = null, providers = null } = database ?? {}
  return {
    database: { connected: database !== null, latencyMs: database?.latencyMs ?? null },
    redis: redis === null ? { configured: false } : { configured: true, ...redis },
    queue: { lastSweepAgeMs, oldestDueAgeMs, oldestOutboxAgeMs },
    migrations: { upToDate: database === null ? null : missing.length === 0, missing },
    audit: { auditFailures },
    models: { failing: providers },
  }
}

/**
 * GET /api/health: 200 while work is done, 503 when it is not: Postgres away, migrations missing, or a clock that has been silent for four
 * sweep periods. Who may operate sees the checks and their causes, everybody else the status.
 */
export const health = endpoint({
  method: 'GET',
  path: '/api/health',
  summary: 'Health',
  access: 'status',
  async handler({ services, caller, background }) {
    const { facts, health, details } = await look(services, caller)
    const checkedAt = new Date(services.clock.now()).toISOString()
    background(services.alerts.health(health))
    const body = { healthy: health.status !== 'unhealthy', status: health.status }
    const more = details ? { checks: checksOf(facts, health), causes: health.causes } : {}
    return json(body.healthy ? 200 : 503, { ...body, ...more, checkedAt }, body.healthy ? {} : again)
  },
})

/** GET /api/health/live: the process answers, whatever it depends on. */
export const live = endpoint({
  method: 'GET',
  path: '/api/health/live',
  summary: 'Liveness',
  access: 'open',
  alone: () => json(200, { alive: true }),
  handler: () => json(200, { alive: true }),
})

/** GET /api/health/ready: requests can be served; 503 while Postgres or a migration is missing, and while this process ends. */
export const ready = endpoint({
  method: 'GET',
  path: '/api/health/ready',
  summary: 'Readiness',
  access: 'status',
  async handler({ services, caller }) {
    const { database, why, details } = await askDatabase(services, caller)
    const missing = missingMigrations({ database, expected: services.config.migrations })
    const isReady = database !== null && database.readOnly !== true && missing.length === 0 && !services.ending()
    const more = details ? { database: { connected: database !== null, why }, migrations: { missing }, ending: services.ending() } : {}
    return json(isReady ? 200 : 503, { ready: isReady, ...more }, isReady ? {} : again)
  },
})

/** GET /api/health/startup: the configuration holds (else 503 `not_configured` names what does not), Postgres answers, migrations are applied. */
export const startup = endpoint({
  method: 'GET',
  path: '/api/health/startup',
  summary: 'Startup',
  access: 'status',
  async handler({ services, caller }) {
    const { database, why, details } = await askDatabase(services, caller)
    const missing = missingMigrations({ database, expected: services.config.migrations })
    const started = database !== null && missing.length === 0
    const more = details ? { database: { connected: database !== null, why }, migrations: { missing } } : {}
    return json(started ? 200 : 503, { started, ...more }, started ? {} : again)
  },
})
