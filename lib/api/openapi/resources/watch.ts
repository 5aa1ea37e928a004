import { z } from 'zod'
import { health, live, ready, startup } from '#lib/api/health'
import { metrics, metricsJson } from '#lib/api/metrics'
import { json, operation, type Resource } from '#lib/api/openapi/describe'
import {
  alive,
  exampleHealth,
  exampleMetrics,
  health as healthAnswer,
  metricsFigures,
  readiness,
  startedUp,
} from '#lib/api/openapi/schemas/watch'
import { exampleIds } from '#lib/api/openapi/schemas/words'

const checkedAt = exampleIds.at
const prometheus = z.string().meta({ id: 'PrometheusText' })
const example = '# HELP baton_steps_total Steps committed\n# TYPE baton_steps_total counter\nbaton_steps_total 12\n'
const text = { 'text/plain': { schema: prometheus, example } }

/** Health and metrics: for monitors and whoever is on call. */
export const watch: Resource = {
  tag: 'Watching',
  description: 'Whether Baton does its work, and how much of it.',
  operations: {
    getHealth: operation(
      health,
      {
        200: json(healthAnswer, 'Work is done; `degraded` says that it is late or without Redis', exampleHealth),
        503: json(healthAnswer, 'Work is not done.', { healthy: false, status: 'unhealthy', checkedAt }, ['Retry-After']),
      },
      { description: 'Also at /health. Anybody is told the status; who may operate, the checks and their causes.' },
    ),
    getLiveness: operation(
      live,
      { 200: json(alive, 'The process answers', { alive: true }) },
      { description: 'Also at /live and /health/live.' },
    ),
    getReadiness: operation(
      ready,
      {
        200: json(readiness, 'Requests can be served', { ready: true }),
        503: json(readiness, 'Postgres or a migration is missing, or the process ends.', { ready: false }, ['Retry-After']),
      },
      { description: 'Also at /ready and /health/ready.' },
    ),
    getStartup: operation(
      startup,
      {
        200: json(startedUp, 'Configuration and migrations are right', { started: true }),
        503: json(startedUp, 'Postgres or a migration is missing.', { started: false }, ['Retry-After']),
      },
      { description: 'Also at /startup and /health/startup.' },
    ),
    getMetrics: operation(
      metrics,
      { 200: { description: "Prometheus's text format 0.0.4", content: text, headers: [] } },
      { description: 'Also at /metrics. For an admin key of the own tenant, the admin key, or BATON_METRICS_TOKEN.' },
    ),
    getMetricsJson: operation(metricsJson, { 200: json(metricsFigures, 'Metrics in figures', exampleMetrics) }),
  },
}
