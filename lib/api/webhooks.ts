import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { mostWebhooks, webhookEvents } from '#lib/core/webhooks'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { idParams, page } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'
import type { Services } from '#lib/services'

const url = z.string().min(1).max(2_048)
/** Absent or empty: every event that need not be asked for. */
const events = z.array(z.enum(webhookEvents)).max(webhookEvents.length)
const description = z.string().max(500)
const secret = z.string().min(16).max(256)
const day = 24 * 60 * 60

/** The address as it will be called. A refusal is noted in the audit log; a caller without the right is told that instead. */
async function checkedAddress(services: Services, caller: Caller, action: string, webhook: string | null, given: string): Promise<string> {
  try {
    return services.checkWebhookAddress(given).href
  } catch (error) {
    if (!(error instanceof BatonError) || error.code !== 'webhook_refused') throw error
    const noted = await services.store.refuseWebhook(authorityOf(services, caller), { action, webhook, reason: error.message })
    throw noted.ok ? error : refusalError(noted)
  }
}

/** POST /api/webhooks: the answer is the only place that ever shows the secret. */
export const createWebhook = endpoint({
  method: 'POST',
  path: '/api/webhooks',
  summary: 'Register a webhook endpoint; its secret is shown once',
  body: z.strictObject({ url, events: events.optional(), description: description.optional(), secret: secret.optional() }),
  async handler({ services, body, caller }) {
    const address = await checkedAddress(services, caller, 'webhook.create', null, body.url)
    const plain = body.secret ?? services.makeWebhookSecret()
    const request = {
      webhook: services.ids.make('whe'),
      url: address,
      events: body.events ?? null,
      description: services.redact(body.description ?? null),
      sealed: services.sealSecret(plain),
      most: mostWebhooks,
    }
    const authority = authorityOf(services, caller)
    let answer = await services.store.createWebhook(authority, request)
    if (!answer.ok && answer.code === 'tenant_missing' && (await services.ensureTenant(String(answer['tenant']))))
      answer = await services.store.createWebhook(authority, request)
    if (!answer.ok) throw refusalError(answer)
    return json(201, { ...answer.webhook, secret: plain }, { location: `/api/webhooks/${answer.webhook.id}`, 'cache-control': 'no-store' })
  },
})

/** GET /api/webhooks: in the order they were registered. */
export const listWebhooks = endpoint({
  method: 'GET',
  path: '/api/webhooks',
  summary: 'List webhook endpoints',
  query: z.object(page),
  async handler({ services, query, caller }) {
    const { limit, cursor } = query
    const after = cursor === undefined ? null : decodeCursor('webhooks', cursor)
    const answer = await services.store.listWebhooks(authorityOf(services, caller), { limit, after })
    if (!answer.ok) throw refusalError(answer)
    const shown = listing(answer.data, limit, ({ id }) => encodeCursor('webhooks', id))
    return json(200, shown)
  },
})

/** GET /api/webhooks/{id} */
export const getWebhook = endpoint({
  method: 'GET',
  path: '/api/webhooks/{id}',
  summary: 'Read a webhook endpoint',
  params: idParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.getWebhook(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    return json(200, answer.webhook)
  },
})

/** PATCH /api/webhooks/{id}: what is absent stays; enabling resumes the deliveries that waited. */
export const patchWebhook = endpoint({
  method: 'PATCH',
  path: '/api/webhooks/{id}',
  summary: 'Change, disable or enable a webhook endpoint',
  params: idParams,
  body: z.strictObject({
    url: url.optional(),
    events: events.nullable().optional(),
    description: description.nullable().optional(),
    enabled: z.boolean().optional(),
  }),
  async handler({ services, params, body, caller }) {
    const patch = {
      ...(body.url === undefined ? {} : { url: await checkedAddress(services, caller, 'webhook.update', params.id, body.url) }),
      ...(body.events === undefined ? {} : { events: body.events }),
      ...(body.description === undefined ? {} : { description: services.redact(body.description) }),
      ...(body.enabled === undefined ? {} : { enabled: body.enabled }),
    }
    const answer = await services.store.patchWebhook(authorityOf(services, caller), params.id, patch)
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    return json(200, answer.webhook)
  },
})

/** POST /api/webhooks/{id}/rotate-secret: during the overlap both secrets sign, so that receivers change over in their own time. */
export const rotateWebhookSecret = endpoint({
  method: 'POST',
  path: '/api/webhooks/{id}/rotate-secret',
  summary: 'Give a webhook endpoint a new secret, shown once',
  params: idParams,
  body: z
    .strictObject({
      secret: secret.optional(),
      overlapSeconds: z
        .int()
        .min(0)
        .max(7 * day)
        .optional(),
    })
    .optional(),
  async handler({ services, params, body, caller }) {
    const plain = body?.secret ?? services.makeWebhookSecret()
    const answer = await services.store.rotateWebhook(authorityOf(services, caller), {
      webhook: params.id,
      sealed: services.sealSecret(plain),
      overlapMs: (body?.overlapSeconds ?? day) * 1_000,
    })
    if (!answer.ok) throw refusalError(answer)
    return json(200, { ...answer.webhook, secret: plain }, { 'cache-control': 'no-store' })
  },
})

/** DELETE /api/webhooks/{id}: with the log of its deliveries. */
export const deleteWebhook = endpoint({
  method: 'DELETE',
  path: '/api/webhooks/{id}',
  summary: 'Delete a webhook endpoint with its deliveries',
  params: idParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.deleteWebhook(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    return new Response(null, { status: 204 })
  },
})

/** POST /api/webhooks/{id}/test: sends `webhook.test` to this endpoint, whatever its filter says. */
export const testWebhook = endpoint({
  method: 'POST',
  path: '/api/webhooks/{id}/test',
  summary: 'Send a test event to a webhook endpoint',
  params: idParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.testWebhook(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    const { eventId, deliveryId } = answer
    return json(202, { eventId, deliveryId }, { location: `/api/webhooks/${params.id}/deliveries/${deliveryId}` })
  },
})
