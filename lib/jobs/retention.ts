import type { Config } from '#lib/core/config'
import { reasonOf } from '#lib/core/errors'
import type { AgentUid } from '#lib/core/ids'
import type { Pruned, PrunedKind, PruneRequest } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import type { Clock, Log, Metrics } from '#lib/core/ports'

/** Rows of each kind, and agents looked at, in one transaction. */
const batch = 1_000
/** So many batches a run at most: what is left is done an hour later. */
const mostBatches = 200

/** What one run of the job has deleted, and whether there is more. */
export type Retained = Record<PrunedKind, number> & { more: boolean; batches: number }

interface Needs {
  config: Config
  store: Pick<Store, 'prune'>
  clock: Clock
  log: Log
  metrics?: Pick<Metrics, 'count'>
}

/**
 * Hourly: what is older than its retention goes, in batches, until nothing is left or the function's time is over (5-data, Retention). Rows, the
 * events of agents and idle agents take turns; where one cannot be done the others go on, and what was wrong is thrown at the end.
 */
export async function retain({ config, store, clock, log, metrics }: Needs): Promise<Retained> {
  const until = clock.monotonic() + (config.maxDurationMs - config.hardMarginMs) / 2
  const total: Retained = {
    events: 0,
    agents: 0,
    idempotency: 0,
    outbox: 0,
    deliveries: 0,
    approvals: 0,
    ledger: 0,
    counters: 0,
    keys: 0,
    audit: 0,
    counts: 0,
    more: true,
    batches: 0,
  }
  const failures: unknown[] = []
  const inTime = (): boolean => total.batches < mostBatches && clock.monotonic() < until

  async function prune(request: Omit<PruneRequest, 'environment' | 'limit'>): Promise<Pruned> {
    total.batches++
    const { ok, more, idle = [], ...gone } = await store.prune({ environment: config.environment, limit: batch, ...request })
    for (const [name, count] of Object.entries(gone)) {
      total[name as PrunedKind] += count
      if (count > 0) metrics?.count('baton_pruned_rows_total', { kind: name }, count)
    }
    return { ok, more, idle }
  }

  /** An agent that cannot be deleted keeps no other: after a failure each is asked for alone. True where there was no time for all. */
  async function expire(agents: readonly AgentUid[]): Promise<boolean> {
    let left = agents
    let alone = false
    while (left.length > 0) {
      if (!inTime()) return true
      const asked = alone ? left.slice(0, 1) : left
      try {
        const { idle = [] } = await prune({ part: 'idle', idle: asked })
        left = [...idle, ...left.slice(asked.length)]
      } catch (error) {
        if (asked.length === 1) {
          log.error('an idle agent was not deleted', { agent_uid: asked[0], error: reasonOf(error) })
          failures.push(error)
          left = left.slice(1)
        }
        alone = true
      }
    }
    return false
  }

  const turns = {
    rows: async () => (await prune({ part: 'rows' })).more,
    agents: async () => {
      const { more, idle = [] } = await prune({ part: 'agents' })
      const late = await expire(idle)
      return more || late
    },
  }
  const left = new Map(Object.entries(turns))
  while (left.size > 0 && inTime())
    for (const [part, turn] of left) {
      if (!inTime()) break
      try {
        if (!(await turn())) left.delete(part)
      } catch (error) {
        log.error('a part of retention failed', { part, error: reasonOf(error) })
        failures.push(error)
        left.delete(part)
      }
    }
  total.more = left.size > 0
  log.info('pruned', { ...total })
  if (failures.length > 0) throw failures[0]
  return total
}
