import { metricsSummary, prometheusText } from '#lib/core/metrics-text'
import type { Sample } from '#lib/core/metrics'
import { BatonError } from '#lib/core/errors'
import { latePeriods } from '#lib/core/health'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { askRedis } from '#lib/api/health'
import { authorityOf } from '#lib/api/scope'
import { within } from '#lib/api/within'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'

/** A process that cannot tell its own counts in time is scraped without them: they come with the next scrape. */
const flushMs = 2_000
/** Prometheus gives a scrape up after 10 s. */
const readMs = 6_000
/** Whether the database that told no counts in this time answers at all. */
const answerMs = 2_000
const awayCodes: ReadonlySet<string> = new Set(['database_unavailable', 'not_configured'])

/**
 * What all processes have counted, and which parts answer; this process's last seconds are told first. While Postgres is away an operator is told just that.
 * Throws BatonError forbidden for tenants that are not the deployment's own.
 */
export async function readSamples(
  services: Services,
  caller: Caller,
): Promise<{ now: string; samples: readonly Sample[]; partial: boolean }> {
  const { clock, config, store } = services
  const counted = async () => {
    await within(clock, flushMs, services.metrics.flush())
    return store.readMetrics(authorityOf(services, caller), config.tenantId)
  }
  const [asked, redis] = await Promise.all([within(clock, readMs, counted()), askRedis(services)])
  const up = (part: string, isUp: boolean): Sample => ['baton_part_up', { part }, '', isUp ? 1 : 0]
  const parts = [up('postgres', 'value' in asked), ...(redis === null ? [] : [up('redis', redis.connected)])]
  if ('why' in asked) {
    // A database that answers with a fault is not away; one that answers nothing for want of the right key, is.
    if (asked.error instanceof Error && !(asked.error instanceof BatonError && awayCodes.has(asked.error.code))) throw asked.error
    // Slow counts alone are no reason to wake somebody for the database.
    const answers = asked.error === undefined && 'value' in (await within(clock, answerMs, store.hasKeys(config.environment)))
    if (answers) parts[0] = up('postgres', true)
    const says = answers ? 'the database answers, but tells no counts in time' : 'the database does not answer'
    services.log.warn(`${says}: metrics tell of the parts alone`, { error: asked.why })
    if (caller.kind === 'operator') return { now: new Date(clock.now()).toISOString(), samples: parts, partial: true }
    throw new BatonError(
      'database_unavailable',
      answers ? 'The database tells no counts in time; ask again.' : 'The database is not reachable: what was counted stands there.',
      { retryAfterMs: 2_000 },
    )
  }
  const { value: answer } = asked
  if (!answer.ok) throw refusalError(answer)
  const sweepAge = answer.samples.find(([name]) => name === 'baton_sweep_age_seconds')?.[3] ?? 0
  if (config.cronEnabled) parts.push(up('inngest', sweepAge * 1_000 <= latePeriods * config.sweepEveryMs))
  // Where no clock is due its silence is none, and no alert.
  const samples = config.cronEnabled ? answer.samples : answer.samples.filter(([name]) => name !== 'baton_sweep_age_seconds')
  return { now: answer.now, samples: [...samples, ...parts], partial: false }
}

/** GET /api/metrics: Prometheus's text format, true over all processes. */
export const metrics = endpoint({
  method: 'GET',
  path: '/api/metrics',
  summary: 'Metrics as Prometheus reads them',
  access: 'monitoring',
  async handler({ services, caller }) {
    const { samples, partial } = await readSamples(services, caller)
    return new Response(prometheusText(samples, { partial }), { headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' } })
  },
})

/** GET /api/metrics.json: the same in figures. */
export const metricsJson = endpoint({
  method: 'GET',
  path: '/api/metrics.json',
  summary: 'Metrics in figures: operations, performance (seconds), storage',
  access: 'monitoring',
  async handler({ services, caller }) {
    const { now, samples } = await readSamples(services, caller)
    return json(200, { ...metricsSummary(samples), collectedAt: now })
  },
})
