import type { Deadlines } from '#lib/engine/session'
import type { EngineServices } from '#lib/engine/services'

/** A step that begins so shortly before the hard limit would only be cut: no step starts in this margin. */
const lastStepMarginMs = 2_000

/**
 * The three times of a request that runs an agent (2-run-contract, invariant 6), from `start` (monotonic): the hard limit is the
 * function's own less a margin; the slice ends at the least of `sliceMs`, the hard limit less a margin, and `waitMs` where given.
 */
export function deadlinesFrom(services: Pick<EngineServices, 'config'>, start: number, sliceMs: number, waitMs: number | null): Deadlines {
  const { maxDurationMs, hardMarginMs } = services.config
  const hardAt = start + Math.max(1_000, maxDurationMs - hardMarginMs)
  return {
    hardAt,
    sliceAt: Math.min(start + sliceMs, hardAt - lastStepMarginMs, waitMs === null ? Number.POSITIVE_INFINITY : start + waitMs),
  }
}
