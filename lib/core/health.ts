/** A deployment is degraded where it does its work late or without live text; unhealthy where it does not do it. */
export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy'

/** What the database says of itself, with the milliseconds that the question took. */
export interface DatabaseHealth {
  latencyMs: number
  /** Since the clock last swept; null where nothing was ever due. */
  lastSweepAgeMs: number | null
  /** For how long the oldest due run has had no executor; null when none is due. */
  oldestDueAgeMs: number | null
  /** For how long the oldest due row of the outbox has not been sent; null when none is due. */
  oldestOutboxAgeMs: number | null
  /** Names of the migrations that were applied; null where there is no ledger. */
  migrations: readonly string[] | null
  auditFailures: number
}

/** What the checks have found. */
export interface HealthFacts {
  /** Null when it did not answer; `why` says how. */
  database: DatabaseHealth | null
  why: string | null
  /** Null where there is none. */
  redis: { connected: boolean; latencyMs: number | null } | null
  /** The migrations of the build; null where they are not known. */
  expected: readonly string[] | null
  sweepEveryMs: number
  /** False where this deployment has no clock of its own (a preview). */
  clock: boolean
}

/** What health comes to, with a sentence for each cause that is no secret. */
export interface Health {
  status: HealthStatus
  causes: string[]
  missing: string[]
}

/** A sweep may be late by so many periods before it is told, and before the deployment counts as dead. */
const latePeriods = 2
const deadPeriods = 4

/** The migrations of the build that the database does not have. What a newer build has added is no fault: old code runs on a new schema. */
export function missingMigrations({ database, expected }: Pick<HealthFacts, 'database' | 'expected'>): string[] {
  if (database === null || expected === null) return []
  const applied = new Set(database.migrations)
  return expected.filter((name) => !applied.has(name))
}

/** Judges the facts (issue "Operate it"): a dead clock is told after 2 periods and fatal after 4; Redis away is degraded, never dead. */
export function judge(facts: HealthFacts): Health {
  const { database, redis, sweepEveryMs } = facts
  const missing = missingMigrations(facts)
  const bad: string[] = []
  const late: string[] = []
  if (database === null) bad.push(`Postgres does not answer (${facts.why ?? 'no reason is known'}): nothing can be accepted or committed.`)
  if (missing.length > 0) bad.push(`${missing.length} migrations of this build are not applied: run npm run migrate.`)
  if (redis !== null && !redis.connected) late.push('Redis does not answer: text arrives step by step, limits are counted in each process.')
  if (database !== null) {
    const { lastSweepAgeMs, oldestDueAgeMs, oldestOutboxAgeMs } = database
    const silent = facts.clock ? (lastSweepAgeMs ?? 0) : 0
    if (silent > latePeriods * sweepEveryMs) {
      const sentence = `The clock (Inngest) has not called for ${seconds(silent)} s and should every ${seconds(sweepEveryMs)} s: what waits is not continued.`
      ;(silent > deadPeriods * sweepEveryMs ? bad : late).push(sentence)
    }
    if ((oldestDueAgeMs ?? 0) > latePeriods * sweepEveryMs)
      late.push(`A run has been due for ${seconds(oldestDueAgeMs)} s and no executor has taken it.`)
    if ((oldestOutboxAgeMs ?? 0) > latePeriods * sweepEveryMs)
      late.push(`The outbox has not been sent for ${seconds(oldestOutboxAgeMs)} s: Inngest does not take events.`)
    if (database.auditFailures > 0) late.push(`${database.auditFailures} audit entries could not be written.`)
  }
  return { status: bad.length > 0 ? 'unhealthy' : late.length > 0 ? 'degraded' : 'healthy', causes: [...bad, ...late], missing }
}

function seconds(ms: number | null): number {
  return Math.round((ms ?? 0) / 1_000)
}
