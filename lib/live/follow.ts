import { z } from 'zod'
import type { AgentUid } from '#lib/core/ids'
import type { Clock, LiveFrame } from '#lib/core/ports'
import type { Connection } from '#lib/live/connection'
import type { Signals } from '#lib/live/signals'
import { batch, entries, entryTime, read } from '#lib/live/wire'

const pollEveryMs = 200
const slowestPollMs = 1_000
/** Polls without news before the pace slows: about 2 s, longer than most pauses within an answer. */
const patience = 10
const renewEveryMs = 10_000
const mostPerRead = 100
const mostStreams = 200
const mostProcesses = 50

const streams = z.array(z.tuple([z.string(), entries])).nullable()

/** Fetches the frames that other processes write. */
export interface Follow {
  /** Follows the agent until the returned function is called. */
  follow(agentUid: AgentUid): () => void
  close(): Promise<void>
}

interface Needs {
  connection: Connection
  clock: Clock
  processId: string
  signals: Pick<Signals, 'send'>
  keyOf: (agentUid: AgentUid) => string
  onFrame: (frame: LiveFrame) => void
}

interface Followed {
  watchers: number
  /** A watcher is new, or frames may have been missed: the executor is asked for its text from offset 0. */
  join: boolean
  renewAt: number
  cursor: string | null
  /** The last batch read of each process. */
  lastNumber: Map<string, number>
}

/** Makes the reader of a process: one loop for all agents, one command per poll (no blocking commands over REST). */
export function createFollow({ connection, clock, processId, signals, keyOf, onFrame }: Needs): Follow {
  const stop = new AbortController()
  const byAgent = new Map<AgentUid, Followed>()
  let sleeping = new AbortController()
  let polling: Promise<void> | null = null

  /** Says who is watched from here; a first announcement also tells where in time reading begins, by the clock of Redis. */
  async function announce() {
    const now = clock.monotonic()
    const due = [...byAgent].filter(([, agent]) => agent.join || agent.renewAt <= now).slice(0, mostStreams)
    if (due.length === 0) return
    const joins = due.map(([, agent]) => agent.join)
    for (const [, agent] of due) agent.join = false
    const ids = await signals.send(due.map(([agentUid], index) => ({ kind: 'watch' as const, agentUid, join: joins[index] ?? false })))
    due.forEach(([, agent], index) => {
      const id = ids?.[index]
      if (id === undefined) {
        agent.join = true
        return
      }
      agent.renewAt = now + renewEveryMs
      agent.cursor ??= `${entryTime(id) - 1}-0`
    })
  }

  function deliver(agentUid: AgentUid, agent: Followed, text: string | undefined) {
    const received = read(batch, text)
    if (received === null || received.from === processId) return
    if (received.number <= (agent.lastNumber.get(received.from) ?? 0)) return
    agent.lastNumber.delete(received.from)
    for (const oldest of agent.lastNumber.keys()) {
      if (agent.lastNumber.size < mostProcesses) break
      agent.lastNumber.delete(oldest)
    }
    agent.lastNumber.set(received.from, received.number)
    for (const frame of received.frames) if (frame.agentUid === agentUid) onFrame(frame)
  }

  /** Reads what is new; answers how many entries there were, or null when Redis failed. */
  async function poll(): Promise<number | null> {
    const ready = [...byAgent].flatMap(([agentUid, agent]) =>
      agent.cursor === null ? [] : [{ agentUid, agent, key: keyOf(agentUid), cursor: agent.cursor }],
    )
    let found = 0
    for (let at = 0; at < ready.length; at += mostStreams) {
      const some = ready.slice(at, at + mostStreams)
      const byKey = new Map(some.map((one) => [one.key, one]))
      const keys = some.map((one) => one.key)
      const cursors = some.map((one) => one.cursor)
      const answer = await connection.run(async (redis) => streams.parse(await redis.xread(keys, cursors, { count: mostPerRead })))
      if (!answer.ok) return null
      for (const [key, list] of answer.value ?? []) {
        const one = byKey.get(key)
        for (const [id, fields] of one === undefined ? [] : list) {
          found += 1
          if (one === undefined) continue
          one.agent.cursor = id
          deliver(one.agentUid, one.agent, fields[1])
        }
      }
    }
    return found
  }

  async function pollAll() {
    let quiet = 0
    while (byAgent.size > 0 && !stop.signal.aborted) {
      sleeping = new AbortController()
      await announce()
      const found = await poll()
      quiet = found !== null && found > 0 ? 0 : quiet + 1
      // After a failure frames may be gone from the stream, so the text is asked for again.
      if (found === null) for (const agent of byAgent.values()) agent.join = true
      const slower = found === null ? slowestPollMs : pollEveryMs * 2 ** Math.max(0, quiet - patience)
      await clock.sleep(Math.min(slower, slowestPollMs), sleeping.signal)
    }
    polling = null
  }

  return {
    follow(agentUid) {
      const agent = byAgent.get(agentUid) ?? { watchers: 0, join: true, renewAt: 0, cursor: null, lastNumber: new Map() }
      agent.watchers += 1
      agent.join = true
      byAgent.set(agentUid, agent)
      if (polling === null) polling = pollAll()
      else sleeping.abort()
      let following = true
      return () => {
        if (!following) return
        following = false
        agent.watchers -= 1
        if (agent.watchers === 0) byAgent.delete(agentUid)
      }
    },
    async close() {
      stop.abort()
      sleeping.abort()
      await polling
    },
  }
}
