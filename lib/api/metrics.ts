import { metricsSummary, prometheusText } from '#lib/core/metrics-text'
import type { Sample } from '#lib/core/metrics'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { authorityOf } from '#lib/api/scope'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'

/** What all processes have counted; this one's last seconds are told first. Throws BatonError forbidden for tenants that are not the deployment's own. */
async function read(services: Services, caller: Caller): Promise<{ now: string; samples: readonly Sample[] }> {
  await services.metrics.flush()
  const answer = await services.store.readMetrics(authorityOf(services, caller), services.config.tenantId)
  if (!answer.ok) throw refusalError(answer)
  return answer
}

/** GET /api/metrics: Prometheus's text format, true over all processes. */
export const metrics = endpoint({
  method: 'GET',
  path: '/api/metrics',
  summary: 'Metrics as Prometheus reads them',
  access: 'monitoring',
  async handler({ services, caller }) {
    const { samples } = await read(services, caller)
    return new Response(prometheusText(samples), { headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' } })
  },
})

/** GET /api/metrics.json: the same in figures. */
export const metricsJson = endpoint({
  method: 'GET',
  path: '/api/metrics.json',
  summary: 'Metrics in figures: operations, performance (seconds), storage',
  access: 'monitoring',
  async handler({ services, caller }) {
    const { now, samples } = await read(services, caller)
    return json(200, { ...metricsSummary(samples), collectedAt: now })
  },
})
