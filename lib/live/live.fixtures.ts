/** What the tests of live share: the real gateway over an engine, processes, an executor, a reader. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import type { RunId } from '#lib/core/ids'
import type { Clock, LiveFrame, Log } from '#lib/core/ports'
import { createLive, type LiveWithStatus } from '#lib/live/live'
import { startEngine, type Engine } from '#local/redis/engine'
import { createGateway } from '#local/redis/gateway'

/** A clock that runs this many times as fast; the time-outs of requests stay as they are. */
export const clockAt = (speed: number): Clock => ({
  now: Date.now,
  monotonic: () => performance.now() * speed,
  random: Math.random,
  sleep: (ms, signal) =>
    new Promise((done) => {
      if (signal?.aborted === true) return done()
      const end = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', end)
        done()
      }
      const timer = setTimeout(end, ms / speed)
      signal?.addEventListener('abort', end)
    }),
})

/** A clock on which nothing comes round: who waits a second or longer waits until it is told. What arrives has come at once, however long that took. */
export function clockWithoutRounds(): Clock {
  const clock = clockAt(1)
  return {
    ...clock,
    monotonic: () => clock.monotonic() / 1_000,
    sleep: (ms, signal) => clock.sleep(ms < 1_000 ? ms : 2 ** 31 - 1, signal),
  }
}

/** Such a clock that `forward` sets ahead: nothing that sleeps wakes sooner, and what is remembered grows old at once. */
export function clockAhead(speed = 5): Clock & { forward(ms: number): void } {
  const clock = clockAt(speed)
  let ahead = 0
  return { ...clock, monotonic: () => clock.monotonic() + ahead, forward: (ms) => void (ahead += ms) }
}

const quiet = () => undefined
const log: Log = { info: quiet, warn: quiet, error: quiet }

const token = 'token'
let processes = 0
let prefix = 'baton:test:'

/** Listens on loopback; the port. */
export async function listen(server: Server, port = 0): Promise<number> {
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  return (server.address() as AddressInfo).port
}

/** Ends a server with its connections. */
export async function stop(server: Server) {
  server.closeAllConnections()
  await new Promise<void>((done) => server.close(() => done()))
}

/** The real gateway over an engine of its own, or over another's; it can be stopped, and started again on the same port. All end with the test, gateways first: they keep connections. */
export async function startRedis(of?: { engine: Engine }) {
  const engine = of?.engine ?? (await startEngine())
  const make = () => createGateway({ redisUrl: engine.url, token })
  let server = make()
  const port = await listen(server)
  prefix = `baton:test-${port}:`
  onTestFinished(async () => {
    if (server.listening) await stop(server)
    if (of === undefined) await engine.close()
  })
  return {
    engine,
    url: `http://127.0.0.1:${port}`,
    prefix,
    stop: () => stop(server),
    start: async () => {
      server = make()
      await listen(server, port)
    },
    cut: () => server.closeAllConnections(),
  }
}

/** One more process on the Redis of the test (null: without Redis). */
export function startProcess(
  url: string | null,
  { keys = prefix, clock = clockAt(5), commandTimeoutMs = 15_000 }: { keys?: string; clock?: Clock; commandTimeoutMs?: number } = {},
): LiveWithStatus {
  const live = createLive({
    redis: url === null ? null : { url, token, prefix: keys },
    commandTimeoutMs,
    clock,
    log,
    processId: `process-${(processes += 1)}`,
  })
  onTestFinished(() => live.close())
  return live
}

/** The agent and run of every test. */
export const agentUid = 'agent-1'
export const runId: RunId = 'run_1'
/** A piece of the answer's text. */
export function delta(offset: number, text: string, more: Partial<LiveFrame> = {}): LiveFrame {
  return {
    agentUid,
    runId,
    epoch: 1,
    step: 0,
    attempt: 0,
    afterSeq: 3,
    body: { type: 'delta', kind: 'text', part: 0, offset, text },
    ...more,
  }
}

/** Keeps frames and puts their text together; anything but the next piece counts as a fault. */
export function reader() {
  const state = { text: '', frames: [] as LiveFrame[], faults: 0 }
  const onFrame = (frame: LiveFrame) => {
    state.frames.push(frame)
    if (frame.body.type !== 'delta') return
    if (frame.body.offset !== state.text.length) state.faults += 1
    state.text += frame.body.text
  }
  return { state, onFrame }
}

/** An executor as the engine is one: it keeps its text and tells it again from the beginning to whoever joins. */
export function executor(live: LiveWithStatus) {
  const state = { text: '', joins: 0 }
  const tell = live.onWatcher(agentUid, () => {
    state.joins += 1
    if (state.text !== '') live.emit(delta(0, state.text))
  })
  const say = (text: string) => {
    live.emit(delta(state.text.length, text))
    state.text += text
  }
  return { state, say, end: tell }
}

/** For polling: a bound, not a wait. */
export const until = { timeout: 60_000, interval: 10 }

/** One command over REST, as another client would send it. */
export async function command(url: string, words: string[]): Promise<unknown> {
  const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(words) })
  const { result }: { result?: unknown } = await response.json()
  return result
}
