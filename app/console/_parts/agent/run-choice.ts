import type { RunView } from '#lib/core/store'

/** All runs that are known, the newest first; of a run that stands in several lists, the first one is the truth. Ids tell the order in which runs were made. */
export function mergedRuns(...lists: readonly (readonly RunView[])[]): RunView[] {
  const byId = new Map(
    lists
      .toReversed()
      .flat()
      .map((run) => [run.id, run]),
  )
  return [...byId.values()].toSorted((a, b) => (a.id < b.id ? 1 : -1))
}

const at = ({ startedAt }: RunView): number => Date.parse(startedAt ?? '')

/**
 * The run that is looked at: the one that was chosen, else the one that holds the agent (which need not be the newest that has begun: a message that
 * interrupts goes ahead of those that wait), else the one that began last, else the newest.
 */
export function runShown(runs: readonly RunView[], chosen: string | null, active: string | null): RunView | null {
  const named = (id: string | null): RunView | undefined => runs.find((run) => run.id === id)
  const [begun] = runs.filter(({ startedAt }) => startedAt !== null).toSorted((a, b) => at(b) - at(a))
  return named(chosen) ?? named(active) ?? begun ?? runs[0] ?? null
}

/** What is known of a run that is read alone. */
interface Alone {
  data: RunView | null
  loading: boolean
}

/**
 * The runs that are known and the one that is looked at, which is among them. While the wanted one is asked for, because it is not among the newest,
 * the one that was looked at `before` stays; none is shown where there was none, rather than one that only waits.
 */
export function runsKnown(
  newest: readonly RunView[],
  alone: Alone,
  before: RunView | null,
  { chosen, active }: { chosen: string | null; active: string | null },
): { list: readonly RunView[]; run: RunView | null } {
  const held = alone.loading ? before : alone.data
  const list = mergedRuns(newest, held === null ? [] : [held])
  return { list, run: alone.loading ? (list.find(({ id }) => id === before?.id) ?? null) : runShown(list, chosen, active) }
}
