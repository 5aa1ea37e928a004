import type { AgentView, RunDetails, Scope } from '#lib/core/pages'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'

/** Tenant and environment of the caller: from the credential and the deployment, never from the request. */
export function scopeOf(services: Services, caller: Caller): Scope {
  return { tenant: caller.tenantId, environment: services.config.environment }
}

/** The agent of that id, or BatonError agent_not_found. */
export async function requireAgent(services: Services, caller: Caller, id: string): Promise<AgentView> {
  const answer = await services.store.getAgent(scopeOf(services, caller), id)
  if (!answer.ok) throw refusalError(answer)
  return answer.agent
}

/** The run of that id with its details, or BatonError run_not_found. */
export async function requireRun(services: Services, caller: Caller, id: string): Promise<RunDetails> {
  const answer = await services.store.getRun(scopeOf(services, caller), id)
  if (!answer.ok) throw refusalError(answer)
  return answer
}
