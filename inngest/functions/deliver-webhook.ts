import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { deliverWebhook as attempt } from '#lib/jobs/deliver-webhook'
import { eventNames, webhookData } from '#lib/queue/events'

/** One attempt of one delivery; retries are outbox rows of their own. */
export const deliverWebhook = client.createFunction(
  { id: 'deliver-webhook', triggers: [{ event: eventNames.webhook }], retries: 2, concurrency: [{ limit: 5 }], checkpointing: false },
  async ({ event, step }) => step.run('deliver', async () => attempt(await baton(), webhookData.parse(event.data).deliveryId)),
)
