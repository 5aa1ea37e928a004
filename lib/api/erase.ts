import { z } from 'zod'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { forgetAgents } from '#lib/api/forget'
import { authorityOf } from '#lib/api/scope'
import { refusalError } from '#lib/engine/open'
import type { Services } from '#lib/services'
import type { EndpointContext } from '#lib/http/endpoint'

type Context = Pick<EndpointContext<Services, unknown, unknown, unknown>, 'services' | 'caller' | 'background'>

/** DELETE /api/users/{id}: all agents of a Supabase user, with everything that belongs to them. */
export const deleteUser = endpoint({
  method: 'DELETE',
  path: '/api/users/{id}',
  summary: 'Delete everything of a user',
  params: z.object({ id: z.uuid().transform((id) => id.toLowerCase()) }),
  handler: (context) => erased(context, `user:${context.params.id}`, null),
})

/** DELETE /api/tenant?confirm=ID: everything of the caller's tenant, its keys too. */
export const deleteTenant = endpoint({
  method: 'DELETE',
  path: '/api/tenant',
  summary: 'Delete the tenant of the credential with everything in it',
  query: z.object({ confirm: z.string().min(1).max(200) }),
  handler: (context) => erased(context, 'tenant', context.query.confirm),
})

/** Piece by piece as long as the function may; 202 with `more` when it did not get to the end: the same request goes on. */
async function erased({ services, caller, background }: Context, scope: string, confirm: string | null): Promise<Response> {
  const { clock, config, store } = services
  const until = clock.monotonic() + Math.min(config.defaultWaitMs, config.maxDurationMs - config.hardMarginMs)
  let agents = 0
  for (;;) {
    const answer = await store.erase(authorityOf(services, caller), { scope, confirm })
    if (!answer.ok) throw refusalError(answer)
    agents += answer.agents
    background(forgetAgents(services, answer.agentUids))
    if (!answer.more) return json(200, { scope, deleted: true, agents, more: false })
    if (clock.monotonic() >= until) return json(202, { scope, deleted: false, agents, more: true }, { 'retry-after': '0' })
  }
}
