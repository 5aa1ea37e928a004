import { setTimeout as sleep } from 'node:timers/promises'
import { call, type CallResult } from '#local/executor/call'
import { signedHeaders } from '#local/executor/execution'
import { staysConnected } from '#local/executor/probe'
import { syncIdOf, type AppServer, type Registry } from '#local/executor/registry'

const POLL_DOWN_MS = 400
const POLL_REFUSED_MS = 3000
const POLL_LIVE_MS = 30_000
// A server that stops gracefully waits for our connection, so it must not be long.
const HOLD_MS = 400
// `next dev` compiles the route on the first request.
const SYNC_TIMEOUT_MS = 60_000

/** What discovery needs. */
export interface DiscoveryOptions {
  readonly registry: Registry
  readonly signingKey: string | undefined
  readonly log: (line: string) => void
  /** Runs when a server may have come back. */
  readonly onLive: () => void
}

/** Asks each server to register: until it does, again after it was down, and now and then in case it changed. */
export function startDiscovery({ registry, signingKey, log, onLive }: DiscoveryOptions): void {
  async function synchronise(server: AppServer, index: number): Promise<number> {
    const url = new URL('/api/inngest', server.baseUrl)
    url.searchParams.set('deployId', syncIdOf(index))
    const before = server.problem
    const registrations = server.registrations
    server.problem = null
    const result = await call({
      url: url.href,
      method: 'PUT',
      headers: signedHeaders('', signingKey),
      body: '',
      timeoutMs: SYNC_TIMEOUT_MS,
    })
    const napMs = judge(server, result, server.registrations > registrations)
    report(server, before)
    return napMs
  }

  // Said once, not at each of the polls that find the same.
  function report({ baseUrl, problem }: AppServer, before: string | null): void {
    if (problem !== null && problem !== before) log(`registration of ${baseUrl}: ${problem}`)
  }

  function judge(server: AppServer, result: CallResult, registered: boolean): number {
    if (result.kind !== 'answer') {
      server.live = false
      server.problem = result.message
      return POLL_DOWN_MS
    }
    if (result.status !== 200) {
      // What the register endpoint noted says more than the SDK's answer; an earlier registration stays at work.
      server.problem ??= `${result.status} ${result.body.slice(0, 500)}`
      return POLL_REFUSED_MS
    }
    if (registered) {
      server.live = true
      onLive()
      return POLL_LIVE_MS
    }
    server.problem = 'it registered somewhere else: its INNGEST_DEV does not name this executor'
    return POLL_REFUSED_MS
  }

  async function watch(server: AppServer, index: number): Promise<never> {
    for (;;) {
      const napMs = await synchronise(server, index)
      const until = Date.now() + napMs
      if (!server.live) await sleep(napMs)
      // A server that was restarted may have other functions, and its crons cannot wait for a request to find out.
      while (server.live && Date.now() < until) if (!(await staysConnected(server.baseUrl, HOLD_MS))) server.live = false
    }
  }

  for (const [index, server] of registry.servers.entries())
    watch(server, index).catch((error: unknown) => log(`discovery of ${server.baseUrl} ended: ${String(error)}`))
}
