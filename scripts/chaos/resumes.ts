import type { Sql } from '#scripts/chaos/checks/evidence'
import type { FaultKind } from '#scripts/chaos/plan'

/** A fault that happened: which slices held a lease when it came, and when it came and went (milliseconds since the epoch). */
export interface Happened {
  kind: FaultKind
  from: number
  to: number
  /** [run, epoch] of all live leases just before. */
  leases: [string, number][]
  /** The run of the message that was sent when the fault came. */
  probe: string | null
}

/** The live leases of now; null while the database does not answer. */
export async function liveLeases(sql: Sql): Promise<[string, number][] | null> {
  const rows = await sql(
    `select a.active_run, a.lease_epoch::int as epoch from baton.agents a where a.lease_owner is not null and a.active_run is not null`,
  ).catch(() => null) // it is away
  return rows?.map((row) => [String(row['active_run']), Number(row['epoch'])]) ?? null
}

/** What can cost a slice its lease: the others leave executors and PostgreSQL alone. */
const costly: ReadonlySet<FaultKind> = new Set(['kill', 'freeze', 'skew', 'postgres-restart', 'postgres-crash', 'gateway-kill'])

/**
 * Seconds from a fault that cost a slice its executor to the moment when another one held that run, sorted, by kind. Which fault it was: the last
 * of these before the take-over that found this run under the lower epoch.
 */
export async function secondsToResume(sql: Sql, happened: readonly Happened[]): Promise<Map<FaultKind, number[]>> {
  const rows = await sql(`select run_id, at, (data ->> 'epoch')::int as epoch from baton.events
    where type = 'resumed' and data ->> 'strategy' = 'crash' order by at`)
  const seconds = new Map<FaultKind, number[]>()
  for (const row of rows) {
    const at = new Date(String(row['at'])).getTime()
    const cause = happened.findLast(
      ({ kind, from, leases }) =>
        costly.has(kind) && from <= at && leases.some(([run, epoch]) => run === row['run_id'] && epoch < Number(row['epoch'])),
    )
    if (cause !== undefined) seconds.set(cause.kind, [...(seconds.get(cause.kind) ?? []), (at - cause.from) / 1_000])
  }
  for (const list of seconds.values()) list.sort((one, other) => one - other)
  return seconds
}

/** Seconds from the beginning of each fault until a background run that was sent at that moment had ended, sorted, by kind. */
export async function secondsToWork(sql: Sql, happened: readonly Happened[]): Promise<Map<FaultKind, number[]>> {
  const seconds = new Map<FaultKind, number[]>()
  for (const { kind, from, probe } of happened) {
    if (probe === null) continue
    const [run] = await sql('select (extract(epoch from ended_at) * 1000)::float8 as ended from baton.runs where run_id = $1', [probe])
    if (run?.['ended'] == null) continue
    seconds.set(kind, [...(seconds.get(kind) ?? []), (Number(run['ended']) - from) / 1_000])
  }
  for (const list of seconds.values()) list.sort((one, other) => one - other)
  return seconds
}

/** The value below which the share `p` (0 to 1) of the sorted values lies; null without values. */
export function percentile(sorted: readonly number[], p: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? null
}
