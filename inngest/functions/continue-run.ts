import { client } from '#inngest/client'
import { baton } from '#lib/baton'
import { continueSlice } from '#lib/jobs/continue-slice'
import { continueData, eventNames } from '#lib/queue/events'

/** After so many slices the function ends; the continuation that the last commit wrote starts a new one. */
const mostSlices = 50

/** Resumes a run and persists it, slice by slice, until it ends, waits, or is somebody else's (5-data, Inngest). */
export const continueRun = client.createFunction(
  {
    id: 'agent-continue',
    triggers: [{ event: eventNames.continue }],
    retries: 4,
    // Five in all, as the free plan has; one tenant never takes the last of them.
    concurrency: [{ limit: 5 }, { key: 'event.data.tenantId', limit: 4 }],
    checkpointing: false,
  },
  async ({ event, step }) => {
    const { agentUid } = continueData.parse(event.data)
    for (let n = 1; ; n++) {
      const report = await step.run(`slice-${n}`, async () => continueSlice(await baton(), agentUid, n < mostSlices))
      if (!report.more || n >= mostSlices) return report
    }
  },
)
