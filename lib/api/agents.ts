import { z } from 'zod'
import type { AgentUid } from '#lib/core/ids'
import { json, usd } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { agentLinks } from '#lib/api/links'
import { sealedWebhook } from '#lib/api/messages'
import { narrowingOf, overridesOf } from '#lib/api/overrides'
import { agentParams, createAgentBody, order, page, patchAgentBody, range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { forgetAgents } from '#lib/api/forget'
import { BatonError } from '#lib/core/errors'
import { agentState } from '#lib/core/run'
import type { Caller } from '#lib/http/caller'
import { pointerToken, sha256Hex } from '#lib/http/json'
import { refusalError } from '#lib/engine/open'
import { unreadAgent } from '#lib/api/unread'
import type { Services } from '#lib/services'

/** As it is stored: with the secret's mark, by which a second POST is the same or another. */
function agentWebhook(
  services: Services,
  webhook: z.output<typeof createAgentBody>['webhook'],
): (ReturnType<typeof sealedWebhook> & { mark?: string }) | null {
  const sealed = sealedWebhook(services, webhook)
  return sealed === null || webhook?.secret === undefined ? sealed : { ...sealed, mark: services.markSecret(webhook.secret) }
}

/** The id of an agent whose caller names none but gives a key: the same for each repeat, of no other caller, and foretold by nobody. */
function idOfKey({ markSecret }: Services, { rateKey }: Caller, key: string): string {
  return `agent-${sha256Hex(markSecret(`${rateKey} ${key}`)).slice(0, 32)}`
}

/** POST /api/agents: 201, or 200 when it exists with the same body. */
export const createAgent = endpoint({
  method: 'POST',
  path: '/api/agents',
  summary: 'Create an agent',
  body: createAgentBody,
  userFields: ['id', 'template', 'metadata'],
  async handler({ services, body, caller, idempotencyKey }) {
    const { templates, ids } = services
    const keyed = body.id === undefined && idempotencyKey !== null ? idOfKey(services, caller, idempotencyKey) : null
    const settings = templates.settings(body.template)
    if (settings === null) {
      const known = templates.ids()
      throw new BatonError('template_unknown', `There is no template ${body.template}. Deployed: ${known.join(', ') || 'none'}.`, {
        templates: known,
      })
    }
    const overrides = overridesOf(body)
    const uid = ids.uuid() as AgentUid
    const authority = authorityOf(services, caller)
    const narrowing = await narrowingOf(
      services,
      authority,
      { name: null, template: body.template },
      overrides,
      body.overrides?.permission === undefined ? 'permission' : 'overrides',
    )
    const request = {
      ...authority,
      versions: templates.versions,
      settings,
      agent: {
        name: body.id ?? keyed ?? `agent-${uid}`,
        uid,
        mustExist: false,
        template: body.template,
        metadata: body.metadata ?? {},
        overrides,
        webhook: agentWebhook(services, body.webhook),
        ...(narrowing === null ? {} : { narrowing }),
      },
    }
    let answer = await services.store.createAgent(request)
    if (!answer.ok && answer.code === 'tenant_missing' && (await services.ensureTenant(String(answer['tenant']))))
      answer = await services.store.createAgent(request)
    if (!answer.ok) {
      const isOther = keyed !== null && (answer['reason'] === 'other_body' || answer['reason'] === 'other_template')
      throw refusalError(isOther ? { ok: false, code: 'idempotency_mismatch' } : answer)
    }
    const agent = answer.mayRead ? answer.agent : unreadAgent(answer.agent, body)
    return json(answer.created ? 201 : 200, agent, {
      location: `/api/agents/${answer.agent.id}`,
      ...(keyed === null || answer.created ? {} : { 'idempotent-replayed': 'true' }),
    })
  },
})

/** GET /api/agents: oldest first unless order=desc, stable while agents are added. */
export const listAgents = endpoint({
  method: 'GET',
  path: '/api/agents',
  summary: 'List agents',
  query: z.looseObject({
    ...page,
    ...range,
    order: order.default('asc'),
    template: z.string().max(64).optional(),
    state: agentState.optional(),
    prefix: z.string().max(128).optional(),
    user: z.uuid().optional(),
  }),
  async handler({ services, query, caller }) {
    const { limit, cursor, order, template, state, prefix, user, from, to, ...rest } = query
    const metadata: Record<string, string> = {}
    for (const [name, value] of Object.entries(rest)) {
      if (!name.startsWith('metadata.') || typeof value !== 'string') throw unknownFilter(name)
      metadata[name.slice('metadata.'.length)] = value
    }
    const data = await services.store.listAgents(authorityOf(services, caller), {
      limit,
      after: cursor === undefined ? null : decodeCursor('agents', cursor, order),
      order,
      template,
      state,
      prefix,
      user,
      from,
      to,
      metadata: Object.keys(metadata).length === 0 ? undefined : metadata,
    })
    const shown = listing(data, limit, ({ agentUid }) => encodeCursor('agents', agentUid, order))
    return json(200, shown)
  },
})

const agentFilters = ['limit', 'cursor', 'order', 'template', 'state', 'prefix', 'user', 'from', 'to', 'metadata.KEY']

function unknownFilter(name: string): BatonError {
  const problem = {
    in: 'query',
    path: `/${pointerToken(name)}`,
    message: 'is not a known parameter, or is given twice',
    allowed: agentFilters,
  }
  return new BatonError(
    'validation',
    `The query parameter ${name} is not known here, or is given twice; known are ${agentFilters.join(', ')}.`,
    { problems: [problem] },
  )
}

/** GET /api/agents/{id} */
export const getAgent = endpoint({
  method: 'GET',
  path: '/api/agents/{id}',
  summary: 'Read an agent',
  params: agentParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.getAgent(authorityOf(services, caller), params.id, true)
    if (!answer.ok) throw refusalError(answer)
    const { agent, cost, tenant } = answer
    const links = await agentLinks(services, tenant, agent)
    return json(200, { ...agent, runs: cost?.runs ?? 0, costMicros: cost?.costMicros ?? 0, costUsd: usd(cost?.costMicros ?? 0), links })
  },
})

/** PATCH /api/agents/{id}: metadata is replaced as a whole, webhook null removes it. */
export const patchAgent = endpoint({
  method: 'PATCH',
  path: '/api/agents/{id}',
  summary: 'Change metadata or webhook of an agent',
  params: agentParams,
  body: patchAgentBody,
  userFields: ['metadata'],
  async handler({ services, params, body, caller }) {
    const patch = {
      ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
      ...(body.alwaysAllowed === undefined ? {} : { alwaysAllowed: body.alwaysAllowed }),
      ...(body.webhook === undefined ? {} : { webhook: body.webhook === null ? null : agentWebhook(services, body.webhook) }),
    }
    const answer = await services.store.patchAgent(authorityOf(services, caller), params.id, patch)
    if (!answer.ok) throw refusalError(answer)
    return json(200, answer.mayRead ? answer.agent : unreadAgent(answer.agent, body))
  },
})

/** DELETE /api/agents/{id}: complete and at once; what still runs elsewhere can commit nothing more. */
export const deleteAgent = endpoint({
  method: 'DELETE',
  path: '/api/agents/{id}',
  summary: 'Delete an agent with everything that belongs to it',
  params: agentParams,
  async handler({ services, params, caller, background }) {
    const answer = await services.store.deleteAgent(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    background(forgetAgents(services, [answer.agentUid]))
    return new Response(null, { status: 204 })
  },
})
