import type { CallResult } from '#local/executor/call'
import type { Concurrency } from '#local/executor/concurrency'
import type { AppServer, Registry } from '#local/executor/registry'
import type { Job } from '#local/executor/run'

/** What the queue needs to send a job and to hand back what came of it. */
export interface QueueOptions {
  readonly registry: Registry
  readonly concurrency: Concurrency
  /** Sends the job's request; never rejects. */
  readonly send: (server: AppServer, job: Job) => Promise<CallResult>
  /** Takes the result of a job that was sent. */
  readonly settle: (job: Job, result: CallResult) => void
  readonly log: (line: string) => void
}

/** Jobs that are due, first in first out, until a server and their concurrency slots are free. */
export interface Queue {
  /** Adds a due job. */
  push(job: Job): void
  /** Starts what can start now. */
  pump(): void
  /** How many due jobs wait. */
  size(): number
}

/** Makes an empty queue. */
export function createQueue({ registry, concurrency, send, settle, log }: QueueOptions): Queue {
  let ready: Job[] = []
  let scheduled = false

  async function start(server: AppServer, job: Job): Promise<void> {
    const { run } = job
    run.active.set(job.queueItemId, job)
    run.requests += 1
    let result: CallResult
    try {
      result = await send(server, job)
    } finally {
      run.active.delete(job.queueItemId)
      concurrency.release(run.slots)
    }
    if (result.kind !== 'answer') server.live = false
    // A request that never began is no attempt: the job keeps its place at the head.
    if (result.kind === 'unreached' && !run.ended) {
      run.requests -= 1
      ready.unshift(job)
    } else settle(job, result)
    pumpSoon()
  }

  function tryStart(job: Job): boolean {
    if (!concurrency.take(job.run.slots)) return false
    const server = registry.pick(job.run.definition.id)
    if (!server) {
      concurrency.release(job.run.slots)
      return false
    }
    start(server, job).catch((error: unknown) => log(`job of ${job.run.definition.id}: ${String(error)}`))
    return true
  }

  function pump(): void {
    scheduled = false
    ready = ready.filter((job) => !job.run.ended && !tryStart(job))
  }

  function pumpSoon(): void {
    if (scheduled) return
    scheduled = true
    setImmediate(pump)
  }

  return {
    push(job) {
      ready.push(job)
      pumpSoon()
    },
    pump: pumpSoon,
    size: () => ready.length,
  }
}
