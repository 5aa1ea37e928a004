import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { retain } from '#lib/jobs/retention'

/** Hourly: what is older than its retention goes; the counts are the result of the run. */
export const retention = client.createFunction(
  { id: 'retention', triggers: [{ cron: '17 * * * *' }], retries: 1, concurrency: [{ limit: 1 }], checkpointing: false },
  async () => retain(await baton()),
)
