import { z } from 'zod'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { idParams, page, range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import type { WebhookDelivery } from '#lib/core/webhooks'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'
import type { Services } from '#lib/services'

const params = z.object({ id: idParams.shape.id, deliveryId: z.string().min(1).max(200) })

/** `number` is for the cursor alone. */
function deliveryBody({ number: _number, ...delivery }: WebhookDelivery): Omit<WebhookDelivery, 'number'> {
  return delivery
}

/** GET /api/webhooks/{id}/deliveries: the newest first, each with its attempts. */
export const listDeliveries = endpoint({
  method: 'GET',
  path: '/api/webhooks/{id}/deliveries',
  summary: 'Deliveries of a webhook endpoint with their attempts, newest first',
  params: idParams,
  query: z.object({
    ...page,
    ...range,
    state: z.enum(['pending', 'delivered', 'failed']).optional(),
    type: z.string().max(64).optional(),
    runId: z.string().max(100).optional(),
  }),
  async handler({ services, params: { id }, query, caller }) {
    const { cursor, ...filters } = query
    const after = cursor === undefined ? null : decodeCursor('deliveries', cursor, 'desc')
    const answer = await services.store.listDeliveries(authorityOf(services, caller), { webhook: id, after, ...filters })
    if (!answer.ok) throw refusalError(answer)
    const { data, nextCursor } = listing(answer.data, query.limit, ({ number }) => encodeCursor('deliveries', String(number), 'desc'))
    return json(200, { data: data.map(deliveryBody), nextCursor })
  },
})

/** GET /api/webhooks/{id}/deliveries/{deliveryId}: with the payload. */
export const getDelivery = endpoint({
  method: 'GET',
  path: '/api/webhooks/{id}/deliveries/{deliveryId}',
  summary: 'Read a delivery with its payload',
  params,
  async handler({ services, params: { id, deliveryId }, caller }) {
    const answer = await services.store.getDelivery(authorityOf(services, caller), { webhook: id, delivery: deliveryId })
    if (!answer.ok) throw refusalError(answer)
    // As it was sent: stored is what the run said.
    return json(200, services.redact(deliveryBody(answer.delivery)))
  },
})

async function redelivered(
  services: Services,
  caller: Caller,
  of: { webhook: string; delivery: string } | { runId: string; delivery: string },
): Promise<Response> {
  const answer = await services.store.redeliver(authorityOf(services, caller), of)
  if (!answer.ok) throw refusalError(answer)
  services.dispatch(answer.outbox)
  return json(202, deliveryBody(answer.delivery))
}

/** POST /api/webhooks/{id}/deliveries/{deliveryId}/redeliver: the same event id, now, delivered before or not. */
export const redeliver = endpoint({
  method: 'POST',
  path: '/api/webhooks/{id}/deliveries/{deliveryId}/redeliver',
  summary: 'Deliver again, under the same webhook-id',
  params,
  handler: ({ services, params: { id, deliveryId }, caller }) => redelivered(services, caller, { webhook: id, delivery: deliveryId }),
})

/** POST /api/runs/{id}/webhooks/{deliveryId}/redeliver: for a delivery to the address of a message or agent. */
export const redeliverOfRun = endpoint({
  method: 'POST',
  path: '/api/runs/{id}/webhooks/{deliveryId}/redeliver',
  summary: "Deliver a run's own webhook again, under the same webhook-id",
  params,
  handler: ({ services, params: { id, deliveryId }, caller }) => redelivered(services, caller, { runId: id, delivery: deliveryId }),
})
