import type { Server } from 'node:http'
import { createApi } from '#local/executor/api'
import { call } from '#local/executor/call'
import { createChaos } from '#local/executor/chaos'
import { createClock, readStoredOffset } from '#local/executor/clock'
import { createConcurrency } from '#local/executor/concurrency'
import { createCrons } from '#local/executor/crons'
import { startDiscovery } from '#local/executor/discovery'
import { createEvents } from '#local/executor/events'
import { executionCall } from '#local/executor/execution'
import { createHistory } from '#local/executor/history'
import { listen } from '#local/executor/http'
import { createQueue } from '#local/executor/queue'
import { whileItAnswers } from '#local/executor/probe'
import { createRegistry } from '#local/executor/registry'
import { createRuns } from '#local/executor/runs'
import { createTimers } from '#local/executor/timers'

/** How to start an executor. */
export interface ExecutorOptions {
  /** Port on 127.0.0.1. */
  readonly port: number
  /** Base URLs of the servers that serve the SDK at /api/inngest. */
  readonly appUrls: readonly string[]
  /** Events are taken under this key only; under any key when absent. */
  readonly eventKey?: string | undefined
  /** Requests to the apps are signed with it, and the apps' own are checked against it. */
  readonly signingKey?: string | undefined
  /** Where to read the clock's offset from at the start. */
  readonly databaseUrl?: string | undefined
  readonly log: (line: string) => void
}

const MOST_RUNS = 10_000
const MOST_TIMERS = 50_000
const MOST_REQUESTS = 50

/** Starts the executor: a stand-in for an Inngest server that drives the real SDK over HTTP and keeps everything in memory. */
export async function startExecutor(options: ExecutorOptions): Promise<Server> {
  const { port, appUrls, eventKey, signingKey, databaseUrl, log } = options
  const clock = createClock(databaseUrl === undefined ? 0 : await readStoredOffset(databaseUrl, log))
  const timers = createTimers(clock, MOST_TIMERS)
  const history = createHistory()
  const concurrency = createConcurrency(MOST_REQUESTS)

  const registry = createRegistry(appUrls, () => {
    runs.dropUnregistered(registry.functions())
    crons.synchronise()
    events.flush()
    queue.pump()
  })
  const runs = createRuns({
    clock,
    timers,
    history,
    bound: MOST_RUNS,
    push: (job) => queue.push(job),
    onFailed: (run, error) => events.runFailed(run, error),
  })
  const queue = createQueue({
    registry,
    concurrency,
    log,
    send: ({ baseUrl }, job) => whileItAnswers(baseUrl, (signal) => call({ ...executionCall(baseUrl, job, signingKey), signal })),
    settle: (job, result) => runs.settle(job, result),
  })
  const functions = (): ReturnType<typeof registry.functions> => registry.functions()
  const events = createEvents({ clock, functions, log, start: (...args) => runs.start(...args) !== null })
  const crons = createCrons({ clock, timers, functions, log, start: (...args) => runs.start(...args) })
  const chaos = createChaos(events)

  const state = (): object => ({
    pending: queue.size(),
    running: concurrency.running(),
    scheduled: runs.counts().scheduled,
    alive: runs.counts().alive,
    offsetMs: clock.offset(),
    now: new Date(clock.now()).toISOString(),
    servers: registry.servers.map((server) => ({ ...server, functions: [...server.functions.keys()] })),
    ...history.report(),
  })
  const answer = createApi({ eventKey, signingKey, registry, runs, events, chaos, clock, state })
  const server = await listen(port, answer, log)
  startDiscovery({ registry, signingKey, log, onLive: () => queue.pump() })
  return server
}
