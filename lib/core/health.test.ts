import { expect, test } from 'vitest'
import { judge, type HealthFacts } from '#lib/core/health'

const database = {
  latencyMs: 3,
  lastSweepAgeMs: 1_000,
  oldestDueAgeMs: null,
  oldestOutboxAgeMs: null,
  migrations: ['0001.sql', '0002.sql'],
  auditFailures: 0,
  providers: [],
}
const well: HealthFacts = {
  database,
  why: null,
  redis: { connected: true, latencyMs: 1 },
  expected: ['0001.sql', '0002.sql'],
  sweepEveryMs: 300_000,
  clock: true,
}
const queue = (changes: Partial<typeof database> | object): HealthFacts => ({ ...well, database: { ...database, ...changes } })

test.each<[string, HealthFacts, string, RegExp | null]>([
  ['all is well', well, 'healthy', null],
  ['a database that is away', { ...well, database: null, why: 'no answer within 2 s' }, 'unhealthy', /Postgres.*no answer within 2 s/],
  [
    'a database without any migration',
    { ...well, database: null, why: 'baton_health: Could not find the function public.baton_health(p) in the schema cache' },
    'unhealthy',
    /^The migrations of this build are not applied.*npm run migrate/,
  ],
  [
    'a key that Supabase refuses',
    { ...well, database: null, why: 'baton_health: 401 PGRST301 JWSError JWSInvalidSignature' },
    'unhealthy',
    /^Supabase refuses the key.*Set SUPABASE_SECRET_KEY/,
  ],
  [
    'a key of a role that may call nothing',
    { ...well, database: null, why: 'baton_health: 403 42501 permission denied for function baton_health' },
    'unhealthy',
    /^Supabase refuses the key.*Set SUPABASE_SECRET_KEY/,
  ],
  [
    'a project that is restricted',
    { ...well, database: null, why: 'baton_health: 402 exceed_egress_quota' },
    'unhealthy',
    /^Supabase has restricted the project.*billing/,
  ],
  ['a database without room', queue({ readOnly: true }), 'unhealthy', /takes no writes.*disk/],
  ['Redis away', { ...well, redis: { connected: false, latencyMs: null } }, 'degraded', /Redis/],
  ['no Redis at all', { ...well, redis: null }, 'healthy', null],
  ['a sweep of exactly 2 periods', queue({ lastSweepAgeMs: 600_000 }), 'healthy', null],
  ['a clock that is late', queue({ lastSweepAgeMs: 600_001 }), 'degraded', /Inngest.*600 s.*every 300 s/],
  ['a sweep of exactly 4 periods', queue({ lastSweepAgeMs: 1_200_000 }), 'degraded', /Inngest.*1200 s/],
  ['a clock that is dead', queue({ lastSweepAgeMs: 1_200_001 }), 'unhealthy', /Inngest.*1200 s/],
  ['a deployment without a clock', { ...queue({ lastSweepAgeMs: 9e9 }), clock: false }, 'healthy', null],
  ['a clock that was never due', queue({ lastSweepAgeMs: null }), 'healthy', null],
  ['a run that is due for 2 periods', queue({ oldestDueAgeMs: 600_000 }), 'healthy', null],
  ['an outbox of 2 periods', queue({ oldestOutboxAgeMs: 600_000 }), 'healthy', null],
  ['a run that nobody takes', queue({ oldestDueAgeMs: 700_000 }), 'degraded', /due for 700 s/],
  ['an outbox that is not taken', queue({ oldestOutboxAgeMs: 700_000 }), 'degraded', /outbox/],
  ['a migration that is missing', { ...well, expected: ['0001.sql', '0002.sql', '0003.sql'] }, 'unhealthy', /npm run migrate/],
  ['no ledger', queue({ migrations: null }), 'unhealthy', /2 migrations/],
  ['old code on a newer schema', { ...well, expected: ['0001.sql'] }, 'healthy', null],
  [
    'a provider that fails again and again',
    queue({ providers: [{ provider: 'anthropic', code: 'provider_unavailable', failures: 3, sinceMs: 4_000 }] }),
    'degraded',
    /anthropic has failed 3 calls.*status page/,
  ],
  [
    'a provider that failed twice',
    queue({ providers: [{ provider: 'x', code: 'provider_timeout', failures: 2, sinceMs: 1 }] }),
    'healthy',
    null,
  ],
  [
    'a key that is refused',
    queue({ providers: [{ provider: 'x', code: 'provider_auth', failures: 1, sinceMs: 1 }] }),
    'degraded',
    /refuses the key/,
  ],
  [
    'an account that is used up, at its first refusal',
    queue({ providers: [{ provider: 'x', code: 'provider_quota', failures: 1, sinceMs: 1 }] }),
    'degraded',
    /quota is used up: look at its billing/,
  ],
  ['missing audit entries', queue({ auditFailures: 2 }), 'degraded', /2 audit entries/],
])('%s', (_name, facts, status, cause) => {
  const health = judge(facts)
  expect(health.status).toBe(status)
  if (cause === null) expect(health.causes).toEqual([])
  else expect(health.causes.join('\n')).toMatch(cause)
})

test('what does not work at all is named before what is late, and each missing migration by its name', () => {
  const facts = {
    ...queue({ readOnly: true }),
    redis: { connected: false, latencyMs: null },
    expected: ['0001.sql', '0003.sql', '0004.sql'],
  }
  const { causes, missing } = judge(facts)
  expect(causes.map((cause) => /read-only|migrations|Redis/.exec(cause)?.[0])).toEqual(['read-only', 'migrations', 'Redis'])
  expect(missing).toEqual(['0003.sql', '0004.sql'])
})
