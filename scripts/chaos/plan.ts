import type { Chance } from '#scripts/chaos/random'

/** What can go wrong around the servers, and how long it lasts, in milliseconds; 0 is over at once. */
const kinds = {
  /** SIGKILL of a server. */
  kill: [0, 0],
  /** SIGSTOP of a server beyond its lease (6 s in local mode), then SIGCONT. */
  freeze: [7_500, 10_000],
  /** The wall clock of a server jumps, and jumps back. */
  skew: [2_000, 6_000],
  /** The executor's clock runs ahead or behind. */
  'executor-skew': [2_000, 5_000],
  /** PostgreSQL ends its sessions, stops and comes back. */
  'postgres-restart': [300, 2_500],
  /** PostgreSQL dies without a word and recovers from its log. */
  'postgres-crash': [0, 0],
  /** SIGKILL of the gateway in front of PostgreSQL. */
  'gateway-kill': [0, 0],
  /** All keys are gone. */
  'redis-flush': [0, 0],
  'redis-stop': [1_000, 4_000],
  /** It forgets what it had in hand. */
  'executor-stop': [1_000, 4_000],
  /** Events are taken and lost. */
  'events-lost': [1_000, 3_000],
  'events-doubled': [2_000, 5_000],
  'events-late': [2_000, 5_000],
  /** Events are kept, and come all at once, the last first. */
  'events-reordered': [500, 2_500],
} as const satisfies Record<string, readonly [number, number]>

/** A kind of fault. */
export type FaultKind = keyof typeof kinds
export const faultKinds = Object.keys(kinds) as FaultKind[]

/** A fault of the plan. */
export interface Fault {
  /** After the storm began, in milliseconds. */
  atMs: number
  kind: FaultKind
  /** Which server, where it is one. */
  server: number
  forMs: number
  /** Of clocks: by how much, in milliseconds. */
  byMs: number
}

/** Small steps, as clocks of a fleet have them, and an hour. */
const skews = [-2_000, 2_000, -30_000, 30_000, -3_600_000, 3_600_000] as const

/**
 * Every kind in a random order, again and again, with pauses of about `everyMs`, until `lengthMs` are over: at least one of each. The same chance
 * gives the same plan.
 */
export function planFrom(chance: Chance, options: { lengthMs: number; servers: number; everyMs: number }): Fault[] {
  const faults: Fault[] = []
  let atMs = 0
  while (atMs < options.lengthMs) {
    const left = [...faultKinds]
    while (left.length > 0) {
      const [kind] = left.splice(chance.whole(0, left.length - 1), 1)
      if (kind === undefined) break
      const [least, most] = kinds[kind]
      const byMs = kind.endsWith('skew') ? (skews[chance.whole(0, skews.length - 1)] ?? 0) : 0
      faults.push({ atMs, kind, server: chance.whole(0, options.servers - 1), forMs: chance.whole(least, most), byMs })
      atMs += chance.whole(0, 2 * options.everyMs)
    }
  }
  return faults
}

/** A line of the plan for people. */
export function faultText({ atMs, kind, server, forMs, byMs }: Fault): string {
  const where = kind === 'kill' || kind === 'freeze' || kind === 'skew' ? ` server-${server}` : ''
  return `${(atMs / 1_000).toFixed(1)} s ${kind}${where}${forMs > 0 ? ` for ${(forMs / 1_000).toFixed(1)} s` : ''}${byMs === 0 ? '' : ` by ${byMs / 1_000} s`}`
}
