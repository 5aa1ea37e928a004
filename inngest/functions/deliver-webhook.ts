import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { readConfig } from '#lib/env'
import { deliverWebhook as attempt } from '#lib/jobs/deliver-webhook'
import { eventNames, webhookData } from '#lib/queue/events'

const { concurrency } = readConfig()

/**
 * One attempt of one delivery; retries are outbox rows of their own. A tenant has two lanes: its slow receivers, however many, never take the last of
 * the places, nor its failing ones those of its others. Without step.run: the delivery's row says what was tried (docs/decisions/0023).
 */
export const deliverWebhook = client.createFunction(
  {
    id: 'deliver-webhook',
    triggers: [{ event: eventNames.webhook }],
    retries: 2,
    concurrency: [{ limit: concurrency }, { limit: concurrency < 5 ? 1 : 2, key: 'event.data.lane' }],
    checkpointing: false,
  },
  async ({ event }) => attempt(await baton(), webhookData.parse(event.data).deliveryId),
)
