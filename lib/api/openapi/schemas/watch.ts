import { z } from 'zod'
import { exampleIds, instant } from '#lib/api/openapi/schemas/words'

const ms = z.int().nullable()
const migrations = z.object({ missing: z.array(z.string()) })
const database = z.object({ connected: z.boolean(), why: z.string().nullable() })

/** GET /api/health. */
export const health = z
  .object({
    healthy: z.boolean(),
    status: z.enum(['healthy', 'degraded', 'unhealthy']),
    checks: z
      .object({
        database: z.object({ connected: z.boolean(), latencyMs: ms }),
        redis: z.object({ configured: z.boolean(), connected: z.boolean().optional(), latencyMs: ms.optional() }),
        queue: z.object({ lastSweepAgeMs: ms, oldestDueAgeMs: ms, oldestOutboxAgeMs: ms }),
        migrations: migrations.extend({ upToDate: z.boolean().nullable() }),
        audit: z.object({ auditFailures: ms }),
        models: z.object({
          failing: z.array(z.object({ provider: z.string(), code: z.string(), failures: z.int(), sinceMs: z.int() })).nullable(),
        }),
      })
      .optional()
      .meta({ description: 'Only for who may operate: an admin key of the own tenant, the admin key, or the metrics token' }),
    causes: z.array(z.string()).optional().meta({ description: 'Why it is not healthy, a sentence each; for the same' }),
    checkedAt: instant,
  })
  .meta({ id: 'Health' })

/** GET /api/health/live. */
export const alive = z.object({ alive: z.literal(true) }).meta({ id: 'Alive' })

/** GET /api/health/ready. */
export const readiness = z
  .object({ ready: z.boolean(), database: database.optional(), migrations: migrations.optional(), ending: z.boolean().optional() })
  .meta({ id: 'Readiness' })

/** GET /api/health/startup. */
export const startedUp = z
  .object({ started: z.boolean(), database: database.optional(), migrations: migrations.optional() })
  .meta({ id: 'Startup' })

const labels = z.record(z.string(), z.string())
const figures = z.object({
  labels,
  count: z.int(),
  min: z.number(),
  avg: z.number(),
  p50: z.number(),
  p95: z.number(),
  p99: z.number(),
  max: z.number(),
})

/** GET /api/metrics.json. */
export const metricsFigures = z
  .object({
    operations: z.record(z.string(), z.array(z.object({ labels, value: z.number() }))),
    performance: z.record(z.string(), z.array(figures)).meta({ description: 'Seconds' }),
    storage: z.record(z.string(), z.object({ bytes: z.number(), rows: z.number(), operations: z.record(z.string(), z.number()) })),
    collectedAt: instant,
  })
  .meta({ id: 'Metrics' })

const checkedAt = exampleIds.at

/** Health as who may operate sees it, when all is well. */
export const exampleHealth: z.input<typeof health> = {
  healthy: true,
  status: 'healthy',
  checks: {
    database: { connected: true, latencyMs: 2 },
    redis: { configured: true, connected: true, latencyMs: 1 },
    queue: { lastSweepAgeMs: 120_400, oldestDueAgeMs: null, oldestOutboxAgeMs: null },
    migrations: { upToDate: true, missing: [] },
    audit: { auditFailures: 0 },
    models: { failing: [] },
  },
  causes: [],
  checkedAt,
}

/** The metrics of the examples. */
export const exampleMetrics: z.input<typeof metricsFigures> = {
  operations: { baton_steps_total: [{ labels: {}, value: 12 }] },
  performance: {
    baton_tool_duration_seconds: [{ labels: { tool: 'refund' }, count: 2, min: 0.2, avg: 0.3, p50: 0.3, p95: 0.4, p99: 0.4, max: 0.4 }],
  },
  storage: { events: { bytes: 81_920, rows: 120, operations: { insert: 120 } } },
  collectedAt: checkedAt,
}
