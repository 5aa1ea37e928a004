import type { ExecutorClock } from '#local/executor/clock'

/** Things to do at a due time on the executor's clock, in order of due time and then of arrival. */
export interface Timers {
  /** Runs the action at `dueMs` (executor's clock); returns false, and forgets it, when the bound is reached. */
  at(dueMs: number, action: () => void): boolean
  /** How many actions wait. */
  size(): number
}

// setTimeout cannot count further than 2^31 ms, and a machine that slept wakes with a wrong timer.
const LONGEST_NAP_MS = 60_000

/** Makes the timers; `bound` is the largest number of actions that may wait. */
export function createTimers(clock: ExecutorClock, bound: number): Timers {
  const waiting: { dueMs: number; action: () => void }[] = []
  let handle: NodeJS.Timeout | undefined

  function arm(): void {
    clearTimeout(handle)
    const first = waiting[0]
    if (first) handle = setTimeout(fire, Math.max(0, Math.min(first.dueMs - clock.now(), LONGEST_NAP_MS)))
  }

  function fire(): void {
    const now = clock.now()
    let count = 0
    while (count < waiting.length && (waiting[count]?.dueMs ?? Infinity) <= now) count += 1
    for (const entry of waiting.splice(0, count)) entry.action()
    arm()
  }

  clock.onJump(fire)
  return {
    at(dueMs, action) {
      if (waiting.length >= bound) return false
      let low = 0
      let high = waiting.length
      while (low < high) {
        const middle = (low + high) >> 1
        if ((waiting[middle]?.dueMs ?? Infinity) <= dueMs) low = middle + 1
        else high = middle
      }
      waiting.splice(low, 0, { dueMs, action })
      if (low === 0) arm()
      return true
    },
    size: () => waiting.length,
  }
}
