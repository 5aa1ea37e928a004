import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { readConfig } from '#lib/env'
import { continueSlice } from '#lib/jobs/continue-slice'
import { continueData, eventNames } from '#lib/queue/events'

const { concurrency } = readConfig()

/**
 * Resumes a run and persists it: one slice, until it ends, waits, is handed over or is somebody else's. What is left comes as the next event, from the
 * outbox of the commit that handed it over. Without step.run: the database remembers what a slice has done, better than a memo could, so a slice is one
 * execution of the plan and not two (docs/decisions/0023). A retry takes over where the last commit stands.
 */
export const continueRun = client.createFunction(
  {
    id: 'agent-continue',
    triggers: [{ event: eventNames.continue }],
    retries: 4,
    // Five in all by default, as the free plan has; one tenant never takes the last of them.
    concurrency: [{ limit: concurrency }, { key: 'event.data.tenantId', limit: concurrency - 1 }],
    checkpointing: false,
  },
  async ({ event }) => continueSlice(await baton(), continueData.parse(event.data).agentUid),
)
