import type { AgentUid } from '#lib/core/ids'
import type { Clock, LiveFrame } from '#lib/core/ports'
import type { Connection } from '#lib/live/connection'
import type { Batch } from '#lib/live/wire'

/** At most five writes a second, whatever the number of agents (5-data, Redis). */
const writeEveryMs = 200
const gatherMs = 10
const streamLength = 1_000
const keepSeconds = 15 * 60
const longestBuffer = 256 * 1024
const longestWrite = 512 * 1024
const mostFrames = 500
const mostAgents = 1_000
const repairEveryMs = 5_000

/** Brings frames to processes where somebody watches. */
export interface Forward {
  /** Buffers the frame for the next write. Never throws, never waits; drops it when there is no room or no Redis. */
  emit(frame: LiveFrame): void
  /** Writes what is buffered and ends. */
  close(): Promise<void>
}

interface Needs {
  connection: Connection
  clock: Clock
  processId: string
  keyOf: (agentUid: AgentUid) => string
  /** Called when frames of the agent were dropped and writing works again: its text must be emitted from offset 0. */
  onGap: (agentUid: AgentUid) => void
}

interface Outgoing {
  frames: LiveFrame[]
  length: number
  /** Frames were dropped: no delta is kept until the text has been told again, so that no reader meets a hole. */
  gap: boolean
  /** Something was emitted since the gap, so there is still an executor to tell its text again. */
  stirred: boolean
}

/** Makes the writer of a process; it does nothing while nothing is emitted. */
export function createForward({ connection, clock, processId, keyOf, onGap }: Needs): Forward {
  const stop = new AbortController()
  const byAgent = new Map<AgentUid, Outgoing>()
  const repairedAt = new Map<AgentUid, number>()
  let number = 0
  let writtenAt = -Infinity
  let writing: Promise<void> | null = null

  function outgoing(agentUid: AgentUid): Outgoing {
    const known = byAgent.get(agentUid)
    if (known !== undefined) return known
    dropOldest(byAgent, mostAgents - 1)
    const fresh = { frames: [], length: 0, gap: false, stirred: false }
    byAgent.set(agentUid, fresh)
    return fresh
  }

  function lose(agent: Outgoing) {
    agent.frames = []
    agent.length = 0
    agent.gap = true
    agent.stirred = false
  }

  /** Asks for the texts that have gaps, not too often: one that never fits must not go in circles. */
  function repair() {
    const now = clock.monotonic()
    for (const [agentUid, agent] of Array.from(byAgent)) {
      if (!agent.gap || !agent.stirred || now - (repairedAt.get(agentUid) ?? -Infinity) < repairEveryMs) continue
      repairedAt.delete(agentUid)
      dropOldest(repairedAt, mostAgents - 1)
      repairedAt.set(agentUid, now)
      agent.gap = false
      onGap(agentUid)
    }
  }

  function take() {
    const taken: { agentUid: AgentUid; entry: Batch }[] = []
    let length = 0
    for (const [agentUid, agent] of byAgent) {
      if (taken.length > 0 && length + agent.length > longestWrite) break
      if (agent.frames.length > 0) taken.push({ agentUid, entry: { from: processId, number: (number += 1), frames: agent.frames } })
      length += agent.length
      if (agent.gap) agent.frames = []
      else byAgent.delete(agentUid)
    }
    return taken
  }

  async function write() {
    repair()
    const taken = take()
    if (taken.length === 0) return
    const outcome = await connection.run(async (redis) => {
      const pipeline = redis.pipeline()
      for (const { agentUid, entry } of taken) {
        const key = keyOf(agentUid)
        pipeline.xadd(key, '*', { d: JSON.stringify(entry) }, { trim: { type: 'MAXLEN', comparison: '~', threshold: streamLength } })
        pipeline.expire(key, keepSeconds)
      }
      await pipeline.exec()
    })
    if (!outcome.ok) for (const { agentUid } of taken) lose(outgoing(agentUid))
  }

  const pending = () => [...byAgent.values()].some(({ frames, gap, stirred }) => frames.length > 0 || (gap && stirred))

  async function writeAll() {
    while (pending() && !stop.signal.aborted) {
      await clock.sleep(Math.max(gatherMs, writtenAt + writeEveryMs - clock.monotonic()), stop.signal)
      writtenAt = clock.monotonic()
      await write()
    }
    writing = null
  }

  return {
    emit(frame) {
      if (stop.signal.aborted) return
      const agent = outgoing(frame.agentUid)
      if (!connection.available()) return lose(agent)
      const length = textOf(frame).length
      if (frame.body.type === 'delta' && frame.body.offset === 0) {
        // A text told again from its beginning stands for the pieces of it that wait here: many may join at once. What waits before a
        // commit or a reset stays there, so that none of it comes behind them.
        const tail = agent.frames.findLastIndex(({ body }) => body.type !== 'delta') + 1
        agent.frames = agent.frames.filter((waiting, index) => index < tail || !covers(frame, waiting))
        agent.length = agent.frames.reduce((sum, waiting) => sum + textOf(waiting).length, 0)
      }
      if (agent.frames.length > 0 && (agent.length + length > longestBuffer || agent.frames.length >= mostFrames)) lose(agent)
      agent.stirred = true
      if (!agent.gap || frame.body.type !== 'delta') {
        agent.length += length
        if (!mergeIntoLast(agent.frames, frame)) agent.frames.push(frame)
      }
      writing ??= writeAll()
    },
    async close() {
      stop.abort()
      await writing
      // What is left when the loop saw the stop first: one attempt, 300 ms at most.
      await write()
    },
  }
}

function dropOldest(map: Map<AgentUid, unknown>, limit: number) {
  for (const oldest of map.keys()) {
    if (map.size <= limit) return
    map.delete(oldest)
  }
}

const textOf = (frame: LiveFrame) => (frame.body.type === 'delta' ? frame.body.text : '')

/** True for two deltas of the same part of the same attempt. */
function samePart(one: LiveFrame, other: LiveFrame): boolean {
  return (
    one.body.type === 'delta' &&
    other.body.type === 'delta' &&
    one.runId === other.runId &&
    one.epoch === other.epoch &&
    one.step === other.step &&
    one.attempt === other.attempt &&
    one.body.kind === other.body.kind &&
    one.body.part === other.body.part
  )
}

function covers(whole: LiveFrame, piece: LiveFrame): boolean {
  if (whole.body.type !== 'delta' || piece.body.type !== 'delta' || !samePart(whole, piece)) return false
  return whole.body.offset <= piece.body.offset && piece.body.offset + piece.body.text.length <= whole.body.offset + whole.body.text.length
}

/** Puts a delta behind the one before it when they are neighbours in the same part of the same attempt. */
export function mergeIntoLast(frames: LiveFrame[], next: LiveFrame): boolean {
  const last = frames.at(-1)
  if (last?.body.type !== 'delta' || next.body.type !== 'delta' || !samePart(last, next)) return false
  if (last.afterSeq !== next.afterSeq || last.body.offset + last.body.text.length !== next.body.offset) return false
  frames[frames.length - 1] = { ...last, body: { ...last.body, text: last.body.text + next.body.text } }
  return true
}
