import { client } from '#inngest/client'
import { baton } from '#lib/baton'

/** So many batches an hour at most, so that one run of this function is bounded. */
const mostBatches = 50
const batch = 1_000

/** Hourly: what is older than its retention goes, in batches (5-data, Retention). */
export const retention = client.createFunction(
  { id: 'retention', triggers: [{ cron: '17 * * * *' }], retries: 1, concurrency: [{ limit: 1 }], checkpointing: false },
  async () => {
    const { store, config, log } = await baton()
    for (let n = 0; n < mostBatches; n++) {
      const gone = await store.prune({ environment: config.environment, limit: batch })
      log.info('pruned', gone)
      if (!Object.values(gone).some((count) => typeof count === 'number' && count >= batch)) return gone
    }
    return { more: true }
  },
)
