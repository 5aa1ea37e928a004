import { AsyncLocalStorage } from 'node:async_hooks'
import type { Clock, Log } from '#lib/core/ports'
import { type Connection, describe, type RedisSettings } from '#lib/live/connection'
import { readChannel } from '#lib/live/subscription'
import { entries, nextEntry, read, type Signal, signal } from '#lib/live/wire'

/** How long a watcher counts as present after its last signal; it renews every 10 s. */
export const watcherLifeMs = 30_000
const rereadEveryMs = 5_000
const lingerMs = 30_000
const shortestPauseMs = 100
const longestPauseMs = 5_000
const streamLength = 5_000
const pageSize = 1_000
const remembered = 10_000

type Unsent = Signal extends infer Kind ? (Kind extends Signal ? Omit<Kind, 'id' | 'from'> : never) : never

/** The signal stream of the environment: one stream, one subscription per process. */
export interface Signals {
  /** Writes signals (entry first, publish second); answers the ids of the entries, null when Redis did not take them. Never throws. */
  send(signals: readonly Unsent[]): Promise<string[] | null>
  /** Keeps the subscription open until the returned function is called; it stays 30 s longer for whoever comes next. */
  hold(): () => void
  /** Ends the subscription. */
  close(): Promise<void>
}

interface Needs {
  settings: RedisSettings
  connection: Connection
  clock: Clock
  log: Log
  processId: string
  /** Called once for each signal of another process. */
  onSignal: (received: Signal) => void
}

/** Makes the signals of a process; nothing is opened before the first `hold`. */
export function createSignals({ settings, connection, clock, log, processId, onSignal }: Needs): Signals {
  const key = `${settings.prefix}signals`
  const stop = new AbortController()
  const holders = new Set<{ since: number }>()
  const seen = new Set<string>()
  let counter = 0
  let releasedAt = -Infinity
  let cursor: string | null = null
  let listening: Promise<void> | null = null
  // Its log lines are not those of the request that happened to open it.
  const outside = AsyncLocalStorage.snapshot()

  const wanted = () => !stop.signal.aborted && (holders.size > 0 || clock.monotonic() - releasedAt < lingerMs)

  /** True when the signal is new; signals of this process count as seen but are not told. */
  function receive(text: string | undefined): boolean {
    const received = read(signal, text)
    if (received === null || seen.has(received.id)) return false
    seen.add(received.id)
    for (const oldest of seen) {
      if (seen.size <= remembered) break
      seen.delete(oldest)
    }
    if (received.from !== processId) onSignal(received)
    return true
  }

  /** Where reading begins: before the oldest holder came and any living watcher signed. Ages, because clocks of two machines are not compared. */
  async function start(): Promise<string | null> {
    const time = await connection.run((redis) => redis.time())
    if (!time.ok) return null
    const oldest = Math.max(watcherLifeMs, ...[...holders].map((holder) => clock.monotonic() - holder.since))
    return `${Math.max(0, Math.floor(Number(time.value[0]) * 1000 - oldest - 2_000))}-0`
  }

  /** Reads the stream from the cursor; answers how many signals the subscription had not brought. */
  async function reread(): Promise<number> {
    cursor ??= await start()
    let missed = 0
    for (let page = 0; cursor !== null && page * pageSize < streamLength; page += 1) {
      const from: string = cursor
      const answer = await connection.run(async (redis) => entries.parse(await redis.xrange(key, from, '+', pageSize)))
      if (!answer.ok) break
      for (const [id, fields] of answer.value) {
        if (receive(fields[1])) missed += 1
        cursor = nextEntry(id)
      }
      if (answer.value.length < pageSize) break
    }
    return missed
  }

  /** The net below the subscription: a connection that is dead without a word shows by what it did not bring. */
  async function beat(ended: AbortController, signals: AbortSignal) {
    await reread()
    while (!signals.aborted) {
      await clock.sleep(rereadEveryMs, signals)
      if (signals.aborted) return
      if (!wanted() || (await reread()) > 0) ended.abort()
    }
  }

  /** One connection from its opening to its end; true when it stood. */
  async function listenOnce(): Promise<boolean> {
    const ended = new AbortController()
    const either = AbortSignal.any([stop.signal, ended.signal])
    let beating: Promise<void> | null = null
    try {
      for await (const message of readChannel(settings, key, either)) {
        if (message === null) beating ??= beat(ended, either)
        else receive(message)
      }
    } catch (error) {
      if (!either.aborted) log.warn('The Redis subscription broke; it is opened again', { error: describe(error) })
    } finally {
      ended.abort()
      await beating
    }
    return beating !== null
  }

  async function listen() {
    let pauseMs = shortestPauseMs
    while (wanted()) {
      pauseMs = (await listenOnce()) ? shortestPauseMs : Math.min(pauseMs * 2, longestPauseMs)
      if (wanted()) await clock.sleep(pauseMs * (1 + clock.random() / 2), stop.signal)
    }
    // In the same turn as the last look at `wanted`: whoever holds next starts a new loop.
    listening = null
    cursor = null
  }

  return {
    async send(unsent) {
      const whole = unsent.map((one) => JSON.stringify({ ...one, id: `${processId}:${(counter += 1)}`, from: processId }))
      const answer = await connection.run(async (redis) => {
        const pipeline = redis.pipeline()
        for (const text of whole)
          pipeline.xadd(key, '*', { d: text }, { trim: { type: 'MAXLEN', comparison: '~', threshold: streamLength } })
        for (const text of whole) pipeline.publish(key, text)
        return (await pipeline.exec()).slice(0, whole.length).map(String)
      })
      return answer.ok ? answer.value : null
    },
    hold() {
      const holder = { since: clock.monotonic() }
      holders.add(holder)
      listening ??= outside(listen)
      return () => {
        if (holders.delete(holder)) releasedAt = clock.monotonic()
      }
    },
    async close() {
      stop.abort()
      await listening
    },
  }
}
