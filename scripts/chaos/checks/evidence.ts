import type { Effect } from '#scripts/chaos/effects'

/** Asks the database of a stack; rows come back as objects. */
export type Sql = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** What a reader got who followed an agent's events over every break. */
export interface Followed {
  agent: string
  seqs: number[]
}

/** A kill or hold that was in force, and the effects that began under it once everybody had to know. */
export interface SwitchSeen {
  agent: string
  mode: 'kill' | 'hold'
  effects: Effect[]
  /** How the run ended that was under way; null under a hold. */
  end: { runId: string; state: string; stopReason: string | null } | null
}

/** Everything that the checks look at. What was not gathered is left out, and its checks have nothing to find. */
export interface Evidence {
  sql: Sql
  /** In the order of the effects log. */
  effects: readonly Effect[]
  /** Names of agents; null for all. */
  agents: readonly string[] | null
  /** Run ids that were answered, by the key of their message. */
  accepted?: ReadonlyMap<string, string>
  followed?: readonly Followed[]
  switches?: readonly SwitchSeen[]
  /** Rows of budgets that were over their limit or not the sum of their ledger, as seen while all ran. */
  passedLimits?: readonly Record<string, unknown>[]
  /** Event ids of webhooks that arrived, by run. */
  arrivals?: ReadonlyMap<string, readonly string[]>
}

/** One thing that must not be, and the invariant (2-run-contract) that says so. */
export interface Check {
  invariant: number
  /** What is wrong when something is found. */
  name: string
  find(evidence: Evidence): Promise<string[]> | string[]
}
