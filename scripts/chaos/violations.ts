import type { Check, Evidence } from '#scripts/chaos/checks/evidence'
import { effectChecks } from '#scripts/chaos/checks/effects'
import { historyCheck } from '#scripts/chaos/checks/history'
import { rowChecks } from '#scripts/chaos/checks/rows'
import { seenChecks } from '#scripts/chaos/checks/seen'

export type { Evidence, Sql } from '#scripts/chaos/checks/evidence'

/** All checks, by invariant. */
export const checks: readonly Check[] = [...rowChecks, ...effectChecks, historyCheck, ...seenChecks].toSorted(
  (one, other) => one.invariant - other.invariant,
)

/** The words before what was found: they name the invariant and the check. */
export function headline({ invariant, name }: Check): string {
  return `invariant ${invariant}: ${name}`
}

/**
 * All violations of the run contract in a database whose work has ended, over the agents named or over all.
 * An empty list is what every crash must leave behind.
 */
export async function violations(evidence: Evidence): Promise<string[]> {
  const found: string[] = []
  for (const check of checks) found.push(...(await check.find(evidence)).map((what) => `${headline(check)}: ${what}`))
  return found
}
