import { lifetimeFacts, slope } from '#scripts/chaos/memory'
import type { SoakReport } from '#scripts/chaos/soak'
import type { Tables } from '#scripts/chaos/tables'

/** Runs that may end otherwise than their script says. */
const mostWrong = 0.001
/** What a table may be larger at the end than at its largest in the middle third, rows and bytes. */
const mostGrowth = { rows: 1.25, bytes: 1.5 }
/** Tables under these rows say nothing. */
const fewRows = 200
/** Megabytes in use for each thousand messages, in a process that was asked at the end of `fewAsked` rounds or more. */
const mostSlopeMb = 1
const fewAsked = 12

const largest = (rounds: readonly { tables: Tables }[], name: string, what: 'rows' | 'bytes'): number =>
  Math.max(...rounds.map(({ tables }) => tables[name]?.[what] ?? 0))

/** What was in use on the heap of each server at the end of its rounds, in megabytes, and by how much it rises for a thousand messages. */
function heapSlopes({ rounds }: SoakReport): { pid: string; mbPerThousand: number; asked: number[] }[] {
  const pids = [...new Set(rounds.flatMap(({ heaps }) => Object.keys(heaps)))]
  return pids.map((pid) => {
    let runs = 0
    const points = rounds.flatMap((round): [number, number][] => {
      runs += round.runs
      const mb = round.heaps[Number(pid)]
      return mb === undefined ? [] : [[runs, mb]]
    })
    // The first third is warming up: code is compiled, pools fill.
    const warm = points.slice(Math.ceil(points.length / 3))
    return { pid, mbPerThousand: (slope(warm) ?? 0) * 1_000, asked: points.map(([, mb]) => Math.round(mb * 10) / 10) }
  })
}

/** Everything that speaks against the report; empty when the soak has passed. */
export function soakVerdict(report: SoakReport): string[] {
  const { rounds, runs } = report
  const wrong = rounds.flatMap((round) => round.wrongEnds)
  const faults = rounds.flatMap((round) => [...round.violations, ...round.wrongEnds.filter((end) => end.endsWith('lost'))])
  if (wrong.length >= mostWrong * runs) faults.push(`${wrong.length} of ${runs} runs ended otherwise than their script says`, ...wrong)
  for (const { round, overdue } of rounds) if (overdue > 0) faults.push(`round ${round}: retention left ${overdue} rows`)
  if (report.deaths > 0) faults.push(`${report.deaths} server processes ended although nobody killed them`)
  // Growth shows only where there were enough rounds for the longest retention (400 days) to begin.
  const third = Math.floor(rounds.length / 3)
  for (const name of third < 4 ? [] : Object.keys(rounds.at(-1)?.tables ?? {})) {
    for (const what of ['rows', 'bytes'] as const) {
      const before = largest(rounds.slice(third, 2 * third), name, what)
      const after = largest(rounds.slice(2 * third), name, what)
      if (largest(rounds, name, 'rows') >= fewRows && after > before * mostGrowth[what])
        faults.push(`${name} grows: ${what} ${before}, then ${after}`)
    }
  }
  for (const { pid, mbPerThousand, asked } of heapSlopes(report))
    if (asked.length >= fewAsked && mbPerThousand > mostSlopeMb) faults.push(`the heap of process ${pid} grows: ${asked.join(', ')} MB`)
  return faults
}

/** The report in words and tables. */
export function soakText(report: SoakReport): string {
  const { rounds, runs, lifetimes } = report
  const wrong = rounds.reduce((sum, round) => sum + round.wrongEnds.length, 0)
  const counts: Record<string, number> = {}
  for (const { faults } of rounds) for (const [kind, n] of Object.entries(faults)) counts[kind] = (counts[kind] ?? 0) + n
  const shown = Object.entries(rounds.at(-1)?.tables ?? {}).filter(([name]) => largest(rounds, name, 'rows') >= fewRows)
  const at = [0.25, 0.5, 0.75, 1].map((share) => rounds[Math.max(0, Math.ceil(rounds.length * share) - 1)])
  return [
    `${runs} runs in ${report.elapsedSeconds.toFixed(0)} s, ${report.effects} model and tool calls, ${report.sealed} sealed`,
    `shapes: ${JSON.stringify(report.byShape)}`,
    `faults: ${JSON.stringify(counts)}`,
    `ended otherwise: ${wrong} (${((100 * wrong) / runs).toFixed(3)} %), violations: ${rounds.reduce((sum, round) => sum + round.violations.length, 0)}, unwanted deaths: ${report.deaths}`,
    'memory of processes that lived over a thousand messages:',
    ...lifetimes
      .map(lifetimeFacts)
      .filter((facts) => Number(facts['messages']) >= 1_000)
      .map((facts) => `  ${JSON.stringify(facts)}`),
    'megabytes in use after a collection of garbage, at the end of each round of a process that saw several:',
    ...heapSlopes(report)
      .filter(({ asked }) => asked.length > 2)
      .map(({ pid, mbPerThousand, asked }) => `  ${pid}: ${asked.join(', ')}; ${mbPerThousand.toFixed(2)} for a thousand messages`),
    `tables after retention, rows (megabytes), at rounds ${at.map((round) => round?.round).join(', ')}:`,
    ...shown.map(
      ([name]) =>
        `  ${name}: ${at.map((round) => `${round?.tables[name]?.rows} (${((round?.tables[name]?.bytes ?? 0) / 1e6).toFixed(1)})`).join(', ')}`,
    ),
  ].join('\n')
}
