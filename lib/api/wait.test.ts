import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { RunDetails } from '#lib/core/pages'
import type { LiveFrame } from '#lib/core/ports'
import type { Authority } from '#lib/core/store'
import { agentUid } from '#lib/api/reader.fixture'
import { waitForRun } from '#lib/api/wait'
import { systemClock } from '#lib/system/clock'

const authority: Authority = { environment: 'test', credential: { operator: { tenant: 'ten', name: 'local' } }, requestId: null }
const committed: LiveFrame = {
  agentUid,
  runId: 'run_1',
  epoch: 1,
  step: 1,
  attempt: 0,
  afterSeq: 1,
  body: { type: 'committed', seq: 1 },
}

/** A request that waits for a run whose row the test holds in its hand; the row is read so often at most. */
function start({ waitMs = 25_000, mostReads = 100 } = {}) {
  const state = { reads: 0, row: 'running', ending: false, watched: 0, atRead: (): void => undefined }
  const watchers = new Set<(frame: LiveFrame) => void>()
  const caller = new AbortController()
  const services = {
    clock: systemClock(),
    ending: () => state.ending,
    store: {
      getRun() {
        state.reads += 1
        const run = { id: 'run_1', agentUid, state: state.row, wait: null, lease: null }
        state.atRead()
        return state.reads > mostReads
          ? Promise.reject(new Error('it looks and looks'))
          : Promise.resolve({ ok: true, run, switch: null } as unknown as RunDetails)
      },
    },
    live: {
      watch(_agent: string, listener: (frame: LiveFrame) => void) {
        watchers.add(listener)
        state.watched += 1
        return () => void watchers.delete(listener)
      },
    },
  }
  const done = waitForRun(services, authority, 'run_1', waitMs, caller.signal).then(
    (run) => run.state,
    (error: unknown) => String(error),
  )
  return { state, watchers, done, hangUp: () => caller.abort(), commit: () => watchers.forEach((listener) => listener(committed)) }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('who hangs up is waited for no longer: one more look at the row, and nothing stays behind', async () => {
  const waiting = start({ mostReads: 10 })
  await vi.advanceTimersByTimeAsync(0)
  expect(waiting.state.reads).toBe(1)
  waiting.hangUp()
  expect(await waiting.done).toBe('running')
  expect(waiting.state.reads).toBe(2)
  expect(waiting.watchers.size).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('a wait of many looks has one watcher, whose commit ends it at once, and leaves none', async () => {
  const waiting = start()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(waiting.state.reads).toBeGreaterThan(5)
  expect([waiting.watchers.size, waiting.state.watched]).toEqual([1, 1])
  waiting.state.row = 'completed'
  waiting.commit()
  expect(await waiting.done).toBe('completed')
  expect(waiting.watchers.size).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('a commit that is told of while the row is read is looked at at once', async () => {
  const waiting = start()
  await vi.advanceTimersByTimeAsync(5_000)
  const from = Date.now()
  waiting.state.atRead = () => {
    waiting.state.atRead = () => undefined
    waiting.state.row = 'completed'
    waiting.commit()
  }
  await vi.advanceTimersToNextTimerAsync()
  const looked = Date.now()
  let end = 'none'
  void waiting.done.then((state) => (end = state))
  await vi.advanceTimersByTimeAsync(0)
  expect([end, Date.now()]).toEqual(['completed', looked])
  expect(looked).toBeGreaterThan(from)
})

test('a wait that is over, that of a process that ends and one whose read fails leave no watcher either', async () => {
  for (const end of ['time', 'ending', 'failure'] as const) {
    const waiting = start({ waitMs: 5_000, mostReads: end === 'failure' ? 3 : 100 })
    await vi.advanceTimersByTimeAsync(100)
    expect(waiting.watchers.size).toBe(1)
    waiting.state.ending = end === 'ending'
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await waiting.done).toBe(end === 'failure' ? 'Error: it looks and looks' : 'running')
    expect(waiting.watchers.size).toBe(0)
  }
})
