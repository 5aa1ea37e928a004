import type { AgentUid } from '#lib/core/ids'
import type { Services } from '#lib/services'
import { signStreamToken } from '#lib/http/token'

/** Where to follow a run: `events` carries a read-only token for browsers that cannot send headers (15 minutes). */
export async function linksOf(
  services: Services,
  tenantId: string,
  run: { agentUid: AgentUid; runId: string },
): Promise<{ run: string; events: string }> {
  const token = await signStreamToken(
    { kind: 'run', id: run.runId, agentUid: run.agentUid, tenantId },
    services.config.encryptionKey,
    services.clock.now(),
  )
  return { run: `/api/runs/${run.runId}`, events: `/api/runs/${run.runId}/events?token=${token}` }
}
