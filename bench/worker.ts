import { join } from 'node:path'
import type { Peer, PeerSession } from '#bench/peers/peer'
import { rssMb } from '#bench/processes'

/*
 * One peer in a process of its own, told what to do by messages: `worker.ts NAME DATABASE_URL [THREAD]`. With a thread it takes one turn at once,
 * which is the cold start that is measured from outside.
 */
const [name = '', databaseUrl = '', thread] = process.argv.slice(2)

/** What the worker is asked; each is answered by one message. `uncounted`: it does not look whether the turns were kept, which costs trips. */
export type Order =
  | { do: 'fill'; thread: string; messages: number }
  | { do: 'turn'; thread: string; times: number; uncounted?: boolean }
  | { do: 'close' }

/** What it answers: milliseconds of each turn, processor time of them all in this process, memory in MB. */
export interface Report {
  ms: number[]
  cpuMs: number
  rssMb: number
  error?: string
}

/** Baton's and the floor's stand here, the others in an install of their own. */
const own: Record<string, string> = { baton: 'engine.ts', rows: 'rows.ts' }
const file = join(import.meta.dirname, own[name] ?? `peers/${name}.ts`)
const { peer } = (await import(file)) as { peer: Peer }
const session: PeerSession = await peer.open(databaseUrl, thread === undefined)

let used = process.cpuUsage()

async function obey(order: Order): Promise<number[]> {
  if (order.do === 'close') return []
  if (order.do === 'fill') {
    await session.fill(order.thread, order.messages)
    return []
  }
  const kept = async (): Promise<number> => (order.uncounted === true ? 0 : session.count(order.thread))
  const before = await kept()
  const ms: number[] = []
  used = process.cpuUsage()
  for (let time = 0; time < order.times; time++) {
    const from = performance.now()
    await session.turn(order.thread)
    ms.push(performance.now() - from)
  }
  used = process.cpuUsage(used)
  const added = (await kept()) - before
  if (order.uncounted !== true && added < 2 * order.times) throw new Error(`${order.times} turns have kept ${added} rows`)
  return ms
}

const report = (ms: number[], error?: string): Report => ({
  ms,
  cpuMs: (used.user + used.system) / 1_000,
  rssMb: rssMb(process.pid),
  ...(error === undefined ? {} : { error }),
})

if (thread !== undefined) {
  const from = performance.now()
  await session.turn(thread)
  process.send?.(report([performance.now() - from]))
  process.disconnect?.()
  await session.close()
} else {
  process.on('disconnect', () => process.exit(0)) // the measurement was given up
  process.on('message', (order: Order) => {
    void obey(order)
      .then((ms) => report(ms))
      .catch((error: unknown) => report([], error instanceof Error ? (error.stack ?? error.message) : String(error)))
      .then(async (answer) => {
        process.send?.(answer)
        if (order.do !== 'close') return
        await session.close()
        process.exit(0)
      })
  })
  process.send?.(report([]))
}
