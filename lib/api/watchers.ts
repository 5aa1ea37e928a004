import type { RunView } from '#lib/core/store'
import type { Services } from '#lib/services'

/** Tells readers of the agent that events were written by somebody who is no executor, so that they need not wait for their next look. */
export function tellWatchers(services: Pick<Services, 'live'>, run: RunView, epoch: number): void {
  const { agentUid, id: runId, step, attempt, lastSeq } = run
  services.live.emit({ agentUid, runId, epoch, step, attempt, afterSeq: lastSeq, body: { type: 'committed', seq: lastSeq } })
}
