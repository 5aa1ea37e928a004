import type { Config } from '#lib/core/config'
import type { Store } from '#lib/core/pages'
import type { Clock, Log, OutboxRow } from '#lib/core/ports'
import type { Alerts } from '#lib/jobs/alerts'

/** Rows and continuations older than this are sent again, in milliseconds; local mode divides it. */
const resendAfterMs = 10_000
/** Besides the cron, requests and slices that end sweep a few rows: at most once in so long over all processes. */
const besideEveryMs = 10_000

/** Looks for due work and sends it; at most once per interval over all processes, so `swept` may be false. */
export type Sweep = (from: 'cron' | 'beside') => Promise<{ swept: boolean; sent: number }>

/** The sweeper: finds what is due and lost, in the database (2-run-contract, invariant 7). */
export function createSweeper(parts: {
  config: Config
  store: Store
  dispatch: (rows: readonly OutboxRow[]) => void
  alerts: Pick<Alerts, 'tell'>
  clock: Clock
  log: Log
}): Sweep {
  const { config, store, dispatch, clock } = parts
  let lastBeside = Number.NEGATIVE_INFINITY
  return async (from) => {
    // The database keeps the pace over all processes; this keeps a busy one from asking it at every turn.
    if (from === 'beside' && clock.monotonic() - lastBeside < besideEveryMs / config.haste) return { swept: false, sent: 0 }
    if (from === 'beside') lastBeside = clock.monotonic()
    const everyMs = from === 'cron' ? config.sweepEveryMs / 2 : besideEveryMs / config.haste
    const { swept, outbox, alerts } = await store.sweep({
      environment: config.environment,
      everyMs,
      resendMs: resendAfterMs / config.haste,
      limit: from === 'cron' ? 200 : 10,
      from,
    })
    dispatch(outbox)
    await parts.alerts.tell(alerts)
    if (outbox.length > 0) parts.log.info('swept', { from, rows: outbox.length })
    return { swept, sent: outbox.length }
  }
}
