import { getDelivery, listDeliveries, redeliver, redeliverOfRun } from '#lib/api/deliveries'
import { json, nothing, operation, page, type Resource } from '#lib/api/openapi/describe'
import {
  delivery,
  deliveryWithPayload,
  exampleDelivery,
  exampleWebhook,
  testSent,
  webhook,
  webhookWithSecret,
} from '#lib/api/openapi/schemas/webhook'
import { createWebhook, deleteWebhook, getWebhook, listWebhooks, patchWebhook, rotateWebhookSecret, testWebhook } from '#lib/api/webhooks'

const secret = 'whsec_bm90IGEgc2VjcmV0IGF0IGFsbA=='
const again = json(delivery, 'It is on its way again, under the same webhook-id', { ...exampleDelivery, state: 'pending', endedAt: null })
const payload = { type: 'run.completed', timestamp: exampleDelivery.createdAt, data: { runId: exampleDelivery.runId, state: 'completed' } }

/** Webhooks: endpoints and their deliveries. */
export const webhooks: Resource = {
  tag: 'Webhooks',
  description: 'Standard Webhooks: endpoints, their secrets and what was delivered. What they are sent is in docs/webhooks.md.',
  operations: {
    createWebhook: operation(
      createWebhook,
      { 201: json(webhookWithSecret, 'The endpoint, and its secret this once', { ...exampleWebhook, secret }, ['Location']) },
      { problems: ['webhook_refused', 'webhook_limit'], example: { url: exampleWebhook.url, events: ['run.completed'] } },
    ),
    listWebhooks: operation(listWebhooks, {
      200: page('WebhookEndpointPage', webhook, 'Endpoints in the order they were registered', exampleWebhook),
    }),
    getWebhook: operation(getWebhook, { 200: json(webhook, 'The endpoint', exampleWebhook) }, { problems: ['webhook_not_found'] }),
    patchWebhook: operation(
      patchWebhook,
      { 200: json(webhook, 'The endpoint as it is now', exampleWebhook) },
      { problems: ['webhook_not_found', 'webhook_refused'], example: { enabled: true } },
    ),
    rotateWebhookSecret: operation(
      rotateWebhookSecret,
      { 200: json(webhookWithSecret, 'The endpoint, and its new secret this once', { ...exampleWebhook, secret }) },
      { problems: ['webhook_not_found', 'webhook_refused'], example: { overlapSeconds: 3_600 } },
    ),
    deleteWebhook: operation(
      deleteWebhook,
      { 204: nothing('The endpoint is gone, with its deliveries') },
      { problems: ['webhook_not_found'] },
    ),
    testWebhook: operation(
      testWebhook,
      {
        202: json(testSent, 'A test event is on its way', { eventId: exampleDelivery.eventId, deliveryId: exampleDelivery.id }, [
          'Location',
        ]),
      },
      { problems: ['webhook_not_found', 'webhook_disabled'] },
    ),
    listDeliveries: operation(
      listDeliveries,
      { 200: page('DeliveryPage', delivery, 'Deliveries, newest first', exampleDelivery) },
      { problems: ['webhook_not_found'] },
    ),
    getDelivery: operation(
      getDelivery,
      { 200: json(deliveryWithPayload, 'The delivery with its payload', { ...exampleDelivery, payload }) },
      { problems: ['webhook_not_found', 'delivery_not_found'] },
    ),
    redeliver: operation(redeliver, { 202: again }, { problems: ['webhook_not_found', 'delivery_not_found', 'webhook_disabled'] }),
    redeliverOfRun: operation(redeliverOfRun, { 202: again }, { problems: ['run_not_found', 'delivery_not_found'] }),
  },
}
