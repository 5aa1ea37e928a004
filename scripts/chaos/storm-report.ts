import type { Evidence } from '#scripts/chaos/checks/evidence'
import { percentile, secondsToResume, secondsToWork, type Happened } from '#scripts/chaos/resumes'
import type { FaultKind } from '#scripts/chaos/plan'

/** What was left after the storm. */
export interface StormReport {
  faults: Partial<Record<FaultKind, number>>
  messages: number
  refused: number
  /** Runs by state, or by stop reason where they did not complete. */
  ends: Record<string, number>
  /** Runs that ended otherwise than their script says. */
  wrongEnds: string[]
  /** Slices that died or froze and were taken over. */
  takeOvers: number
  effects: number
  onceEffects: number
  sealed: number
  /** How often the books were looked at. */
  looks: number
  kills: number
  holds: number
  /** Events that readers got, over all breaks. */
  followedEvents: number
  resumeSeconds: Map<FaultKind, number[]>
  workSeconds: Map<FaultKind, number[]>
  /** From the last fault until nothing was open any more. */
  calmSeconds: number
  elapsedSeconds: number
  violations: string[]
}

interface Seen extends Evidence {
  accepted: ReadonlyMap<string, string>
  found: string[]
  wrong: string[]
  refused: number
  looks: number
  calmSeconds: number
  elapsedSeconds: number
}

export async function makeReport(seen: Seen, happened: readonly Happened[]): Promise<StormReport> {
  const { sql, effects, switches = [], followed = [] } = seen
  const ends = await sql(
    `select case when state = 'completed' then state else stop_reason end as how, count(*)::int as n from baton.runs group by 1 order by 2 desc`,
  )
  const [counts] =
    await sql(`select (select count(*)::int from baton.events where type = 'resumed' and data ->> 'strategy' = 'crash') as overs,
    (select count(*)::int from baton.tool_calls where effect = 'once' and state = 'sealed') as sealed`)
  const faults: StormReport['faults'] = {}
  for (const { kind } of happened) faults[kind] = (faults[kind] ?? 0) + 1
  return {
    faults,
    messages: seen.accepted.size,
    refused: seen.refused,
    ends: Object.fromEntries(ends.map((row) => [String(row['how']), Number(row['n'])])),
    wrongEnds: seen.wrong,
    takeOvers: Number(counts?.['overs']),
    effects: effects.length,
    onceEffects: effects.filter((effect) => effect.name === 'charge').length,
    sealed: Number(counts?.['sealed']),
    looks: seen.looks,
    kills: switches.filter(({ mode }) => mode === 'kill').length,
    holds: switches.filter(({ mode }) => mode === 'hold').length,
    followedEvents: followed.reduce((sum, { seqs }) => sum + seqs.length, 0),
    resumeSeconds: await secondsToResume(sql, happened),
    workSeconds: await secondsToWork(sql, happened),
    calmSeconds: seen.calmSeconds,
    elapsedSeconds: seen.elapsedSeconds,
    violations: seen.found,
  }
}

function line(sorted: readonly number[]): string {
  const at = (p: number): string => percentile(sorted, p)?.toFixed(1) ?? '-'
  return `p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)} (${sorted.length})`
}

function table(title: string, seconds: ReadonlyMap<FaultKind, readonly number[]>): string[] {
  const all = [...seconds.values()].flat().toSorted((one, other) => one - other)
  return [
    `${title}: ${line(all)}`,
    ...[...seconds].toSorted(([one], [other]) => one.localeCompare(other)).map(([kind, list]) => `  ${kind}: ${line(list)}`),
  ]
}

/** The report in words. */
export function stormText(report: StormReport): string {
  const counts = (of: object): string =>
    JSON.stringify(of)
      .replaceAll(/[{}"]/g, '')
      .replaceAll(/[,:]/g, (sign) => `${sign} `)
  return [
    `${report.elapsedSeconds.toFixed(0)} s, calm ${report.calmSeconds.toFixed(1)} s after the last fault`,
    `faults: ${counts(report.faults)}`,
    `messages ${report.messages}, refused for an empty purse ${report.refused}; runs: ${counts(report.ends)}`,
    `calls ${report.effects}, of them once ${report.onceEffects}, sealed ${report.sealed}; take-overs ${report.takeOvers}`,
    `kills ${report.kills}, holds ${report.holds}; books looked at ${report.looks} times; ${report.followedEvents} events followed`,
    ...table('seconds from a fault to the take-over of what it cost', report.resumeSeconds),
    ...table('seconds from a fault to the end of a background run sent then', report.workSeconds),
    `ended otherwise than their script says: ${report.wrongEnds.length}`,
    ...report.wrongEnds.slice(0, 20).map((end) => `  ${end}`),
    `violations: ${report.violations.length}`,
    ...report.violations.slice(0, 50).map((violation) => `  ${violation}`),
  ].join('\n')
}
