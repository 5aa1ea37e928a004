import type { AgentUid } from '#lib/core/ids'
import type { Services } from '#lib/services'

/** An executor elsewhere has heard of the deletion by then, and what it had in hand has been written: signals take 1 s at most. */
const lastWordsMs = 2_000

/**
 * After the deletion of agents: their executors are stopped, and the live text that Redis keeps of them goes with them. Once more a
 * moment later, for what an executor wrote before it heard. Without this the text would stay for up to 15 minutes.
 */
export async function forgetAgents({ live, clock }: Pick<Services, 'live' | 'clock'>, agentUids: readonly AgentUid[]): Promise<void> {
  await Promise.all(agentUids.map((agentUid) => live.halt({ agentUid, runId: null })))
  await live.forget(agentUids)
  await clock.sleep(lastWordsMs)
  await live.forget(agentUids)
}
