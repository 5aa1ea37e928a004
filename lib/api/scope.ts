import type { AgentView, RunDetails } from '#lib/core/pages'
import type { Authority } from '#lib/core/store'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'

/** The caller's credential and the deployment's environment, for the database to decide on; nothing of it comes from the request's body. */
export function authorityOf(services: Pick<Services, 'config'>, caller: Caller): Authority {
  return { environment: services.config.environment, credential: caller.credential, requestId: caller.requestId }
}

/** The agent of that id, or BatonError agent_not_found. */
export async function requireAgent(services: Services, caller: Caller, id: string): Promise<AgentView> {
  const answer = await services.store.getAgent(authorityOf(services, caller), id)
  if (!answer.ok) throw refusalError(answer)
  return answer.agent
}

/** The run of that id with its details, by whatever authority is given. Throws BatonError run_not_found. */
export async function runBy(services: Pick<Services, 'store'>, authority: Authority, id: string): Promise<RunDetails> {
  const answer = await services.store.getRun(authority, id)
  if (!answer.ok) throw refusalError(answer)
  return answer
}

/** The run of that id with its details, or BatonError run_not_found. */
export async function requireRun(services: Services, caller: Caller, id: string): Promise<RunDetails> {
  return runBy(services, authorityOf(services, caller), id)
}
