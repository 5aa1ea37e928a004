import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { Clock, Log } from '#lib/core/ports'
import { commandTimeoutMs, createConnection, type Connection } from '#lib/live/connection'
import { createFollow } from '#lib/live/follow'
import { createForward } from '#lib/live/forward'
import { createSignals } from '#lib/live/signals'
import { agentUid, delta } from './live.fixtures.ts'

/* How often a process asks Redis, which is paid by the request, and how long it waits for it. */

const quiet = () => undefined
const log: Log = { info: quiet, warn: quiet, error: quiet }
const settings = { url: 'http://127.0.0.1:1', token: 'token', prefix: 'baton:' }

afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

/** A clock that goes on by what is slept; with the last of so many sleeps it stands still until it is told. */
function clockOf(most: number) {
  let now = 0
  const slept: number[] = []
  const over = Promise.withResolvers<number[]>()
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    random: () => 0,
    async sleep(ms, signal) {
      slept.push(ms)
      now += ms
      if (slept.length < most || signal?.aborted === true) return
      over.resolve(slept)
      await new Promise<void>((done) => signal?.addEventListener('abort', () => done()))
    },
  }
  return { clock, slept, over: over.promise }
}

/** A connection to something that answers what the test says. */
function answering(answer: () => unknown): Connection {
  const run = () => Promise.resolve({ ok: true, value: answer() })
  return { run: run as unknown as Connection['run'], available: () => true, health: () => 'ok' }
}

test('who follows an agent in which nothing happens asks ever more slowly, up to once a second; with news it is quick again', async () => {
  const { clock, over } = clockOf(17)
  let polls = 0
  // Of another build: it counts as news, and nothing of it is shown.
  const news = [[agentUid, [['5-0', ['d', 'x']]]]]
  const connection = answering(() => ((polls += 1) === 15 ? news : null))
  const signals = { send: () => Promise.resolve(['1-0']) }
  const reader = createFollow({ connection, clock, processId: 'here', signals, keyOf: (uid) => uid, onFrame: quiet })
  onTestFinished(() => reader.close())
  reader.follow(agentUid)
  const quick = Array.from({ length: 10 }, () => 200)
  expect(await over).toEqual([...quick, 400, 800, 1_000, 1_000, 200, 200, 200])
})

test('what is emitted without a pause is written five times a second', async () => {
  const { clock, over } = clockOf(5)
  const connection = answering(() => emit())
  const writer = createForward({ connection, clock, processId: 'here', keyOf: (uid) => uid, onGap: quiet })
  const emit = () => writer.emit(delta(0, 'here'))
  onTestFinished(() => writer.close())
  emit()
  expect(await over).toEqual([10, 200, 200, 200, 200])
})

test('a subscription that is refused is asked for again after pauses that double, up to five seconds', async () => {
  const { clock, slept } = clockOf(100)
  const over = Promise.withResolvers<void>()
  let asked = 0
  // With the ninth it is kept waiting: one who makes no pause would ask for ever.
  const subscribe = (_address: string, { signal }: RequestInit) => {
    if ((asked += 1) < 9) return Promise.resolve(new Response(null, { status: 500 }))
    over.resolve()
    return new Promise<Response>((_answer, refuse) => signal?.addEventListener('abort', () => refuse(new Error('left'))))
  }
  vi.stubGlobal('fetch', subscribe)
  const listener = createSignals({ settings, connection: answering(() => []), clock, log, processId: 'here', onSignal: quiet })
  listener.hold()
  await over.promise
  await listener.close()
  expect(slept).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000])
})

test('a command has 300 ms: a request must not wait for a Redis that does not answer; in local mode, where all share a machine, two seconds', async () => {
  const limit = vi.spyOn(AbortSignal, 'timeout')
  vi.stubGlobal('fetch', () => Promise.reject(new Error('away')))
  for (const local of [false, true]) {
    const { run } = createConnection(settings, clockOf(1).clock, log, commandTimeoutMs(local))
    expect(await run((redis) => redis.time())).toEqual({ ok: false })
  }
  expect([...new Set(limit.mock.calls.map(([ms]) => ms))]).toEqual([300, 2_000])
})
