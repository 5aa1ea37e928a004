import type { AgentUid } from '#lib/core/ids'
import type { Services } from '#lib/services'
import { signStreamToken } from '#lib/http/token'

/** Where to find an agent: `events` carries a read-only token as that of a run does. A name that is given anew is not covered by it. */
export async function agentLinks(
  services: Pick<Services, 'config' | 'clock'>,
  tenantId: string,
  { id, agentUid }: { id: string; agentUid: AgentUid },
): Promise<{ agent: string; events: string }> {
  const token = await signStreamToken({ kind: 'agent', id, agentUid, tenantId }, services.config.encryptionKey, services.clock.now())
  const agent = `/api/agents/${encodeURIComponent(id)}`
  return { agent, events: `${agent}/events?token=${token}` }
}

/**
 * Where to follow a run: `events` carries a read-only token for browsers that cannot send headers (15 minutes). With `after` it opens what
 * comes after that event.
 */
export async function linksOf(
  services: Services,
  tenantId: string,
  run: { agentUid: AgentUid; runId: string; after?: number },
): Promise<{ run: string; events: string }> {
  const token = await signStreamToken(
    { kind: 'run', id: run.runId, agentUid: run.agentUid, tenantId, ...(run.after === undefined ? {} : { after: run.after }) },
    services.config.encryptionKey,
    services.clock.now(),
  )
  return { run: `/api/runs/${run.runId}`, events: `/api/runs/${run.runId}/events?token=${token}` }
}
