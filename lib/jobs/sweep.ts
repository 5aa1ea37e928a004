import type { Config } from '#lib/core/config'
import type { Store } from '#lib/core/pages'
import type { Clock, Log, OutboxRow } from '#lib/core/ports'
import { formatVersion } from '#lib/core/run'
import type { Alerts } from '#lib/jobs/alerts'

/** Rows and continuations older than this are sent again, in milliseconds; local mode divides it. */
const resendAfterMs = 10_000
/** What is sent and not taken is sent ever less often, but once a sweep period, and never less often than this. */
const longestMs = 900_000
/** Of the period: ticks come some tenths of a second early or late, and what fell due just after one would wait for the next but one. */
const shareOfPeriod = 0.8
/** Besides the cron, requests and slices that end sweep a few rows: at most once in so long over all processes. */
const besideEveryMs = 10_000
/** Taken by one round: a request to Inngest, and a transaction of some tenths of a second. */
const roundOf = 100
/**
 * Runs that were sent and that nobody came for are sent anew by so many a sweep, whatever is on the way: what nobody can take keeps no other from being found.
 * The clock, which comes seldom, sends as many as keep `most` on the way, in all rounds of one sweep: at its next tick the first waits of these are over, and they are
 * sent again. More would make a queue at Inngest longer that is long already.
 */
const anew = { cron: { least: 10, most: 100 }, beside: { least: 10, most: 10 } } as const
/** Begins no round after so long beside a request or slice, whose function shall end; the clock has a function of its own, and takes a third of it. */
const besideForMs = 2_000

/** Looks for due work and sends it; at most once per interval over all processes, so `swept` may be false. */
export type Sweep = (from: 'cron' | 'beside') => Promise<{ swept: boolean; sent: number }>

interface Needs {
  config: Pick<Config, 'environment' | 'haste' | 'sweepEveryMs' | 'maxDurationMs'>
  store: Pick<Store, 'sweep'>
  dispatch: (rows: readonly OutboxRow[]) => void
  settled: () => Promise<void>
  alerts: Pick<Alerts, 'tell'>
  clock: Pick<Clock, 'monotonic'>
  log: Pick<Log, 'info'>
  /** True from SIGTERM on. */
  ending: () => boolean
}

/**
 * The sweeper: finds what is due and lost, in the database (2-run-contract, invariant 7). Where a round was full the next one follows at once, as long
 * as Inngest takes what it is sent: a backlog goes as fast as the stack takes it.
 */
export function createSweeper({ config, store, dispatch, settled, alerts, clock, log, ending }: Needs): Sweep {
  let lastBeside = Number.NEGATIVE_INFINITY
  const resendMs = resendAfterMs / config.haste
  return async (from) => {
    const startedAt = clock.monotonic()
    // The database keeps the pace over all processes; this keeps a busy one from asking it at every turn.
    if (from === 'beside' && startedAt - lastBeside < besideEveryMs / config.haste) return { swept: false, sent: 0 }
    if (from === 'beside') lastBeside = startedAt
    const request = {
      environment: config.environment,
      from,
      everyMs: from === 'cron' ? config.sweepEveryMs / 2 : besideEveryMs / config.haste,
      resendMs,
      longestMs: Math.min(longestMs, Math.max(shareOfPeriod * config.sweepEveryMs, 10 * resendMs)),
      limit: roundOf,
      maxFormat: formatVersion,
    }
    const endAt = startedAt + (from === 'cron' ? config.maxDurationMs / 3 : besideForMs)
    const sent = new Set<string>()
    let round = await store.sweep({ ...request, resends: anew[from] })
    const { swept } = round
    let rounds = 0
    while (round.swept) {
      rounds += 1
      const fresh = round.outbox.filter((row) => !sent.has(row.id))
      // What comes a second time was not taken: Inngest is away, and the rest waits for another sweep.
      const refused = fresh.length < round.outbox.length
      for (const row of fresh) sent.add(row.id)
      dispatch(fresh)
      await alerts.tell(round.alerts)
      if (refused || !round.more || round.at === undefined || ending() || clock.monotonic() >= endAt) break
      await settled()
      round = await store.sweep({ ...request, resends: { ...anew[from], least: 0 }, after: round.at })
    }
    if (sent.size > 0) log.info('swept', { from, rows: sent.size, rounds })
    return { swept, sent: sent.size }
  }
}
