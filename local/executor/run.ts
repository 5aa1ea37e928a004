import type { Slot } from '#local/executor/concurrency'
import { newId } from '#local/executor/ids'
import type { FunctionEvent, StepState } from '#local/executor/protocol'
import type { FunctionDefinition } from '#local/executor/register'

/** A run of one function for one event. It lives in memory only: the sweeper of Baton rebuilds what a restart loses. */
export interface Run {
  readonly id: string
  readonly definition: FunctionDefinition
  readonly event: FunctionEvent
  readonly slots: readonly Slot[]
  /** Results of the steps by hashed id, in the order in which they ended. */
  readonly steps: Map<string, StepState>
  /** Steps and sleeps that were planned and have not ended. */
  readonly pending: Set<string>
  /** Requests under way, by queue item. */
  readonly active: Map<string, Job>
  /** Bytes of all results. */
  bytes: number
  /** Requests made so far. */
  requests: number
  ended: boolean
}

/** One request to make: find out what comes next (`step`), or run a planned step by its hashed id. */
export interface Job {
  readonly run: Run
  readonly stepId: string
  readonly attempt: number
  readonly queueItemId: string
}

/** Inngest's limits (stack facts): a function that breaks them here would break there. */
export const RUN_LIMITS = { stepBytes: 4 * 1024 * 1024, stateBytes: 32 * 1024 * 1024, steps: 1000, requests: 5000 }

/** Makes a run that has not begun. */
export function createRun(definition: FunctionDefinition, event: FunctionEvent): Run {
  const slots = definition.limits.map(({ limit, slot }) => ({ limit, name: slot({ event }) }))
  const collections = { steps: new Map(), pending: new Set<string>(), active: new Map<string, Job>() }
  return { id: newId(), definition, event, slots, ...collections, bytes: 0, requests: 0, ended: false }
}

/** Makes a job with a queue item of its own: a checkpoint that names an older one is stale. */
export function createJob(run: Run, stepId: string, attempt: number): Job {
  return { run, stepId, attempt, queueItemId: newId() }
}

/** Keeps a step's result (the first one wins); returns what limit it breaks, or null. */
export function memoise(run: Run, stepId: string, state: StepState): string | null {
  run.pending.delete(stepId)
  if (run.steps.has(stepId)) return null
  const bytes = Buffer.byteLength(JSON.stringify(state))
  if (bytes > RUN_LIMITS.stepBytes) return `a step's output of ${bytes} bytes is over the limit of ${RUN_LIMITS.stepBytes}`
  if (run.bytes + bytes > RUN_LIMITS.stateBytes) return `the run's state is over the limit of ${RUN_LIMITS.stateBytes} bytes`
  if (run.steps.size >= RUN_LIMITS.steps) return `more than ${RUN_LIMITS.steps} steps`
  run.steps.set(stepId, state)
  run.bytes += bytes
  return null
}
