import type { Mutation } from '#scripts/mutations/mutation'

const migration = (name: string): string => `supabase/migrations/${name}.sql`
const bounds = (name: string): Mutation['test'] => ({ file: 'tests/store/bounds.test.ts', name })
const repair = (name: string): Mutation['test'] => ({ file: 'tests/repair/edges.test.ts', name })
const watch = (name: string): Mutation['test'] => ({ file: 'tests/watch/edges.test.ts', name })

/** Faults of the SQL beside the work itself: audit, alerts, metrics, exports, repairs, keys, limits. Nothing noticed them when they were planted for the first time. No build is needed. */
export const foundInReportsMutations: readonly Mutation[] = [
  {
    name: 'free-text-of-the-audit-goes-any-time',
    breaks: 'A81',
    file: migration('0009_audit'),
    text: `and (exists (select from baton.tenants t where t.id = old.tenant_id and t.erasing) or old.agent_id is not null`,
    replacement: `and (true or old.agent_id is not null`,
    test: {
      file: 'tests/audit/log.test.ts',
      name: 'nobody changes, removes or empties the log: no role, not the service key, not its owner',
    },
  },
  {
    name: 'refusals-told-by-another-environment',
    breaks: 'A81',
    file: migration('0009_audit'),
    text: `x.hash = env and `,
    replacement: ``,
    test: bounds('refusals that were counted are told by the retention of their own environment, into its own log'),
  },
  {
    name: 'revoked-key-lets-somebody-in',
    breaks: 'A86',
    file: migration('0010_callers'),
    text: `k.environment = p ->> 'environment' and k.revoked_at is null and baton.key_live(k)`,
    replacement: `k.environment = p ->> 'environment'`,
    test: bounds('a place without a key that lets anybody in is said to have none: revoked and expired ones open nothing'),
  },
  {
    name: 'tenant-of-another-environment-is-there',
    breaks: 'A86',
    file: migration('0010_callers'),
    text: `where t.id = p ->> 'id' and t.environment = p ->> 'environment'`,
    replacement: `where t.id = p ->> 'id'`,
    test: bounds('a place without a key that lets anybody in is said to have none: revoked and expired ones open nothing'),
  },
  {
    name: 'a-thousand-and-one-limits',
    breaks: 'A64',
    file: migration('0015_limits'),
    text: `>= 1000 then`,
    replacement: `> 1000 then`,
    test: bounds('limits are set for a thousand scopes and no more; one that is set already may be set anew'),
  },
  {
    name: 'revoked-key-kept-to-its-end',
    breaks: 'A86',
    file: migration('0019_keys'),
    text: `coalesce(least(k.revoked_at, k.expires_at), k.revoked_at, k.expires_at) < before`,
    replacement: `coalesce(k.expires_at, k.revoked_at) < before`,
    test: bounds('a key that was revoked long before its end is as old as its revocation'),
  },
  {
    name: 'completed-run-retried-in-bulk',
    breaks: 'I11',
    file: migration('0027_switching'),
    text: `        and r.state in ('failed', 'cancelled', 'killed', 'budget_exceeded', 'expired')\n`,
    replacement: ``,
    test: bounds('a run that has completed is retried by no bulk, whatever reason for its stop is asked for'),
  },
  {
    name: 'held-run-repaired',
    breaks: 'I10',
    file: migration('0028_consistency'),
    text: ` and not (r.wait_kind is not distinct from 'hold')`,
    replacement: ``,
    test: repair('a run that is held waits for somebody to lift that: it is not stuck, and no repair lets it go on'),
  },
  {
    name: 'queue-not-exported',
    breaks: 'I1',
    file: migration('0026_export_and_reports'),
    text: `'message', 'queued_message', 'tool_call'`,
    replacement: `'message', 'tool_call'`,
    test: repair('an export has what waits in the queue, too'),
  },
  {
    name: 'denied-calls-counted-as-failed',
    breaks: 'A36',
    file: migration('0026_export_and_reports'),
    text: `filter (where c.state = 'denied') as denied`,
    replacement: `filter (where c.state = 'failed') as denied`,
    test: repair('stats count calls by what became of them, and what a user is told is of their own agents'),
  },
  {
    name: 'user-told-of-all-agents-in-stats',
    breaks: 'A86',
    file: migration('0026_export_and_reports'),
    text: `and a.environment = p ->> 'environment'\n        and (not p ? 'ownOnly' or a.owner_id = (p ->> 'ownerId')::uuid) and`,
    replacement: `and a.environment = p ->> 'environment'\n        and`,
    test: repair('stats count calls by what became of them, and what a user is told is of their own agents'),
  },
  {
    name: 'secret-that-is-over-shown',
    breaks: 'A34',
    file: migration('0024_webhook_endpoints'),
    text: ` where s.value ->> 'until' is null or (s.value ->> 'until')::timestamptz > baton.clock()),\n    'createdBy'`,
    replacement: `),\n    'createdBy'`,
    test: {
      file: 'tests/webhooks/endpoints.test.ts',
      name: 'a rotated secret: both sign during the overlap, the new one alone after it, and never more than two',
    },
  },
  {
    name: 'clock-that-never-called-is-well',
    breaks: 'I7',
    file: migration('0018_health'),
    text: `coalesce(s.cron_at, s.since)`,
    replacement: `s.cron_at`,
    test: watch('a clock that has never called is as late as the first work that it should have looked for is old'),
  },
  {
    name: 'used-up-account-clears-its-provider',
    breaks: 'A54',
    file: migration('0018_health'),
    text: `'provider_auth', 'provider_quota') then\n    if exists`,
    replacement: `'provider_auth') then\n    if exists`,
    test: watch('an account that is used up fails its provider, as a refused key does; a request that was wrong says nothing of it'),
  },
  {
    name: 'line-raised-again-taken-for-told',
    breaks: 'I12',
    file: migration('0018_health'),
    text: `set pending = coalesce(a.raised_at > a.told_at, false), taken_at`,
    replacement: `set pending = false, taken_at`,
    test: watch('a line that was raised again since it was given is told again, though the first telling was confirmed after it'),
  },
  {
    name: 'series-without-a-bound',
    breaks: 'I8',
    file: migration('0017_metrics'),
    text: `      where room or exists`,
    replacement: `      where true or exists`,
    test: watch('of more series than an environment may have none is made new, and those that stand go on'),
  },
]
