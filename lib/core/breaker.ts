import type { Clock } from '#lib/core/ports'

/** What a guarded piece of work came to; `ok: false` also when it was not tried. */
export type Outcome<Value> = { ok: true; value: Value } | { ok: false }

/** Keeps work away from a part that does not answer. */
export interface Breaker {
  /** True when the next `run` would be tried. */
  allows(): boolean
  /** True from the failure that opened it to the next success. */
  isOpen(): boolean
  /** Does the work, or nothing while open. Never throws. */
  run<Value>(work: () => Promise<Value>): Promise<Outcome<Value>>
}

const failuresToOpen = 3
const firstPauseMs = 5_000
const longestPauseMs = 60_000

/** After 3 failures in a row nothing is tried for 5 s, then one trial; each failed trial doubles the pause, up to 60 s. */
export function createBreaker(clock: Pick<Clock, 'monotonic'>, onFailure: (error: unknown, pauseMs: number | null) => void): Breaker {
  let failures = 0
  let pauseMs = firstPauseMs
  let closedUntil: number | null = null
  let trialRuns = false

  function allows() {
    return closedUntil === null || (!trialRuns && clock.monotonic() >= closedUntil)
  }

  function failed(error: unknown, wasTrial: boolean) {
    failures += 1
    if (wasTrial) pauseMs = Math.min(pauseMs * 2, longestPauseMs)
    // What was begun before the breaker opened may fail after it: that neither prolongs nor doubles the pause.
    const opens = wasTrial || (closedUntil === null && failures >= failuresToOpen)
    if (opens) closedUntil = clock.monotonic() + pauseMs
    onFailure(error, opens ? pauseMs : null)
  }

  return {
    allows,
    isOpen: () => closedUntil !== null,
    async run(work) {
      if (!allows()) return { ok: false }
      const isTrial = closedUntil !== null
      if (isTrial) trialRuns = true
      try {
        const value = await work()
        failures = 0
        pauseMs = firstPauseMs
        closedUntil = null
        return { ok: true, value }
      } catch (error) {
        failed(error, isTrial)
        return { ok: false }
      } finally {
        if (isTrial) trialRuns = false
      }
    },
  }
}
