/** The periods of a budget: one run, a UTC day, a UTC month, or for ever. */
export const budgetPeriods = ['run', 'day', 'month', 'lifetime'] as const

/** Why a budget has no room for a call (2-run-contract, invariant 9). Money in micro-dollars. */
export interface BudgetRefusal {
  scope: string
  period: (typeof budgetPeriods)[number]
  reason: 'micros' | 'tokens' | 'calls' | 'per_call'
  /** True where the call alone is above what one call may cost: waiting does not help. */
  hard: boolean
  limitMicros: number | null
  spentMicros: number
  reservedMicros: number
  /** What the call could have cost; null where a message was refused because the budget is used up. */
  estimateMicros: number | null
  resetsAt: string | null
  resetsInMs: number | null
  limitTokens?: number
  tokens?: number
  limitCalls?: number
  calls?: number
}

/** The verdict on a reservation; none where nothing was asked. */
export interface Verdict {
  reserved: 'granted' | 'refused' | 'none'
  /** What was reserved where that is less than was asked: the answer must be cut to fit. */
  granted?: { micros: number; tokens: number } | null
  refusal?: BudgetRefusal | null
}

const periodWords: Readonly<Record<string, string>> = { run: ' for one run', day: ' for this UTC day', month: ' for this UTC month' }

/** One sentence that names the budget and its numbers; for a refusal as it came from the database. */
export function budgetSentence(refusal: Readonly<Record<string, unknown>>): string {
  const { scope, period, reason, limitMicros, spentMicros, reservedMicros, estimateMicros, limitTokens, limitCalls } = refusal
  const of = `${String(scope)}${periodWords[String(period)] ?? ''}`
  const call = typeof estimateMicros === 'number' ? `A call that may cost ${estimateMicros} micro-dollars` : 'A new message'
  if (reason === 'per_call') return `${call} is above the ${String(limitMicros)} that ${of} allows for one call.`
  if (reason === 'tokens') return `${call} has no room in the budget of ${of}: its limit is ${String(limitTokens)} tokens.`
  if (reason === 'calls') return `${call} has no room in the budget of ${of}: its limit is ${String(limitCalls)} calls.`
  const taken = `${String(spentMicros)} are spent and ${String(reservedMicros)} reserved`
  return `${call} has no room in the budget of ${of}: its limit is ${String(limitMicros)} micro-dollars, of which ${taken}.`
}

/** True for a limit that others share with the run's agent: its queue stands still until there is room, instead of failing run by run. */
export function isWide(refusal: BudgetRefusal): boolean {
  return !refusal.hard && refusal.period !== 'run' && !/^(?:run|agent|tool):/.test(refusal.scope)
}

/** No run that waits for room looks away for longer, in milliseconds: a limit may be raised in a moment in which nobody finds it asleep. */
const longestLookMs = 3_600_000

/**
 * How long a run waits for room before it looks again, in milliseconds: where only what others have reserved is in its way it looks soon
 * and then ever less often (`looks` so far, time divided by `haste`), else when the period turns, and once an hour at least.
 */
export function roomAfterMs(refusal: BudgetRefusal, looks: number, haste: number): number {
  const { limitMicros, spentMicros, estimateMicros, reason, resetsInMs } = refusal
  const soon = reason === 'micros' && limitMicros !== null && spentMicros + (estimateMicros ?? 0) <= limitMicros
  if (soon) return Math.min(longestLookMs, (5_000 * 2 ** Math.min(looks, 10)) / haste)
  return Math.min(longestLookMs, Math.max(1_000, resetsInMs ?? longestLookMs))
}
