import { reasonOf } from '#lib/core/errors'
import type { Refusal } from '#lib/core/store'
import { deadlinesFrom } from '#lib/engine/deadlines'
import type { EngineServices } from '#lib/engine/services'
import type { Services } from '#lib/services'
import { continueRun } from '#lib/engine/slices'

/** What a slice in the background came to: a pointer for Inngest, never content. */
export interface SliceReport {
  outcome: 'ended' | 'handed_over' | 'waiting' | 'paused' | 'lease_lost' | 'nothing_to_do'
  why?: string
  state?: string
  lastSeq?: number
}

/** A clock that is further ahead of the database's than this has the sweeper find what came too early. */
const mostEarlyMs = 2_000

/** By how much a continuation has come before its time, in milliseconds; 0 where it did not, or another one was written for that time. */
function tooEarlyMs({ code, dueInMs, outbox }: Refusal): number {
  const early = code === 'not_due' && !Array.isArray(outbox) && typeof dueInMs === 'number' ? Math.ceil(dueInMs) : 0
  return early > 0 && early <= mostEarlyMs ? early : 0
}

/**
 * One slice of a due agent in the background: takes it over, runs it, and sweeps beside. Where more is left, the continuation that the last commit
 * wrote has been sent when this ends. Throws when the database is away.
 */
export async function continueSlice(
  services: EngineServices & Pick<Services, 'settled' | 'sweep'>,
  agentUid: string,
): Promise<SliceReport> {
  const { clock, config } = services
  // From before the wait for its time: the function's own limit counts it, too.
  const deadlines = deadlinesFrom(services, clock.monotonic(), config.maxDurationMs - config.hardMarginMs, null)
  let result = await continueRun(services, agentUid, deadlines)
  const earlyMs = 'refused' in result ? tooEarlyMs(result.refused) : 0
  if (earlyMs > 0) await clock.sleep(earlyMs)
  if (earlyMs > 0 && !services.ending()) result = await continueRun(services, agentUid, deadlines)
  await services.settled()
  if ('refused' in result) return { outcome: 'nothing_to_do', why: result.refused.code }
  const { advanced } = result
  await services.sweep('beside').catch((error: unknown) => services.log.warn('the sweep beside a slice failed', { error: reasonOf(error) }))
  await services.settled()
  return advanced.kind === 'lease_lost'
    ? { outcome: 'lease_lost' }
    : { outcome: advanced.kind, state: advanced.state, lastSeq: advanced.lastSeq }
}
