import { fork, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createDatabase } from '#local/database'
import { cpuMs } from '#bench/processes'
import { median, summary, type Summary } from '#bench/stats'
import { openWal, type Wal } from '#bench/wal'
import { startWire } from '#bench/wire'
import type { Order, Report } from '#bench/worker'

/** Earlier messages of 1 KB in the conversations that are compared. */
export const sizes = [0, 100, 1_000, 5_000] as const

/** Who is compared: the name of the worker, and what the tables call it. */
export const contenders = [
  { id: 'rows', label: 'floor: rows, window of 50, no guarantees' },
  { id: 'baton', label: 'Baton, in process, direct driver' },
  { id: 'mastra', label: 'Mastra, PostgresStore, default window' },
  { id: 'jsonb', label: 'JSONB document per agent (KODE guide)' },
  { id: 'langgraph', label: 'LangGraph JS, PostgresSaver' },
] as const

/** A turn with one tool at one size of history. */
export interface Turn {
  size: number
  ms: Summary
  trips: number
  sentKb: number
  walKb: number
}

/** All that is measured of one contender. */
export interface Compared {
  id: string
  label: string
  turns: Turn[]
  /** Processor time of a turn, by size: the process and Postgres. */
  cpu: { process: number; postgres: number }[]
  /** From the start of a process to the end of its first turn, at the largest size. */
  coldMs: number
  rssMb: number
}

/** What was taken of one contender at one size: times of turns, and the processor time of all of them. */
interface Times {
  ms: number[]
  process: number
  postgres: number
}

/** One more way to take the same turn, timed among the workers: Baton over HTTP. */
export interface Guest {
  turn: (size: number) => Promise<number>
}

interface Worker {
  ask: (order: Order) => Promise<Report>
  stop: () => Promise<void>
}

const file = join(import.meta.dirname, 'worker.ts')

function begin(parameters: string[]): { child: ChildProcess; ended: Promise<void>; next: () => Promise<Report> } {
  const child = fork(file, parameters, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, NODE_ENV: 'production' } })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const next = async (): Promise<Report> => {
    const report = await new Promise<Report>((resolve, reject) => {
      const gone = (code: number | null): void => reject(new Error(`worker ${parameters[0]} ended with ${code}`))
      child.once('exit', gone)
      child.once('message', (message: Report) => {
        child.off('exit', gone)
        resolve(message)
      })
    })
    if (report.error !== undefined) throw new Error(`worker ${parameters[0]}: ${report.error}`)
    return report
  }
  return { child, ended, next }
}

async function startWorker(name: string, databaseUrl: string): Promise<Worker> {
  const { child, ended, next } = begin([name, databaseUrl])
  await next()
  const ask = async (order: Order): Promise<Report> => {
    const answer = next()
    child.send(order)
    return answer
  }
  return {
    ask,
    async stop() {
      await ask({ do: 'close' })
      await ended
    },
  }
}

const threadOf = (size: number): string => `t-${size}`

/** Trips, bytes and log of a turn, each the median of a few: they hardly vary, so they need no quiet machine. */
async function count(worker: Worker, wire: Awaited<ReturnType<typeof startWire>>, wal: Wal, size: number): Promise<Omit<Turn, 'ms'>> {
  const taken: { trips: number; sentKb: number; walKb: number }[] = []
  const order: Order = { do: 'turn', thread: threadOf(size), times: 1 }
  for (let time = 0; time < 4; time++) {
    const before = await wal.at()
    wire.reset()
    const counted = await worker.ask({ ...order, uncounted: true })
    const { trips, sentBytes } = wire.traffic()
    if (time > 0 && counted.ms.length > 0) taken.push({ trips, sentKb: sentBytes / 1024, walKb: ((await wal.at()) - before) / 1024 })
  }
  const of = (pick: 'trips' | 'sentKb' | 'walKb'): number => median(taken.map((one) => one[pick]))
  return { size, trips: of('trips'), sentKb: of('sentKb'), walKb: of('walKb') }
}

/** A fresh process that takes one turn and ends. */
async function cold(name: string, databaseUrl: string, size: number): Promise<{ ms: number; rssMb: number }> {
  const from = performance.now()
  const { ended, next } = begin([name, databaseUrl, threadOf(size)])
  const { rssMb } = await next()
  const ms = performance.now() - from
  await ended
  return { ms, rssMb }
}

/** So long one contender is timed at one size before the next one has its turn, in milliseconds; at least one turn. */
const shareMs = 60

