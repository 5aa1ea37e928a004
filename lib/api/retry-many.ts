import { z } from 'zod'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { retryOne } from '#lib/api/runs'
import { range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import type { RunId } from '#lib/core/ids'
import { stopReason } from '#lib/core/run'
import { refusalError } from '#lib/engine/open'
import { canonicalJson, sha256Hex } from '#lib/http/json'

/** The ends that can be retried; without a filter only what failed is. */
const retryableState = z.enum(['failed', 'cancelled', 'killed', 'budget_exceeded', 'expired'])

const retryBody = z.strictObject({
  filter: z
    .strictObject({
      state: retryableState.exactOptional(),
      stopReason: stopReason.exactOptional(),
      template: z.string().max(64).exactOptional(),
      from: range.from.unwrap().exactOptional(),
      to: range.to.unwrap().exactOptional(),
    })
    .default({}),
  limit: z.int().min(1).max(100).default(100),
})

/** So many retries are asked for at once. */
const atOnce = 5

/** POST /api/runs/retry: what an outage failed goes on; the newest run of each agent where it fits the filter. */
export const retryRuns = endpoint({
  method: 'POST',
  path: '/api/runs/retry',
  summary: 'Retry the newest failed run of each agent',
  userFields: ['filter', 'limit'],
  body: retryBody,
  async handler({ services, body, caller, idempotencyKey }) {
    const authority = authorityOf(services, caller)
    const { filter, limit } = body
    const newRunIds = Array.from({ length: limit }, (): RunId => services.ids.make('run'))
    const idempotency =
      idempotencyKey === null ? null : { key: idempotencyKey, hash: sha256Hex(`POST /api/runs/retry ${canonicalJson(body)}`) }
    const chosen = await services.store.retryCandidates(authority, { filter, limit, newRunIds, idempotency })
    if (!chosen.ok) throw refusalError(chosen)
    const data: Record<string, unknown>[] = []
    for (let from = 0; from < chosen.data.length; from += atOnce) {
      const some = chosen.data.slice(from, from + atOnce)
      const answers = await Promise.all(some.map((pair) => retryOne(services, authority, pair)))
      for (const [index, answer] of answers.entries()) {
        const runId = some[index]?.runId
        if (answer.ok) services.dispatch(answer.outbox)
        if (answer.ok) data.push({ runId, newRunId: answer.run.id, agentId: answer.run.agentId, state: answer.run.state })
        else data.push({ runId, code: answer.code, ...('scope' in answer ? { scope: answer['scope'] } : {}) })
      }
    }
    const retried = data.filter((entry) => 'newRunId' in entry).length
    return json(200, { data, retried }, chosen.replayed ? { 'idempotent-replayed': 'true' } : {})
  },
})
