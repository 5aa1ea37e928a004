import { isObject } from '#tests/crash/normal'
import { runAgain, sealed, sortedEffects, toldAgain } from '#tests/crash/of-effects'
import { paidAgain, unused } from '#tests/crash/of-money'
import { neverBegun, personAskedAgain } from '#tests/crash/of-people'
import { askedAgain, continuations, crashes, endsOfCallsInOrder, heldFirst, slices, sortedAudit, waited } from '#tests/crash/of-slices'
import type { Snapshot } from '#tests/crash/snapshot'

/* What a crash may change, and nothing else. Everything that is not named here must equal the clean performance. */

/** The documented differences: a crash may show them, and the comparison counts how often it did. */
export const documented = {
  'taken over':
    "a dead process's slice is followed by another: events resumed and handed_off, and the numbers that count slices and events",
  'waited before the next': 'a step that has crashed twice waits before it is taken over again (invariant 12)',
  'asked again':
    'a request or reservation that was made again, because its answer was lost, and changed nothing has an audit entry of its own',
  'paid again': 'a model call in hand at the crash is made again; what was reserved for it is booked in full as estimated (invariant 9)',
  'not set aside':
    'money set aside and given back unused, because a message came between, is not set aside where the next slice plans anew',
  'run again': 'a pure or idempotent tool in hand at the crash runs again under the same idempotency key (invariant 4)',
  sealed: 'a once tool in hand at the crash is sealed: its outcome is unknown, and the model is told so (invariant 4)',
  'never begun': 'a call whose outcome is unknown either way had not begun when its process died: its record says the same',
  'a person asked again':
    'a call that a person had repeated was in hand at the crash: its outcome is unknown again, and they are asked again',
  'told again': 'a webhook whose receipt was not recorded comes again under the same id with the same body (3-http-api, Webhooks)',
  'ended by another':
    'a stop or hold that met a dead executor was carried out in its own transaction: the epoch moves, the crash stays counted',
  'held first': 'a hold that met a dead executor holds before the tool in hand runs again; its end is told after the hold',
} as const

export type Difference = keyof typeof documented

/** The result of a comparison: what is not documented, and how often what is. */
export interface Comparison {
  undocumented: string[]
  used: Partial<Record<Difference, number>>
}

/** Takes the documented differences of a crash away from it, and says which there were. Both sides are changed. */
function takeDocumented(clean: Snapshot, crashed: Snapshot): Comparison['used'] {
  const used: Comparison['used'] = {}
  const use = (difference: Difference, times = 1): void => {
    if (times > 0) used[difference] = (used[difference] ?? 0) + times
  }
  // Before events are counted.
  use('a person asked again', personAskedAgain(clean, crashed))
  use('waited before the next', waited(clean, crashed))
  use('asked again', askedAgain(clean, crashed))
  const endedByAnother = crashes(clean, crashed)
  use('taken over', Math.abs(slices(crashed) - slices(clean)))
  use('paid again', paidAgain(clean, crashed))
  use('not set aside', Math.abs(unused(clean) - unused(crashed)))
  use('run again', runAgain(crashed))
  use('sealed', sealed(clean, crashed))
  use('never begun', neverBegun(clean, crashed))
  use('told again', toldAgain(clean, crashed))
  use('ended by another', endedByAnother)
  for (const snapshot of [clean, crashed]) endsOfCallsInOrder(snapshot)
  use('held first', heldFirst(clean, crashed))
  continuations(clean)
  continuations(crashed)
  return used
}

/** Compares what a crash has left with what the clean performance of the same scenario has left; both as `normal` gives them. */
export function compare(cleanSnapshot: Snapshot, crashedSnapshot: Snapshot): Comparison {
  const clean = structuredClone(cleanSnapshot)
  const crashed = structuredClone(crashedSnapshot)
  const used = takeDocumented(clean, crashed)
  for (const snapshot of [clean, crashed]) {
    sortedEffects(snapshot)
    sortedAudit(snapshot)
  }
  const undocumented: string[] = []
  differ('', clean, crashed, undocumented)
  return { undocumented, used }
}

function differ(path: string, clean: unknown, crashed: unknown, found: string[]): void {
  if (found.length >= 40) return
  const both = isObject(clean) && isObject(crashed)
  const lists = Array.isArray(clean) && Array.isArray(crashed) && clean.length === crashed.length
  if (both)
    for (const key of new Set([...Object.keys(clean), ...Object.keys(crashed)])) differ(`${path}.${key}`, clean[key], crashed[key], found)
  else if (lists) clean.forEach((value, index) => differ(`${path}[${index}]`, value, crashed[index], found))
  else if (JSON.stringify(clean) !== JSON.stringify(crashed)) found.push(`${path.slice(1)}: ${short(clean)} became ${short(crashed)}`)
}

function short(value: unknown): string {
  if (Array.isArray(value))
    return `${value.length} rows [${value.map((row) => (isObject(row) ? (row['type'] ?? row['action'] ?? row['name'] ?? row['state'] ?? '') : row)).join(' ')}]`
  return (JSON.stringify(value) ?? 'nothing').slice(0, 200)
}
