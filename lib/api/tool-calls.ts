import { z } from 'zod'
import { toolCallState } from '#lib/core/run'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { agentParams, page, range } from '#lib/api/schemas'
import { requireAgent } from '#lib/api/scope'
import { callbackUrl } from '#lib/api/waits'
import { endpoint } from '#lib/api/endpoint'
import { listing, mostBytes } from '#lib/api/listing'

/** GET /api/agents/{id}/tool-calls: the records with state, input, output, attempts and audit trail. */
export const listToolCalls = endpoint({
  method: 'GET',
  path: '/api/agents/{id}/tool-calls',
  summary: 'Tool calls of an agent, oldest first',
  params: agentParams,
  query: z.object({
    ...page,
    ...range,
    state: toolCallState.optional(),
    name: z.string().max(64).optional(),
    runId: z.string().max(100).optional(),
  }),
  async handler({ services, params, query, caller }) {
    const agent = await requireAgent(services, caller, params.id)
    const { limit, cursor, ...filters } = query
    const after = cursor === undefined ? null : decodeCursor('tool-calls', cursor)
    const rows = await services.store.listToolCalls({ agentUid: agent.agentUid, limit, bytes: mostBytes, after, ...filters })
    const { data, nextCursor } = listing(rows.data, limit, ({ callId }) => encodeCursor('tool-calls', callId), rows.more)
    const { agentUid, template } = agent
    const shown = data.map(async (call) =>
      call.state === 'waiting_external'
        ? { ...call, callbackUrl: await callbackUrl(services, { callId: call.callId, agentUid, template, tool: call.name }) }
        : call,
    )
    return json(200, { data: await Promise.all(shown), nextCursor })
  },
})
