import { AsyncLocalStorage } from 'node:async_hooks'
import { reasonOf } from '#lib/core/errors'
import { observation, together, type Labels, type Sample } from '#lib/core/metrics'
import type { Clock, Ids, Log, Metrics } from '#lib/core/ports'

/** A flush whose reply was lost is told again under its id for so long; the database keeps it apart for a minute. */
const repeatForMs = 40_000

interface Needs {
  /** Writes what was counted, once for each id. */
  send: (id: string, counts: readonly Sample[]) => Promise<void>
  /** Between two flushes, in milliseconds: what is lost at most when this process is killed. */
  everyMs: number
  clock: Clock
  ids: Ids
  log: Log
}

/**
 * What this process counts by itself, because no transaction of the database sees it: requests, errors, calls of the database. Told
 * beside the work, several seconds of it at a time. Nothing ever throws out of it.
 */
export function createMetrics({ send, everyMs, clock, ids, log }: Needs): Metrics {
  let counted = new Map<string, Sample>()
  let unsent: { id: string; at: number; counts: Sample[] } | null = null
  let lastFlush = clock.monotonic()
  let timer: NodeJS.Timeout | undefined
  let flushing: Promise<void> | null = null
  // Not under the request whose count happened to start the timer.
  const outside = AsyncLocalStorage.snapshot()

  function add(sample: Sample): void {
    const [name, labels, part, value] = sample
    const key = `${name} ${part} ${JSON.stringify(labels)}`
    const known = counted.get(key)
    counted.set(key, [name, labels, part, known === undefined ? value : together(part, known[3], value)])
    // Where requests come often they flush; where none comes any more this does. On serverless it waits for the next request.
    timer ??= outside(() => setTimeout(() => void flush(), everyMs).unref())
  }

  async function flushNow(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    lastFlush = clock.monotonic()
    if (unsent !== null && clock.monotonic() - unsent.at > repeatForMs) {
      log.warn('counts of this process are given up: the database did not take them', { series: unsent.counts.length })
      unsent = null
    }
    // What is told again, and then what came meanwhile: at the end of a process there is no other time.
    try {
      for (let round = 0; round < 2; round++) {
        if (unsent === null && counted.size > 0) {
          unsent = { id: ids.make('flush'), at: clock.monotonic(), counts: [...counted.values()] }
          counted = new Map()
        }
        if (unsent === null) return
        await send(unsent.id, unsent.counts)
        unsent = null
      }
    } catch (error) {
      log.warn('counts of this process were not written; they are tried again', { error: reasonOf(error) })
      timer ??= outside(() => setTimeout(() => void flush(), everyMs).unref())
    }
  }

  function flush(): Promise<void> {
    flushing ??= flushNow().finally(() => {
      flushing = null
    })
    return flushing
  }

  return {
    count: (name, labels = {}, by = 1) => add([name, labels, '', by]),
    observe(name, labels: Labels, seconds) {
      for (const sample of observation(name, labels, seconds)) add(sample)
    },
    due: () => counted.size > 0 && clock.monotonic() - lastFlush >= everyMs,
    flush,
  }
}
