import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'

/** GET /api/health: whether Postgres answers, and how many audit entries could not be written. The whole picture comes with "Operate it". */
export const health = endpoint({
  method: 'GET',
  path: '/api/health',
  summary: 'Health',
  access: 'open',
  async handler({ services }) {
    const { clock, config, store } = services
    const from = clock.monotonic()
    const checkedAt = new Date(clock.now()).toISOString()
    try {
      const { auditFailures } = await store.health(config.environment)
      return json(200, {
        healthy: true,
        checks: { database: { connected: true, latencyMs: Math.round(clock.monotonic() - from) }, audit: { auditFailures } },
        checkedAt,
      })
    } catch (error) {
      services.log.warn('the database does not answer', { error: String(error) })
      return json(503, { healthy: false, checks: { database: { connected: false, latencyMs: null } }, checkedAt }, { 'retry-after': '2' })
    }
  },
})

/** GET /api/health/live: the process answers. */
export const live = endpoint({
  method: 'GET',
  path: '/api/health/live',
  summary: 'Liveness',
  access: 'open',
  handler: () => json(200, { alive: true }),
})
