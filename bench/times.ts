import { poll } from '#local/poll'
import { load, post } from '#bench/caller'
import { sizes } from '#bench/compare'
import type { Floor } from '#bench/floor'
import { cpuMs } from '#bench/processes'
import { plainTurn, toolTurn } from '#bench/scripts'
import type { Stand } from '#bench/stand'
import { summary, type Summary } from '#bench/stats'

/** How a kind of request did at a number of callers. */
export interface Timed {
  kind: string
  callers: number
  ms: Summary
  perSecond: number
  /** Processor time per request: the app's server, the gateway in front of Postgres, Postgres with all its sessions. */
  cpu: { app: number; gateway: number; postgres: number }
}

/** The kinds, in the order of the table; the first two are the floor. */
export const kinds = [
  'floor, direct driver',
  'floor, over Supabase',
  'turn without tools',
  'turn with one tool',
  'accept (respond-async)',
] as const
type Kind = (typeof kinds)[number]

/** Requests of each caller in a round: fewer where more call, so that every kind gets about the same time. */
const perRound: Record<number, number> = { 1: 20, 16: 6, 64: 2 }

type Cpu = Timed['cpu']

/** Requests of each kind by 1, 16 and 64 callers, kind after kind in each of the rounds, so that all see the same weather. */
export async function timeRequests(stand: Stand, floor: Floor, rounds: number): Promise<Timed[]> {
  let fresh = 0
  const one: Record<Kind, (caller: number) => Promise<number>> = {
    'floor, direct driver': async (caller) => (await post(floor.url('direct'), { agent: `d-${caller}`, message: plainTurn })).ms,
    'floor, over Supabase': async (caller) => (await post(floor.url('rpc'), { agent: `s-${caller}`, message: plainTurn })).ms,
    'turn without tools': async (caller) => stand.send(`plain-${caller}`, plainTurn),
    'turn with one tool': async (caller) => stand.send(`tool-${caller}`, toolTurn),
    'accept (respond-async)': async () => stand.send(`accept-${fresh++}`, plainTurn, 'respond-async'),
  }
  const { pids } = stand.stack.info
  const cpuNow = (): Cpu => ({
    app: cpuMs(pids.servers[0] ?? null) + cpuMs(floor.pid),
    gateway: cpuMs(pids.supabase),
    postgres: cpuMs(pids.postgres),
  })
  const results: Timed[] = []
  for (const kind of kinds) await load(16, 4, one[kind])
  await quiet(stand)
  for (const [callers, times] of Object.entries(perRound).map(([many, each]) => [Number(many), each] as const)) {
    const seen = new Map(kinds.map((kind) => [kind, { ms: [] as number[], wall: 0, cpu: { app: 0, gateway: 0, postgres: 0 } }]))
    for (let round = 0; round < rounds; round++) {
      for (const kind of kinds) {
        const entry = seen.get(kind)
        if (entry === undefined) continue
        const before = cpuNow()
        const from = performance.now()
        entry.ms.push(...(await load(callers, times, one[kind])))
        entry.wall += performance.now() - from
        // What was accepted is executed in the background: its processor time belongs to it, and no other kind may meet it.
        if (kind === 'accept (respond-async)') await quiet(stand)
        const after = cpuNow()
        for (const part of ['app', 'gateway', 'postgres'] as const) entry.cpu[part] += after[part] - before[part]
      }
    }
    for (const [kind, { ms, wall, cpu }] of seen) {
      const each = (part: keyof Cpu): number => cpu[part] / ms.length
      results.push({
        kind,
        callers,
        ms: summary(ms),
        perSecond: (ms.length / wall) * 1_000,
        cpu: { app: each('app'), gateway: each('gateway'), postgres: each('postgres') },
      })
    }
  }
  return results
}

/** Waits until every run has ended. */
async function quiet(stand: Stand): Promise<void> {
  const done = await poll(
    async () => {
      const { rows } = await stand.wal.pool.query<{ open: boolean }>(
        `select exists (select from baton.runs where ended_at is null) as open`,
      )
      return rows[0]?.open === false
    },
    { everyMs: 100, forMs: 120_000 },
  )
  if (!done) throw new Error('accepted messages were not worked off within two minutes')
}

/** A turn without tools for each size of history, interleaved. */
export async function timeHistories(stand: Stand, rounds: number): Promise<{ messages: number; ms: Summary }[]> {
  for (const size of sizes) await stand.withHistory(`history-${size}`, size)
  const seen = new Map(sizes.map((size) => [size, [] as number[]]))
  for (let round = -2; round < rounds; round++) {
    for (const size of sizes) {
      const ms = await stand.send(`history-${size}`, plainTurn)
      if (round >= 0) seen.get(size)?.push(ms)
    }
  }
  return [...seen].map(([messages, ms]) => ({ messages, ms: summary(ms) }))
}
