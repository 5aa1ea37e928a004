import type { AgentUid } from '#lib/core/ids'
import type { Clock } from '#lib/core/ports'

/** Which agents are watched in other processes, as far as signals told. */
export interface Watchers {
  /** Notes a sign of life; true when the agent was not known to be watched. */
  note(agentUid: AgentUid): boolean
  has(agentUid: AgentUid): boolean
}

const most = 10_000

/** Remembers watchers for `lifeMs` after their last sign of life; of more than 10,000 agents the longest silent are forgotten. */
export function createWatchers(clock: Pick<Clock, 'monotonic'>, lifeMs: number): Watchers {
  const until = new Map<AgentUid, number>()
  const has = (agentUid: AgentUid) => (until.get(agentUid) ?? -Infinity) > clock.monotonic()
  return {
    note(agentUid) {
      const isNew = !has(agentUid)
      // Deleted first, so that the map stays ordered by the last sign of life.
      until.delete(agentUid)
      until.set(agentUid, clock.monotonic() + lifeMs)
      for (const [oldest, end] of until) {
        if (end > clock.monotonic() && until.size <= most) break
        until.delete(oldest)
      }
      return isNew
    },
    has,
  }
}
