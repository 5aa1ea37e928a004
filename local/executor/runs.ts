import { interpret } from '#local/executor/answers'
import type { CallResult } from '#local/executor/call'
import type { ExecutorClock } from '#local/executor/clock'
import { backoffMs, sleepMs } from '#local/executor/durations'
import type { History } from '#local/executor/history'
import { runErrorSchema, USE_THE_DEV_SERVER, type FunctionEvent, type Op, type RunError } from '#local/executor/protocol'
import type { FunctionDefinition } from '#local/executor/register'
import { createJob, createRun, memoise, RUN_LIMITS, type Job, type Run } from '#local/executor/run'
import type { Timers } from '#local/executor/timers'

/** What the runs need. */
export interface RunsOptions {
  readonly clock: ExecutorClock
  readonly timers: Timers
  readonly history: History
  /** Hands a due job to the queue. */
  readonly push: (job: Job) => void
  /** Runs when a run has failed for good. */
  readonly onFailed: (run: Run, error: RunError) => void
  /** The largest number of runs that may live. */
  readonly bound: number
}

/** All runs that have not ended. */
export interface Runs {
  /** Starts a run after a delay (executor's clock); null when the bound is reached. */
  start(definition: FunctionDefinition, event: FunctionEvent, delayMs: number): Run | null
  /** Takes what came of a job. */
  settle(job: Job, result: CallResult): void
  /** Keeps steps that a request under way has finished; false when that request is not the run's own any more. */
  checkpoint(runId: string, queueItemId: string, ops: readonly Op[]): boolean
  /** Fails the runs of functions that are registered no more. */
  dropUnregistered(functions: ReadonlyMap<string, FunctionDefinition>): void
  /** A run that has not ended, by id. */
  find(runId: string): Run | undefined
  /** How many have not ended, and how many requests wait for a due time. */
  counts(): { alive: number; scheduled: number }
}

/** Makes the table of runs. */
export function createRuns({ clock, timers, history, push, onFailed, bound }: RunsOptions): Runs {
  const alive = new Map<string, Run>()
  let scheduled = 0

  function enqueue(job: Job, delayMs: number): boolean {
    if (delayMs <= 0) {
      push(job)
      return true
    }
    const accepted = later(delayMs, () => {
      if (!job.run.ended) push(job)
    })
    return accepted
  }

  function later(delayMs: number, action: () => void): boolean {
    const accepted = timers.at(clock.now() + delayMs, () => {
      scheduled -= 1
      action()
    })
    if (accepted) scheduled += 1
    return accepted
  }

  function end(run: Run, outcome: 'completed' | 'failed', error: RunError | null): void {
    if (run.ended) return
    run.ended = true
    alive.delete(run.id)
    history.ended(run, outcome, error)
    if (error) onFailed(run, error)
  }

  function fail(run: Run, message: string): void {
    end(run, 'failed', { name: 'ExecutorError', message })
  }

  function retry(job: Job, error: RunError, delayMs: number | null): void {
    const { run } = job
    const attempt = job.attempt + 1
    history.failed(run, error, attempt)
    if (attempt >= run.definition.maxAttempts) end(run, 'failed', error)
    else if (!enqueue(createJob(run, job.stepId, attempt), delayMs ?? backoffMs(attempt))) fail(run, 'too many delayed requests')
  }

  function keep(run: Run, op: Op, failed: boolean): void {
    const state = failed
      ? ({ type: 'error', error: runErrorSchema.parse(op.error) } as const)
      : ({ type: 'data', data: op.data ?? null } as const)
    const broken = memoise(run, op.id, state)
    if (broken !== null) fail(run, broken)
  }

  function proceed(run: Run): void {
    if (run.ended || run.pending.size > 0) return
    if (run.requests >= RUN_LIMITS.requests) fail(run, `more than ${RUN_LIMITS.requests} requests`)
    else push(createJob(run, 'step', 0))
  }

  function plan(run: Run, op: Op): void {
    if (run.steps.has(op.id) || run.pending.has(op.id)) return
    run.pending.add(op.id)
    push(createJob(run, op.id, 0))
  }

  function sleep(run: Run, op: Op): void {
    if (run.steps.has(op.id) || run.pending.has(op.id)) return
    const delayMs = sleepMs(op.name ?? '', Date.now())
    if (delayMs === null) return fail(run, `a sleep of "${op.name ?? ''}" cannot be read`)
    run.pending.add(op.id)
    const wake = (): void => {
      if (run.ended) return
      keep(run, { id: op.id, op: op.op, data: null }, false)
      proceed(run)
    }
    if (!later(delayMs, wake)) fail(run, 'too many sleeping runs')
  }

  /** Applies one opcode; returns true when it asks for the same job again. */
  function apply(job: Job, op: Op, retryAfterMs: number | null): boolean {
    const { run } = job
    const name = op.displayName ?? op.id
    if (op.opts?.parallelMode === 'race') {
      fail(run, `step "${name}": \`group.parallel\` in race mode ${USE_THE_DEV_SERVER}`)
      return false
    }
    switch (op.op) {
      case 'Step':
      case 'StepRun':
        keep(run, op, false)
        return false
      case 'StepFailed':
        history.failed(run, runErrorSchema.parse(op.error), job.attempt + 1)
        keep(run, op, true)
        return false
      case 'StepError':
        retry(job, runErrorSchema.parse(op.error), retryAfterMs)
        return true
      case 'StepPlanned':
        plan(run, op)
        return false
      case 'Sleep':
        sleep(run, op)
        return false
      case 'RunComplete':
        end(run, 'completed', null)
        return false
      case 'DiscoveryRequest':
        return false
      default:
        fail(run, `step "${name}": the opcode ${op.op} ${USE_THE_DEV_SERVER}`)
        return false
    }
  }

  function applyAll(job: Job, ops: readonly Op[], retryAfterMs: number | null): void {
    let again = false
    for (const op of ops) if (!job.run.ended && apply(job, op, retryAfterMs)) again = true
    if (!again) proceed(job.run)
  }

  return {
    start(definition, event, delayMs) {
      if (alive.size >= bound) return null
      const run = createRun(definition, event)
      if (!enqueue(createJob(run, 'step', 0), delayMs)) return null
      alive.set(run.id, run)
      return run
    },
    settle(job, result) {
      if (job.run.ended) return
      const verdict = interpret(result, Date.now())
      if (verdict.kind === 'completed') end(job.run, 'completed', null)
      else if (verdict.kind === 'ops') applyAll(job, verdict.ops, verdict.retryAfterMs)
      else if (verdict.kind === 'broken') retry(job, verdict.error, null)
      else if (verdict.kind === 'failed' && verdict.retriable) retry(job, verdict.error, verdict.retryAfterMs)
      else if (verdict.kind === 'failed') end(job.run, 'failed', verdict.error)
    },
    checkpoint(runId, queueItemId, ops) {
      const run = alive.get(runId)
      if (!run?.active.has(queueItemId)) return false
      for (const op of ops) if (!run.ended && (op.op === 'StepRun' || op.op === 'StepFailed')) keep(run, op, op.op === 'StepFailed')
      return !run.ended
    },
    dropUnregistered(functions) {
      for (const run of alive.values())
        if (!functions.has(run.definition.id)) fail(run, `function "${run.definition.id}" is registered no more`)
    },
    find: (runId) => alive.get(runId),
    counts: () => ({ alive: alive.size, scheduled }),
  }
}
