import type { Point } from '#tests/crash/life'
import type { EffectLine, World } from '#tests/world'

/** What scenarios are performed on: two servers of which one dies, and is there again at once, as a platform would have it. */
export interface Stage {
  world: World
  /** Begins a performance with these deaths, on servers that are told `env` beside what all are told. */
  begin(points: readonly Point[], agent: string, env: Readonly<Record<string, string>>): Promise<void>
  /** A request to one of the servers. Rejects with Broken when it dies before the answer is out; a stream breaks when it dies later. */
  ask(server: number, request: Request): Promise<Response>
  /** A request to a server that has no part in the performance, where there is one. */
  look(request: Request): Promise<Response>
  /** What time and the sweeper would do some seconds after the death, now: leases of the dead run out, what is due is sent. */
  net(): Promise<void>
  /** Until the deaths have had their effects; says of each whether there was one. */
  end(): Promise<boolean[]>
  /** Names of the outward calls so far; empty where nobody counts them. */
  calls(): readonly string[]
  /** Holds calls of that name back, those of this performance, until the returned function is called. */
  gate(call: string): () => void
  effects(): Promise<EffectLine[]>
  /** Moves the clock of everybody. */
  advance(ms: number): Promise<void>
  close(): Promise<void>
}

/** Thrown to whoever talks to a process that dies: the connection broke. */
export class Broken extends Error {}

/**
 * Servers of every stage: no sweep but those that the scenario makes or the net, short waits before something is sent again, and leases that only a
 * death loses, also on a machine that stands still for seconds.
 */
export const stageEnv = { BATON_SWEEP_EVERY: '1h', BATON_HASTE: '100', BATON_LEASE_MS: '15000' } as const
