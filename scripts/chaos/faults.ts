import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stack } from '#local/stack'
import type { Fault, FaultKind } from '#scripts/chaos/plan'

/** Environment of servers whose clocks `makeFaults` can move. */
export function skewable(dataDir: string): Record<string, string> {
  const preload = new URL('skewed-clock.ts', import.meta.url).href
  return { NODE_OPTIONS: `--import=${preload}`, BATON_CHAOS_CLOCKS: join(dataDir, 'clocks.json') }
}

/** Kills a server and starts it at once, without the supervisor's growing pause: a platform has another instance ready. */
export async function killServer(stack: Stack, server: number): Promise<void> {
  await stack.kill(`server-${server}`, 'SIGKILL')
  await stack.halt(`server-${server}`)
  stack.resume(`server-${server}`)
}

/** What a fault takes hold of: two that want the same come one after the other. */
const part: Readonly<Record<FaultKind, string>> = {
  kill: 'server',
  freeze: 'server',
  skew: 'clock',
  'executor-skew': 'executor',
  'postgres-restart': 'postgres',
  'postgres-crash': 'postgres',
  'gateway-kill': 'gateway',
  'redis-flush': 'redis',
  'redis-stop': 'redis',
  'executor-stop': 'executor',
  'events-lost': 'executor',
  'events-doubled': 'executor',
  'events-late': 'executor',
  'events-reordered': 'executor',
}

/** Does faults to a stack; each resolves when it is over and the part is back at work. */
export function makeFaults(stack: Stack, dataDir: string): (fault: Fault) => Promise<void> {
  const busy = new Map<string, Promise<void>>()
  const skews: Record<string, number> = {}

  function skewServer(server: number, byMs: number): void {
    const port = new URL(stack.info.baseUrls[server] ?? '').port
    skews[port] = byMs
    const file = join(dataDir, 'clocks.json')
    writeFileSync(`${file}.new`, JSON.stringify(skews))
    renameSync(`${file}.new`, file)
  }

  async function executor(path: string, body: object): Promise<void> {
    const init = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const response = await fetch(stack.info.inngestUrl + path, { ...init, signal: AbortSignal.timeout(10_000) })
    if (!response.ok) throw new Error(`the executor refused ${path}: ${response.status} ${await response.text()}`)
  }

  async function away(name: 'postgres' | 'redis' | 'executor', ms: number): Promise<void> {
    await stack.halt(name)
    await sleep(ms)
    stack.resume(name)
    await stack.waitReady(name)
  }

  async function chaos(ms: number, during: object, afterwards: object): Promise<void> {
    await executor('/chaos', during)
    await sleep(ms)
    await executor('/chaos', afterwards)
  }

  const doing: Readonly<Record<FaultKind, (fault: Fault) => Promise<void>>> = {
    async kill({ server }) {
      await killServer(stack, server)
      await stack.waitReady(`server-${server}`)
    },
    async freeze({ server, forMs }) {
      await stack.kill(`server-${server}`, 'SIGSTOP')
      await sleep(forMs)
      await stack.kill(`server-${server}`, 'SIGCONT')
    },
    async skew({ server, forMs, byMs }) {
      skewServer(server, byMs)
      await sleep(forMs)
      skewServer(server, 0)
    },
    async 'executor-skew'({ forMs, byMs }) {
      await executor('/clock', { offsetMs: byMs })
      await sleep(forMs)
      await executor('/clock', { offsetMs: 0 })
    },
    'postgres-restart': ({ forMs }) => away('postgres', forMs),
    async 'postgres-crash'() {
      await stack.kill('postgres', 'SIGQUIT')
      await stack.waitReady('postgres')
    },
    async 'gateway-kill'() {
      await stack.kill('supabase', 'SIGKILL')
      await stack.waitReady('supabase')
    },
    async 'redis-flush'() {
      const { redisUrl, redisToken } = stack.info
      const headers = { authorization: `Bearer ${redisToken}`, 'content-type': 'application/json' }
      const response = await fetch(String(redisUrl), { method: 'POST', headers, body: JSON.stringify(['FLUSHALL']) })
      if (!response.ok) throw new Error(`Redis was not flushed: ${response.status} ${await response.text()}`)
    },
    'redis-stop': ({ forMs }) => away('redis', forMs),
    'executor-stop': ({ forMs }) => away('executor', forMs),
    'events-lost': ({ forMs }) => chaos(forMs, { dropEvents: 'all' }, { dropEvents: 0 }),
    'events-doubled': ({ forMs }) => chaos(forMs, { duplicateEvents: true }, { duplicateEvents: false }),
    'events-late': ({ forMs }) => chaos(forMs, { delayEventsMs: 1_500 }, { delayEventsMs: 0 }),
    'events-reordered': ({ forMs }) => chaos(forMs, { holdEvents: true, order: 'reverse' }, { holdEvents: false, releaseHeld: true }),
  }

  return async (fault) => {
    const name = part[fault.kind] === 'server' ? `server-${fault.server}` : part[fault.kind]
    const before = busy.get(name) ?? Promise.resolve()
    const done = before.then(() => doing[fault.kind](fault))
    // Whoever comes next waits for the end, however it was; the caller is told of a failure.
    busy.set(
      name,
      done.catch(() => undefined),
    )
    await done
  }
}
