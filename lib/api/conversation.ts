import { z } from 'zod'
import type { MessagesPage } from '#lib/core/pages'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { mostBytes } from '#lib/api/listing'
import { agentParams, page, range, seq } from '#lib/api/schemas'
import { requireAgent } from '#lib/api/scope'

/** Where a page begins: behind a message, and, when all of them have been shown, behind a place in the queue. */
interface Place {
  after: number
  queuedAfter?: number
}

function placeOf(cursor: string): Place {
  const [after, queuedAfter] = decodeCursor('messages', cursor).split('|').map(Number)
  return { after: after ?? 0, ...(queuedAfter === undefined ? {} : { queuedAfter }) }
}

/** The cursor behind a page, null on the last. What has been told of the queue stays told when messages enter between two pages. */
function cursorBehind({ data, queuedAt, cut, queuedCut }: MessagesPage, limit: number, { after, queuedAfter }: Place): string | null {
  if (!cut && data.length < limit && !queuedCut) return null
  const place = queuedAt ?? queuedAfter
  return encodeCursor('messages', `${data.at(-1)?.seq ?? after}${place === undefined ? '' : `|${place}`}`)
}

/** The cursor before a page of `?before=`, null where the conversation begins. */
function cursorBefore({ data, cut }: MessagesPage, limit: number): string | null {
  const [oldest] = data
  return oldest === undefined || (!cut && data.length < limit) ? null : encodeCursor('messages', String(oldest.seq), 'desc')
}

/** GET /api/agents/{id}/messages: the conversation in order, then what waits in the queue. */
export const listMessages = endpoint({
  method: 'GET',
  path: '/api/agents/{id}/messages',
  summary:
    'The conversation, oldest first; queued messages come last and have no seq. With `before` the newest page comes first, without the queue',
  params: agentParams,
  query: z.object({
    ...page,
    ...range,
    after: seq.optional(),
    before: seq.optional(),
    role: z.enum(['system', 'user', 'assistant', 'tool']).optional(),
  }),
  async handler({ services, params, query, caller }) {
    const agent = await requireAgent(services, caller, params.id)
    const { cursor, limit } = query
    const backwards = query.before !== undefined
    const before = backwards && cursor !== undefined ? Number(decodeCursor('messages', cursor, 'desc').split('|')[0]) : query.before
    const place: Place = cursor === undefined || backwards ? { after: query.after ?? 0 } : placeOf(cursor)
    const answer = await services.store.listMessages({
      agentUid: agent.agentUid,
      limit,
      bytes: mostBytes,
      ...place,
      ...(before === undefined ? { queue: mostBytes } : { before, queue: 0 }),
      ...(query.role === undefined ? {} : { role: query.role }),
      ...(query.from === undefined ? {} : { from: query.from }),
      ...(query.to === undefined ? {} : { to: query.to }),
    })
    return json(200, {
      data: [...answer.data.map(({ estTokens: _estTokens, ...message }) => ({ ...message, state: 'entered' })), ...answer.queued],
      nextCursor: backwards ? cursorBefore(answer, limit) : cursorBehind(answer, limit, place),
    })
  },
})
