import type { Config } from '#lib/core/config'
import type { AgentUid, RunId } from '#lib/core/ids'
import type { Clock, Live, LiveFrame, Log } from '#lib/core/ports'
import { createConnection, describe } from '#lib/live/connection'
import { createContinuity } from '#lib/live/continuity'
import { createFollow } from '#lib/live/follow'
import { createForward } from '#lib/live/forward'
import { createHub } from '#lib/live/hub'
import { createSignals, watcherLifeMs } from '#lib/live/signals'
import { createWatchers } from '#lib/live/watchers'
import type { Signal } from '#lib/live/wire'

/** On the wire: the halt of a switch that may concern any agent. */
const everybody = '*'
/** So long a halt is told to those who begin to listen after it. */
const recentMs = 5_000

interface Needs {
  /** Without it everything stays within the process. */
  redis: Config['redis']
  /** How long one request to Redis may take, in milliseconds. */
  commandTimeoutMs: number
  clock: Clock
  log: Log
  /** Different in each process and each start: a process skips what comes from itself. */
  processId: string
}

/** The port, and for health whether Redis answers. */
export type LiveWithStatus = Live & {
  status(): { redis: 'off' | 'ok' | 'down' }
  /** Asks Redis now, unless it is being left alone for a while. */
  ping(): Promise<{ connected: boolean; latencyMs: number | null }>
}

/**
 * Makes the Live port over Upstash Redis. Nothing ever throws out of it and without Redis it serves its own process.
 * `onWatcher` also tells of watchers in this process, in a later turn: they, too, lack the text so far. Watchers see
 * each part's text from its beginning, once and without holes, and nothing of an older epoch.
 */
export function createLive({ redis, commandTimeoutMs, clock, log, processId }: Needs): LiveWithStatus {
  const listenerFailed = (error: unknown) => log.error('A listener of live frames threw', { error: describe(error) })
  const frames = createHub<LiveFrame>(listenerFailed)
  const joins = createHub<void>(listenerFailed)
  const halts = createHub<RunId | null>(listenerFailed)
  const elsewhere = redis === null ? null : connect(redis)

  function connect(settings: NonNullable<Config['redis']>) {
    const connection = createConnection(settings, clock, log, commandTimeoutMs)
    const watchers = createWatchers(clock, watcherLifeMs)
    const keyOf = (agentUid: string) => `${settings.prefix}live:${agentUid}`
    function onSignal(received: Signal) {
      if (received.kind === 'halt') return tellHalt(received.agentUid, received.runId)
      const isNew = watchers.note(received.agentUid)
      if (isNew || received.join) joins.send(received.agentUid, undefined)
    }
    const signals = createSignals({ settings, connection, clock, log, processId, onSignal })
    const forward = createForward({ connection, clock, processId, keyOf, onGap: (agentUid) => joins.send(agentUid, undefined) })
    const follow = createFollow({ connection, clock, processId, signals, keyOf, onFrame: (frame) => frames.send(frame.agentUid, frame) })
    return { connection, keyOf, watchers, signals, forward, follow }
  }

  const recent = new Map<AgentUid, { runId: RunId | null; at: number }>()
  function tellHalt(agentUid: AgentUid, runId: RunId | null) {
    const at = clock.monotonic()
    recent.delete(agentUid)
    recent.set(agentUid, { runId, at })
    for (const [oldest, halt] of recent) {
      if (at - halt.at < recentMs) break
      recent.delete(oldest)
    }
    if (agentUid === everybody) halts.sendAll(null)
    else halts.send(agentUid, runId)
  }

  /** A lease that was given just before the switch was set begins to listen just after the signal has come. */
  function tellRecent(agentUid: AgentUid, onHalt: (runId: RunId | null) => void) {
    for (const halt of [recent.get(agentUid), recent.get(everybody)]) {
      if (halt === undefined || clock.monotonic() - halt.at >= recentMs) continue
      // In a later turn, so that the caller has its way to end.
      queueMicrotask(() => {
        try {
          onHalt(halt.runId)
        } catch (error) {
          listenerFailed(error)
        }
      })
    }
  }

  async function halt(agentUid: AgentUid, runId: RunId | null): Promise<void> {
    tellHalt(agentUid, runId)
    if (elsewhere === null) return
    const sent = new AbortController()
    const sending = elsewhere.signals.send([{ kind: 'halt', agentUid, runId }]).finally(() => sent.abort())
    await Promise.race([sending, clock.sleep(commandTimeoutMs, sent.signal)])
  }

  return {
    emit(frame) {
      frames.send(frame.agentUid, frame)
      if (elsewhere?.watchers.has(frame.agentUid)) elsewhere.forward.emit(frame)
    },
    watch(agentUid, onFrame) {
      const remove = frames.add(agentUid, createContinuity(onFrame))
      const unfollow = elsewhere?.follow.follow(agentUid)
      // Later, so that the caller has its unsubscribe function before the first frame comes.
      queueMicrotask(() => joins.send(agentUid, undefined))
      return () => {
        remove()
        unfollow?.()
      }
    },
    onWatcher(agentUid, onJoin) {
      return bothEnd(joins.add(agentUid, onJoin), elsewhere?.signals.hold())
    },
    halt: ({ agentUid, runId }) => halt(agentUid, runId),
    haltAll: () => halt(everybody, null),
    onHalt(agentUid, onHalt) {
      tellRecent(agentUid, onHalt)
      return bothEnd(halts.add(agentUid, onHalt), elsewhere?.signals.hold())
    },
    async forget(agentUids) {
      if (elsewhere === null || agentUids.length === 0) return
      const { connection, keyOf } = elsewhere
      await connection.run((redis) => redis.del(...agentUids.map(keyOf)))
    },
    async close() {
      if (elsewhere === null) return
      await Promise.all([elsewhere.forward.close(), elsewhere.follow.close(), elsewhere.signals.close()])
    },
    async ping() {
      const from = clock.monotonic()
      const outcome = await elsewhere?.connection.run((client) => client.ping())
      return outcome?.ok === true
        ? { connected: true, latencyMs: Math.round(clock.monotonic() - from) }
        : { connected: false, latencyMs: null }
    },
    status: () => ({ redis: elsewhere === null ? 'off' : elsewhere.connection.health() }),
  }
}

function bothEnd(first: () => void, second: (() => void) | undefined): () => void {
  return () => {
    first()
    second?.()
  }
}
