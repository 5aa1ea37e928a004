import type { ExecutorClock } from '#local/executor/clock'
import { newId } from '#local/executor/ids'
import type { FunctionEvent } from '#local/executor/protocol'
import type { FunctionDefinition, Trigger } from '#local/executor/register'
import type { Run } from '#local/executor/run'
import type { Timers } from '#local/executor/timers'

/** What the crons need. */
export interface CronsOptions {
  readonly clock: ExecutorClock
  readonly timers: Timers
  readonly functions: () => ReadonlyMap<string, FunctionDefinition>
  readonly start: (definition: FunctionDefinition, event: FunctionEvent, delayMs: number) => Run | null
  readonly log: (line: string) => void
}

type CronTrigger = Extract<Trigger, { kind: 'cron' }>

interface Entry {
  readonly functionId: string
  readonly trigger: CronTrigger
  dueMs: number
  lastRun: Run | null
}

/** Keeps a next tick for each registered cron; `synchronise` follows a changed registration or clock. */
export function createCrons({ clock, timers, functions, start, log }: CronsOptions): { synchronise: () => void } {
  const entries = new Map<string, Entry>()

  function arm(key: string, entry: Entry): void {
    const next = entry.trigger.next(new Date(clock.now()))
    entry.dueMs = next?.getTime() ?? Infinity
    const { dueMs } = entry
    if (next && !timers.at(dueMs, () => tick(key, entry, dueMs))) log(`no room for the timer of ${key}`)
  }

  function tick(key: string, entry: Entry, dueMs: number): void {
    // A timer of an entry that was replaced, or of a due time that moved, has nothing to do any more.
    if (entries.get(key) !== entry || entry.dueMs !== dueMs) return
    const definition = functions().get(entry.functionId)
    const waiting = entry.lastRun !== null && !entry.lastRun.ended && entry.lastRun.requests === 0
    // Ticks that were missed while the clock jumped or no server was up are skipped: at most one waits.
    if (definition && !waiting) {
      const data = { cron: entry.trigger.expression }
      const event = { id: newId(), name: 'inngest/scheduled.timer', data, ts: Date.now() }
      entry.lastRun = start(definition, event, 0)
      if (!entry.lastRun) log(`no room for a tick of ${key}`)
    }
    arm(key, entry)
  }

  function synchronise(): void {
    const wanted = new Set<string>()
    for (const [functionId, { triggers }] of functions()) {
      for (const trigger of triggers) {
        if (trigger.kind !== 'cron') continue
        const key = `${functionId} ${trigger.expression}`
        wanted.add(key)
        if (entries.has(key)) continue
        const entry: Entry = { functionId, trigger, dueMs: Infinity, lastRun: null }
        entries.set(key, entry)
        arm(key, entry)
      }
    }
    for (const key of entries.keys()) if (!wanted.has(key)) entries.delete(key)
  }

  clock.onJump(() => {
    // After a jump backwards the tick that was due next lies too far ahead.
    for (const [key, entry] of entries) {
      const next = entry.trigger.next(new Date(clock.now()))
      if (next && next.getTime() < entry.dueMs) arm(key, entry)
    }
  })
  return { synchronise }
}
