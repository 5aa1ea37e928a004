import type { Play } from '#tests/crash/play'
import type { Point } from '#tests/crash/life'
import type { Answer } from '#tests/world'

/** What callers do, played without a crash and then with one at each outward call. */
export interface Scenario {
  name: string
  play: (play: Play) => Promise<unknown>
  /** Points of every test run, as [at, call, nth]; BATON_CRASH_ALL=1 takes every call. */
  points: readonly (readonly [Point['at'], string, number])[]
  /** Deaths that belong to the scenario: they are in every performance, also in the one that the others are compared with. */
  deaths?: readonly Point[]
  /** What its servers are told. */
  env?: Readonly<Record<string, string>>
}

/* The words that scenarios are made of. */

export const usage = { input: 1_000, output: 100 }
export const tools = (...list: { name: string; input: unknown }[]): Answer => ({ tools: list, usage })
export const last: Answer = { text: 'finished', usage }
export const count = { name: 'count', input: { key: 'counted' } }
export const charge = { name: 'charge', input: { key: 'charged', cents: 5 } }
export const echo = { name: 'echo', input: { value: 1 } }
/** Longer than any scenario: it ends because somebody ends it. */
export const endless: Answer = { ...last, delayMs: 60_000 }
