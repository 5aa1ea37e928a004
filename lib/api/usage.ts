import { z } from 'zod'
import { json, usd } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { page, range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { BatonError } from '#lib/core/errors'
import { instantBefore } from '#lib/core/instant'
import { refusalError } from '#lib/engine/open'

/** Without `from` the last 30 days; the ledger is kept for 400. */
const defaultSpanMs = 30 * 86_400_000
const longestSpanMs = 400 * 86_400_000

/** GET /api/usage: what was spent by agent, user, key, model or UTC day; a user sees their own. */
export const getUsage = endpoint({
  method: 'GET',
  path: '/api/usage',
  summary: 'What was spent, from the ledger; settled and estimated apart',
  query: z.object({ ...page, ...range, groupBy: z.enum(['agent', 'user', 'key', 'model', 'day']).default('day') }),
  async handler({ services, query, caller }) {
    const { groupBy, limit } = query
    // The end is open by a day: the database's clock is not ours.
    const to = query.to ?? new Date(services.clock.now() + 86_400_000).toISOString()
    const from = query.from ?? instantBefore(to, defaultSpanMs)
    if (Date.parse(to) - Date.parse(from) > longestSpanMs)
      throw new BatonError('validation', 'At most 400 days can be asked for at once.', {
        problems: [{ in: 'query', path: '/from', message: 'is more than 400 days before to' }],
      })
    const kind = `usage-${groupBy}` as const
    const after = query.cursor === undefined ? null : decodeCursor(kind, query.cursor)
    const answer = await services.store.usage(authorityOf(services, caller), { groupBy, from, to, after, limit })
    if (!answer.ok) throw refusalError(answer)
    const { data, nextCursor } = listing(answer.data, limit, ({ group }) => encodeCursor(kind, group))
    return json(200, {
      data: data.map(({ group, ...row }) => ({ [groupBy]: group === '' ? null : group, ...row, costUsd: usd(row.costMicros) })),
      nextCursor,
    })
  },
})
