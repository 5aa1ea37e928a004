import type { Mutation } from '#scripts/mutations/mutation'

const wait = 'lib/api/wait.test.ts'
const bounds = 'lib/live/bounds.test.ts'
const messages = 'lib/api/messages.test.ts'
const session = {
  file: 'lib/engine/session.test.ts',
  name: 'a slice that has ended leaves nothing behind in its process: no timer, and nobody who listens for halts',
}
const oneWatcher = { file: wait, name: 'a wait of many looks has one watcher, whose commit ends it at once, and leaves none' }
const deadMan = {
  file: messages,
  name: 'a request that has run for five seconds arms a continuation for when its process is dead: after its hard limit and its lease',
}

const kept = {
  file: bounds,
  name: 'what was written of an agent stays in Redis for a quarter of an hour, and about a thousand writes of it',
}

/** Faults by which something stays behind or grows without a bound: all but one went unnoticed when a machine planted them everywhere. No build is needed. */
export const leftBehindMutations: readonly Mutation[] = [
  {
    name: 'wait-goes-on-without-its-caller',
    breaks: 'A2',
    file: 'lib/api/wait.ts',
    text: `signal.aborted || ending()) return`,
    replacement: `ending()) return`,
    test: { file: wait, name: 'who hangs up is waited for no longer: one more look at the row, and nothing stays behind' },
  },
  {
    name: 'wait-leaves-its-watcher',
    breaks: 'A2',
    file: 'lib/api/wait.ts',
    text: `  } finally {\n    unwatch?.()\n`,
    replacement: `  } finally {\n`,
    test: oneWatcher,
  },
  {
    name: 'each-look-of-a-wait-leaves-a-watcher',
    breaks: 'A2',
    file: 'lib/api/wait.ts',
    text: `unwatch ??= live.watch`,
    replacement: `unwatch = live.watch`,
    test: oneWatcher,
  },
  {
    name: 'dead-man-not-armed',
    breaks: 'I7',
    file: 'lib/api/messages.ts',
    text: `  armDeadMan(services, slice)\n`,
    replacement: ``,
    test: deadMan,
  },
  {
    name: 'dead-man-comes-while-the-lease-is-held',
    breaks: 'I7',
    file: 'lib/api/messages.ts',
    text: ` + opened.lease.leaseMs\n`,
    replacement: `\n`,
    test: deadMan,
  },
  {
    name: 'dead-man-of-a-slice-that-has-ended',
    breaks: 'I7',
    file: 'lib/api/messages.ts',
    text: `  void slice.done.then(() => clearTimeout(timer))\n`,
    replacement: ``,
    test: { file: messages, name: 'a request that has ended before arms nothing, and leaves no timer' },
  },
  {
    name: 'ended-slice-listens-for-halts',
    breaks: 'I10',
    file: 'lib/engine/session.ts',
    text: `      unhalt()\n`,
    replacement: ``,
    test: session,
  },
  {
    name: 'ended-slice-beats-on',
    breaks: 'I2',
    file: 'lib/engine/session.ts',
    text: `      clearInterval(heartbeat)\n`,
    replacement: ``,
    test: session,
  },
  {
    name: 'live-text-stays-in-redis-for-ever',
    breaks: 'A7',
    file: 'lib/live/forward.ts',
    text: `        pipeline.expire(key, keepSeconds)\n`,
    replacement: ``,
    test: kept,
  },
  {
    name: 'live-text-stays-in-redis-for-hours',
    breaks: 'A7',
    file: 'lib/live/forward.ts',
    text: `keepSeconds = 15 * 60\n`,
    replacement: `keepSeconds = 15 * 60 * 60\n`,
    test: kept,
  },
  {
    name: 'live-text-grows-without-end',
    breaks: 'A14',
    file: 'lib/live/forward.ts',
    text: `{ d: JSON.stringify(entry) }, { trim: { type: 'MAXLEN', comparison: '~', threshold: streamLength } })`,
    replacement: `{ d: JSON.stringify(entry) })`,
    test: kept,
  },
  {
    name: 'frames-of-any-number-of-agents-wait',
    breaks: 'A14',
    file: 'lib/live/forward.ts',
    text: `    dropOldest(byAgent, mostAgents - 1)\n`,
    replacement: ``,
    test: { file: bounds, name: 'what waits to be written is of a thousand agents at most: the frames of the oldest go' },
  },
  {
    name: 'signals-grow-without-end',
    breaks: 'I10',
    file: 'lib/live/signals.ts',
    text: `{ d: text }, { trim: { type: 'MAXLEN', comparison: '~', threshold: streamLength } })`,
    replacement: `{ d: text })`,
    test: { file: bounds, name: 'of signals Redis keeps about five thousand' },
  },
  {
    name: 'signals-are-remembered-for-ever',
    breaks: 'I10',
    file: 'lib/live/signals.ts',
    text: `      if (seen.size <= remembered) break\n      seen.delete(oldest)\n`,
    replacement: `      break\n`,
    test: { file: bounds, name: 'a signal that comes twice is told once, for as long as it is among the last ten thousand' },
  },
  {
    name: 'writers-of-an-agent-are-remembered-for-ever',
    breaks: 'A14',
    file: 'lib/live/follow.ts',
    text: `      if (agent.lastNumber.size < mostProcesses) break\n`,
    replacement: `      break\n`,
    test: { file: bounds, name: 'of the writers of an agent the last fifty are remembered' },
  },
  {
    name: 'a-process-serves-any-number-of-streams',
    breaks: 'A64',
    file: 'lib/http/sse.ts',
    text: `streams.size >= maxStreams)`,
    replacement: `streams.size >= maxStreams * 1_000)`,
    test: { file: 'lib/http/sse.test.ts', name: 'a process serves 5,000 streams, whoever they are for; what is closed makes room' },
  },
  {
    name: 'call-keeps-any-number-of-events',
    breaks: 'A21',
    file: 'lib/engine/tool-writes.ts',
    text: `writes.events.length >= mostEvents`,
    replacement: `writes.events.length >= mostEvents * 1_000`,
    test: { file: 'lib/engine/tool-writes.test.ts', name: 'of all its events a call keeps the first hundred' },
  },
  {
    name: 'each-sleep-leaves-a-listener',
    breaks: 'A16',
    file: 'lib/client/src/backoff.ts',
    text: `      signal?.removeEventListener('abort', stop)\n      resolve()`,
    replacement: `      resolve()`,
    test: {
      file: 'lib/client/src/backoff.test.ts',
      name: 'a sleep that is over listens to its signal no longer, so that a long stream gathers none',
    },
  },
  {
    name: 'halts-are-remembered-for-ever',
    breaks: 'I10',
    file: 'lib/live/live.ts',
    text: `      recent.delete(oldest)\n`,
    replacement: ``,
    test: {
      file: 'lib/live/halt-all.test.ts',
      name: 'a halt that is old is kept no longer: whoever begins to listen finds nothing whose age it would have to look at',
    },
  },
]
