import { z } from 'zod'
import { run, exampleRun } from '#lib/api/openapi/schemas/run'
import { runStates } from '#lib/api/openapi/schemas/words'

/** What became of a wish to stop; `run` null where nothing ran. */
export const stopped = z
  .object({
    stopped: z.boolean().meta({ description: 'True where the run has ended as cancelled, by this call or an earlier one' }),
    run: run.nullable(),
  })
  .meta({ id: 'Stopped' })

/** One line for each run that was to be retried: the new run, or the code that says why not. */
export const retried = z
  .object({
    data: z.array(
      z.union([
        z.object({ runId: z.string(), newRunId: z.string(), agentId: z.string(), state: runStates }),
        z.object({ runId: z.string(), code: z.string(), scope: z.string().optional() }),
      ]),
    ),
    retried: z.int(),
  })
  .meta({ id: 'RetriedRuns' })

/** The stop of the examples. */
export const exampleStopped: z.input<typeof stopped> = {
  stopped: true,
  run: { ...exampleRun, state: 'cancelled', stopReason: 'cancelled', output: null },
}
