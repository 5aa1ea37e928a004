import { z } from 'zod'
import { json, usd } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { BatonError } from '#lib/core/errors'
import { instantBefore } from '#lib/core/instant'
import { refusalError } from '#lib/engine/open'

const dayMs = 86_400_000
const longestSpanMs = 31 * dayMs

/** GET /api/stats: runs, tools and agents in numbers; without `from` of the last day. A user sees their own. */
export const getStats = endpoint({
  method: 'GET',
  path: '/api/stats',
  summary: 'Runs, tools and agents in numbers, over at most 31 days',
  query: z.object(range),
  async handler({ services, query, caller }) {
    const to = query.to ?? new Date(services.clock.now() + dayMs).toISOString()
    const from = query.from ?? instantBefore(to, 2 * dayMs)
    if (Date.parse(to) - Date.parse(from) > longestSpanMs)
      throw new BatonError('validation', 'At most 31 days can be asked for at once.', {
        problems: [{ in: 'query', path: '/from', message: 'is more than 31 days before to' }],
      })
    const answer = await services.store.stats(authorityOf(services, caller), { from, to })
    if (!answer.ok) throw refusalError(answer)
    const { ok: _ok, runs, ...rest } = answer
    return json(200, { from, to, runs: { ...runs, costUsd: usd(runs.costMicros) }, ...rest })
  },
})
