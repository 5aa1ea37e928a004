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
  /** Audit entries that could not be written, where the last of them is not a day old. */
  auditFailures: number
  /** Nothing can be written; an older schema does not tell. */
  readOnly?: boolean
  /** Model providers whose last calls failed, of the last ten minutes; an older schema does not tell. */
  providers?: readonly ProviderFault[]
}

/** A model provider that has not answered since. */
export interface ProviderFault {
  provider: string
  /** Of its last failure. */
  code: string
  /** Calls that failed since one was answered; at least. */
  failures: number
  /** Since the first of them. */
  sinceMs: number
}

/** What the checks have found. */
export interface HealthFacts {
  /** Null when it did not answer; `why` says how. */
  database: DatabaseHealth | null
  why: string | null
  /** Null where there is none. */
  redis: { connected: boolean; latencyMs: number | null } | null
  /** The migrations of the build. */
  expected: readonly string[]
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

/** A provider that fails so often in a row is told; one that refuses the key or the account, at once. */
const failedCalls = 3
const accountCodes: ReadonlySet<string> = new Set(['provider_auth', 'provider_quota'])

/** A sweep may be late by so many periods before it is told, and before the deployment counts as dead. */
export const latePeriods = 2
const deadPeriods = 4

/** The migrations of the build that the database does not have. What a newer build has added is no fault: old code runs on a new schema. */
export function missingMigrations({ database, expected }: Pick<HealthFacts, 'database' | 'expected'>): string[] {
  if (database === null) return []
  const applied = new Set(database.migrations)
  return expected.filter((name) => !applied.has(name))
}

/** Judges the facts (issue "Operate it"): a dead clock is told after 2 periods and fatal after 4; Redis away is degraded, never dead. */
export function judge(facts: HealthFacts): Health {
  const { database, redis, sweepEveryMs } = facts
  const missing = missingMigrations(facts)
  const bad: string[] = []
  const late: string[] = []
  // Its functions are missing, not the database.
  if (database === null && /Could not find the function/.test(facts.why ?? ''))
    bad.push(`The migrations of this build are not applied (${facts.why}): run npm run migrate.`)
  else if (database === null && /^\w+: 40[13] /.test(facts.why ?? ''))
    bad.push(
      `Supabase refuses the key of this deployment (${facts.why}): nothing can be accepted or committed, nothing is lost. Set SUPABASE_SECRET_KEY to a secret key of its project and deploy; npm run doctor says more.`,
    )
  else if (database === null && /^\w+: 402 /.test(facts.why ?? ''))
    bad.push(
      `Supabase has restricted the project (${facts.why}): nothing can be accepted or committed, nothing is lost. Look at its usage and billing in the dashboard.`,
    )
  else if (database === null)
    bad.push(
      `Postgres does not answer (${facts.why ?? 'no reason is known'}): nothing can be accepted or committed, nothing is lost. Look at Supabase's status and whether the project is paused.`,
    )
  if (database?.readOnly === true)
    bad.push(
      'Postgres takes no writes (it is read-only): nothing can be accepted or committed, nothing is lost. Look at its disk first: Supabase makes a project with a full one read-only.',
    )
  if (missing.length > 0) bad.push(`${missing.length} migrations of this build are not applied (${missing[0]} first): run npm run migrate.`)
  if (redis !== null && !redis.connected)
    late.push(
      'Redis does not answer: text arrives step by step, limits are counted in each process, nothing is lost. Look at the database and the plan in the Upstash console.',
    )
  if (database !== null) {
    const { lastSweepAgeMs, oldestDueAgeMs, oldestOutboxAgeMs } = database
    const silent = facts.clock ? (lastSweepAgeMs ?? 0) : 0
    if (silent > latePeriods * sweepEveryMs) {
      const sentence = `The clock (Inngest) has not called for ${seconds(silent)} s and should every ${seconds(sweepEveryMs)} s: what waits is not continued. Look at Inngest's status, the plan's executions and whether the app is synced (/api/inngest).`
      ;(silent > deadPeriods * sweepEveryMs ? bad : late).push(sentence)
    }
    if ((oldestDueAgeMs ?? 0) > latePeriods * sweepEveryMs)
      late.push(
        `A run has been due for ${seconds(oldestDueAgeMs)} s and no executor has taken it: look at Inngest's concurrency and its failed runs.`,
      )
    if ((oldestOutboxAgeMs ?? 0) > latePeriods * sweepEveryMs)
      late.push(
        `The outbox has not been sent for ${seconds(oldestOutboxAgeMs)} s: Inngest does not take events. Look at its status and at INNGEST_EVENT_KEY.`,
      )
    if (database.auditFailures > 0)
      late.push(
        `${database.auditFailures} audit entries could not be written, the last one within a day: look at the disk of Postgres and at baton.audit_failures.`,
      )
    for (const fault of database.providers ?? [])
      if (fault.failures >= failedCalls || accountCodes.has(fault.code)) late.push(providerSentence(fault))
  }
  return { status: bad.length > 0 ? 'unhealthy' : late.length > 0 ? 'degraded' : 'healthy', causes: [...bad, ...late], missing }
}

function providerSentence({ provider, code, failures, sinceMs }: ProviderFault): string {
  const cure =
    code === 'provider_auth'
      ? 'It refuses the key: set a valid one and deploy.'
      : code === 'provider_quota'
        ? 'Its quota is used up: look at its billing.'
        : 'Runs try three times, then the fallback models, then they end: look at its status page and at the way there (npm run doctor).'
  return `The model provider ${provider} has failed ${failures} calls in a row for ${seconds(sinceMs)} s (${code}). ${cure} Afterwards POST /api/runs/retry.`
}

function seconds(ms: number | null): number {
  return Math.round((ms ?? 0) / 1_000)
}
