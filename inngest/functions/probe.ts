import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { eventNames, probeData } from '#lib/queue/events'

/** Answers the doctor's event (npm run doctor): what has come here has made the whole round. */
export const probe = client.createFunction(
  { id: 'probe', triggers: [{ event: eventNames.probe }], retries: 0, concurrency: [{ limit: 1 }], checkpointing: false },
  async ({ event }) => {
    const { store, config } = await baton()
    await store.answerProbe({ environment: config.environment, answered: probeData.parse(event.data).probe })
  },
)
