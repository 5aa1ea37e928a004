import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from '#scripts/chaos/violations'

/** Asks for many runs at once, so that waiting costs the database little. */
export interface RunWatch {
  /** True when the run has ended; false when it has not after `forMs`. */
  ended(runId: string, forMs: number): Promise<boolean>
  stop(): void
}

export function watchRuns(sql: Sql, everyMs = 150): RunWatch {
  const waiting = new Map<string, () => void>()
  let watching = true
  void (async () => {
    while (watching) {
      await sleep(everyMs)
      if (waiting.size === 0) continue
      const text = `select run_id from baton.runs where run_id = any($1) and ended_at is not null`
      const rows = await sql(text, [[...waiting.keys()]]).catch(() => []) // the database is away
      for (const { run_id: id } of rows) waiting.get(String(id))?.()
    }
  })()
  return {
    async ended(runId, forMs) {
      const over = Promise.withResolvers<boolean>()
      const timer = setTimeout(() => over.resolve(false), forMs)
      waiting.set(runId, () => over.resolve(true))
      try {
        return await over.promise
      } finally {
        clearTimeout(timer)
        waiting.delete(runId)
      }
    },
    stop() {
      watching = false
    },
  }
}
