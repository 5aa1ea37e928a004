import { z } from 'zod'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { page } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { switchModes, switchScopePattern } from '#lib/core/switches'
import { refusalError } from '#lib/engine/open'
import type { Services } from '#lib/services'

const scope = z
  .string()
  .max(200)
  // As in budgets: ids of users are taken in any case.
  .transform((text) => (text.startsWith('user:') ? text.toLowerCase() : text))
  .pipe(
    z
      .string()
      .regex(
        switchScopePattern,
        'a scope is global, tenant, run:ID, agent:ID, user:UUID or key:ID; calls of a tool are stopped by PUT /api/budgets/tool:NAME with limitCalls 0',
      ),
  )
const reason = z.string().trim().min(1).max(500)
const scopeParams = z.object({ scope })

/** So many agents are taken in one transaction, and so many batches follow a request; the sweeper does what is left after them. */
const batchSize = 200
const mostBatches = 100

/** What a wide switch has left to do goes on beside the answer. */
async function workOff(services: Services): Promise<void> {
  for (let batch = 0; batch < mostBatches; batch++) {
    const { more, outbox } = await services.store.applySwitchWork({ environment: services.config.environment, limit: batchSize })
    services.dispatch(outbox)
    if (!more) return
  }
}

/** POST /api/kill: sets a kill or hold; the same again changes nothing. */
export const setSwitch = endpoint({
  method: 'POST',
  path: '/api/kill',
  summary: 'Kill or hold a run, agent, user, key, tenant or everything',
  body: z.strictObject({ scope, mode: z.enum(switchModes), reason }),
  async handler({ services, body, caller, background }) {
    const answer = await services.store.setSwitch(authorityOf(services, caller), { ...body, reason: services.redact(body.reason) })
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    const { agentUid, more, ended } = answer
    // What runs in other processes looks at its flags now; without Redis it does at its next commit or heartbeat.
    background(agentUid === null ? services.live.haltAll() : services.live.halt({ agentUid, runId: null }))
    if (more) background(workOff(services))
    return json(200, { ...answer.switch, ended })
  },
})

/** DELETE /api/kill/{scope}: held runs go on; killed ones stay ended. */
export const liftSwitch = endpoint({
  method: 'DELETE',
  path: '/api/kill/{scope}',
  summary: 'Lift a kill or hold',
  params: scopeParams,
  query: z.object({ reason: reason.optional() }),
  async handler({ services, params, query, caller, background }) {
    const answer = await services.store.liftSwitch(authorityOf(services, caller), {
      scope: params.scope,
      reason: services.redact(query.reason ?? null),
    })
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    if (answer.more) background(workOff(services))
    return json(200, { ...answer.switch, lifted: true, resumed: answer.resumed })
  },
})

/** GET /api/kill: what is killed or held now, in the order of the scopes. */
export const listSwitches = endpoint({
  method: 'GET',
  path: '/api/kill',
  summary: 'List kills and holds',
  query: z.object(page),
  async handler({ services, query, caller }) {
    const { limit, cursor } = query
    const after = cursor === undefined ? null : decodeCursor('switches', cursor)
    const answer = await services.store.listSwitches(authorityOf(services, caller), { limit, after })
    if (!answer.ok) throw refusalError(answer)
    const shown = listing(answer.data, limit, ({ scope }) => encodeCursor('switches', scope))
    return json(200, shown)
  },
})
