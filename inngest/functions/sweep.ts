import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { readConfig } from '#lib/env'
import { cronOf } from '#lib/queue/cron'

/** Finds what is due and lost. Without step.run: one execution a sweep, and nothing to replay. */
export const sweep = client.createFunction(
  { id: 'sweep', triggers: [{ cron: cronOf(readConfig().sweepEveryMs) }], retries: 0, concurrency: [{ limit: 1 }], checkpointing: false },
  async () => {
    const services = await baton()
    const result = await services.sweep('cron')
    await services.settled()
    return result
  },
)
