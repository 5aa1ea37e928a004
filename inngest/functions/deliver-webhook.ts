import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { deliverWebhook as attempt } from '#lib/jobs/deliver-webhook'
import { eventNames, webhookData } from '#lib/queue/events'

/**
 * One attempt of one delivery; retries are outbox rows of their own. A lane is one receiver, or all failing receivers of a tenant: neither
 * a slow receiver nor many dead ones take all the places. Without step.run: the delivery's row says what was tried (docs/decisions/0023).
 */
export const deliverWebhook = client.createFunction(
  {
    id: 'deliver-webhook',
    triggers: [{ event: eventNames.webhook }],
    retries: 2,
    concurrency: [{ limit: 5 }, { limit: 2, key: 'event.data.lane' }],
    checkpointing: false,
  },
  async ({ event }) => attempt(await baton(), webhookData.parse(event.data).deliveryId),
)
