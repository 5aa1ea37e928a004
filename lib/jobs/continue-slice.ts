import { reasonOf } from '#lib/core/errors'
import { deadlinesFrom } from '#lib/engine/deadlines'
import type { Services } from '#lib/services'
import { continueRun } from '#lib/engine/slices'

/** What a slice in the background came to: a pointer for Inngest, never content. */
export interface SliceReport {
  outcome: 'ended' | 'handed_over' | 'waiting' | 'paused' | 'lease_lost' | 'nothing_to_do'
  why?: string
  state?: string
  lastSeq?: number
}

/**
 * One slice of a due agent in the background: takes it over, runs it, and sweeps beside. Where more is left, the continuation that the last commit
 * wrote has been sent when this ends. Throws when the database is away.
 */
export async function continueSlice(services: Services, agentUid: string): Promise<SliceReport> {
  const { clock, config } = services
  const deadlines = deadlinesFrom(services, clock.monotonic(), config.maxDurationMs - config.hardMarginMs, null)
  const result = await continueRun(services, agentUid, deadlines)
  await services.settled()
  if ('refused' in result) return { outcome: 'nothing_to_do', why: result.refused.code }
  const { advanced } = result
  await services.sweep('beside').catch((error: unknown) => services.log.warn('the sweep beside a slice failed', { error: reasonOf(error) }))
  await services.settled()
  return advanced.kind === 'lease_lost'
    ? { outcome: 'lease_lost' }
    : { outcome: advanced.kind, state: advanced.state, lastSeq: advanced.lastSeq }
}
