import type { RecordedDelivery, TakenDelivery, WebhookStore } from '#lib/core/webhooks'
import type { Refusal } from '#lib/core/store'
import { again } from '#lib/store/again'

/** The part of the store for webhooks, over the same call. */
export function webhookStore(call: <Answer>(name: string, argument: object) => Promise<Answer>): WebhookStore {
  return {
    createWebhook: (authority, request) => again(() => call('create_webhook', { ...authority, ...request })),
    refuseWebhook: (authority, request) => call('refuse_webhook', { ...authority, ...request }),
    listWebhooks: (authority, query) => call('list_webhooks', { ...authority, ...query }),
    getWebhook: (authority, webhook) => call('get_webhook', { ...authority, webhook }),
    patchWebhook: (authority, webhook, patch) => call('patch_webhook', { ...authority, ...patch, webhook }),
    rotateWebhook: (authority, request) => again(() => call('rotate_webhook', { ...authority, ...request })),
    deleteWebhook: (authority, webhook) => call('delete_webhook', { ...authority, webhook }),
    testWebhook: (authority, webhook) => call('test_webhook', { ...authority, webhook }),
    listDeliveries: (authority, query) => call('list_deliveries', { ...authority, ...query }),
    getDelivery: (authority, of) => call('get_delivery', { ...authority, ...of }),
    redeliver: (authority, of) => call('redeliver', { ...authority, ...of }),
    takeDelivery: (request) => call<TakenDelivery | Refusal>('take_delivery', request),
    recordDelivery: (record) => again(() => call<RecordedDelivery | Refusal>('record_delivery', record)),
  }
}
