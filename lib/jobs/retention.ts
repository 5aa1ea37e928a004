import type { Config } from '#lib/core/config'
import type { Pruned } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import type { Clock, Log, Metrics } from '#lib/core/ports'

/** Rows of each kind, and agents looked at, in one transaction. */
const batch = 1_000
/** So many batches a run at most: what is left is done an hour later. */
const mostBatches = 200

/** What one run of the job has deleted, and whether there is more. */
export type Retained = Omit<Pruned, 'ok'> & { batches: number }

/** Hourly: what is older than its retention goes, in batches, until nothing is left or the function's time is over (5-data, Retention). */
export async function retain(services: {
  config: Config
  store: Pick<Store, 'prune'>
  clock: Clock
  log: Log
  metrics?: Pick<Metrics, 'count'>
}): Promise<Retained> {
  const { config, store, clock, log, metrics } = services
  const until = clock.monotonic() + (config.maxDurationMs - config.hardMarginMs) / 2
  const total: Retained = {
    events: 0,
    agents: 0,
    idempotency: 0,
    outbox: 0,
    deliveries: 0,
    approvals: 0,
    ledger: 0,
    keys: 0,
    audit: 0,
    more: true,
    batches: 0,
  }
  while (total.more && total.batches < mostBatches && clock.monotonic() < until) {
    const { ok: _ok, more, ...gone } = await store.prune({ environment: config.environment, limit: batch })
    for (const [name, count] of Object.entries(gone)) {
      total[name as keyof typeof gone] += count
      if (count > 0) metrics?.count('baton_pruned_rows_total', { kind: name }, count)
    }
    total.more = more
    total.batches++
  }
  log.info('pruned', { ...total })
  return total
}