/** After so long without a turn, in milliseconds, the pools have closed their connections (after 10 s): one that is not counted opens them again. */
const coldAfterMs = 8_000

/** Compares all on one cluster, each on a database of its own: first what is counted, then times, by turns. */
export async function compare(
  clusterUrl: string,
  options: { ids: readonly string[]; rounds: number; colds: number; postgres: number | null; guest: Guest; say: (line: string) => void },
): Promise<{ compared: Compared[]; guest: Turn['ms'][] }> {
  const wal = openWal(clusterUrl)
  const chosen = contenders.filter(({ id }) => options.ids.includes(id))
  const running: { id: string; label: string; url: string; worker: Worker; turns: Omit<Turn, 'ms'>[]; times: Map<number, Times> }[] = []
  const guest = new Map<number, number[]>(sizes.map((size) => [size, []]))
  const lastTurn = new Map<string, number>()
  try {
    for (const { id, label } of chosen) {
      const url = await createDatabase(clusterUrl, `bench_${id}_${randomBytes(3).toString('hex')}`)
      const worker = await startWorker(id, url)
      for (const size of sizes) await worker.ask({ do: 'fill', thread: threadOf(size), messages: size })
      const wire = await startWire(url)
      const counted = await startWorker(id, wire.url)
      const turns: Omit<Turn, 'ms'>[] = []
      for (const size of sizes) turns.push(await count(counted, wire, wal, size))
      await counted.stop()
      await wire.close()
      running.push({ id, label, url, worker, turns, times: new Map(sizes.map((size) => [size, { ms: [], process: 0, postgres: 0 }])) })
      options.say(`${label}: ${turns.map((turn) => `${turn.size}: ${turn.trips} trips, ${turn.walKb.toFixed(1)} KB`).join('; ')}`)
    }
    for (const { worker } of running) {
      await worker.ask({ do: 'fill', thread: 'warm', messages: 0 })
      await worker.ask({ do: 'turn', thread: 'warm', times: 25 })
    }
    for (const size of sizes) {
      const rounds = size >= 5_000 ? Math.ceil(options.rounds / 2) : options.rounds
      for (let round = -1; round < rounds; round++) {
        for (const one of running) {
          const known = one.times.get(size)
          if (known === undefined) continue
          const times = known.ms.length === 0 ? 1 : Math.max(1, Math.min(5, Math.floor(shareMs / median(known.ms))))
          if (performance.now() - (lastTurn.get(one.id) ?? 0) > coldAfterMs)
            await one.worker.ask({ do: 'turn', thread: threadOf(size), times: 1 })
          const before = cpuMs(options.postgres)
          const told = await one.worker.ask({ do: 'turn', thread: threadOf(size), times })
          lastTurn.set(one.id, performance.now())
          if (round < 0) continue // the first round of a size warms
          known.ms.push(...told.ms)
          known.process += told.cpuMs
          known.postgres += cpuMs(options.postgres) - before
        }
        for (let time = 0; time < 3; time++) {
          const ms = await options.guest.turn(size)
          if (round >= 0) guest.get(size)?.push(ms)
        }
      }
      options.say(
        `${size} messages: ${running.map((one) => `${one.id} ${median(one.times.get(size)?.ms ?? []).toFixed(1)}`).join(', ')} ms`,
      )
    }
    const colds = new Map(running.map(({ id }) => [id, { ms: [] as number[], rss: [] as number[] }]))
    for (const one of running) await one.worker.stop()
    for (let time = 0; time < options.colds; time++) {
      for (const { id, url } of running) {
        const { ms, rssMb } = await cold(id, url, 5_000)
        colds.get(id)?.ms.push(ms)
        colds.get(id)?.rss.push(rssMb)
      }
    }
    return {
      compared: running.map(({ id, label, turns, times }) => ({
        id,
        label,
        turns: turns.map((turn) => ({ ...turn, ms: summary(times.get(turn.size)?.ms ?? []) })),
        cpu: turns.map(({ size }) => {
          const { ms, process, postgres } = times.get(size) ?? { ms: [], process: Number.NaN, postgres: Number.NaN }
          return { process: process / ms.length, postgres: postgres / ms.length }
        }),
        coldMs: median(colds.get(id)?.ms ?? []),
        rssMb: median(colds.get(id)?.rss ?? []),
      })),
      guest: sizes.map((size) => summary(guest.get(size) ?? [])),
    }
  } finally {
    await wal.close()
  }
}
