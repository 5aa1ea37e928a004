import type { RunError } from '#local/executor/protocol'
import type { Run } from '#local/executor/run'

const KEPT_RUNS = 1000
const KEPT_ERRORS = 50

/** How a run ended. */
export interface RunRecord {
  readonly runId: string
  readonly functionId: string
  readonly event: string
  readonly eventId: string
  readonly outcome: 'completed' | 'failed'
  readonly requests: number
  readonly steps: number
  readonly endedAt: string
  readonly error?: string
}

/** What happened lately, bounded. */
export interface History {
  /** Notes a run's end. */
  ended(run: Run, outcome: RunRecord['outcome'], error: RunError | null): void
  /** Notes an error that a retry may cure. */
  failed(run: Run, error: RunError, attempt: number): void
  /** The last 1,000 runs, counts by function and outcome since the start, and the last 50 errors. */
  report(): { runs: readonly RunRecord[]; outcomes: Record<string, Record<string, number>>; errors: readonly object[] }
}

/** Makes an empty history. */
export function createHistory(): History {
  const runs: RunRecord[] = []
  const errors: object[] = []
  const outcomes: Record<string, Record<string, number>> = {}
  return {
    ended(run, outcome, error) {
      const counts = (outcomes[run.definition.id] ??= { completed: 0, failed: 0 })
      counts[outcome] = (counts[outcome] ?? 0) + 1
      runs.push({
        runId: run.id,
        functionId: run.definition.id,
        event: run.event.name,
        eventId: run.event.id,
        outcome,
        requests: run.requests,
        steps: run.steps.size,
        endedAt: new Date().toISOString(),
        ...(error ? { error: `${error.name}: ${error.message}`.slice(0, 1000) } : {}),
      })
      if (runs.length > KEPT_RUNS) runs.shift()
    },
    failed(run, error, attempt) {
      const at = new Date().toISOString()
      errors.push({ at, runId: run.id, functionId: run.definition.id, attempt, error: `${error.name}: ${error.message}`.slice(0, 1000) })
      if (errors.length > KEPT_ERRORS) errors.shift()
    },
    report: () => ({ runs, outcomes, errors }),
  }
}
