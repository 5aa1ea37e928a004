import { reasonOf } from '#lib/core/errors'
import type { Refusal } from '#lib/core/store'
import { deadlinesFrom } from '#lib/engine/deadlines'
import type { Services } from '#lib/services'
import { continueRun } from '#lib/engine/slices'

/** What a slice in the background came to: a pointer for Inngest, never content. */
export interface SliceReport {
  outcome: 'ended' | 'handed_over' | 'waiting' | 'paused' | 'lease_lost' | 'nothing_to_do'
  why?: string
  /** True when the agent is due again at once: its run was handed over, or the next message of its queue was promoted. */
  more: boolean
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
 * One slice of a due agent in the background: takes it over, runs it, and sweeps beside. Throws when the database is away.
 * `goesOn`: the caller itself calls again while there is `more`, so the continuation that the commit wrote is not sent; the next
 * claim marks it, and if this process dies the sweeper sends it.
 */
export async function continueSlice(services: Services, agentUid: string, goesOn: boolean): Promise<SliceReport> {
  const { clock, config } = services
  let more = false
  const dispatch: Services['dispatch'] = (rows) => {
    const own = goesOn ? rows.filter((row) => row.kind === 'continue' && row.dueInMs === 0 && row.data.agentUid === agentUid) : []
    more ||= own.length > 0
    services.dispatch(rows.filter((row) => !own.includes(row)))
  }
  const run = () => {
    const deadlines = deadlinesFrom(services, clock.monotonic(), config.maxDurationMs - config.hardMarginMs, null)
    return continueRun({ ...services, dispatch }, agentUid, deadlines)
  }
  let result = await run()
  const earlyMs = 'refused' in result ? tooEarlyMs(result.refused) : 0
  if (earlyMs > 0) await clock.sleep(earlyMs)
  if (earlyMs > 0 && !services.ending()) result = await run()
  await services.settled()
  if ('refused' in result) return { outcome: 'nothing_to_do', why: result.refused.code, more }
  const { advanced } = result
  await services.sweep('beside').catch((error: unknown) => services.log.warn('the sweep beside a slice failed', { error: reasonOf(error) }))
  await services.settled()
  return advanced.kind === 'lease_lost'
    ? { outcome: 'lease_lost', more }
    : { outcome: advanced.kind, state: advanced.state, lastSeq: advanced.lastSeq, more }
}
