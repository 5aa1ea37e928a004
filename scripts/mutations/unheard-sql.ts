import type { Mutation } from '#scripts/mutations/mutation'

const migration = (name: string): string => `supabase/migrations/${name}.sql`
const contract = (name: string): Mutation['test'] => ({ file: 'tests/store/contract.test.ts', name })
const edges = (name: string): Mutation['test'] => ({ file: 'tests/store/run-edges.test.ts', name })
const bounds = (name: string): Mutation['test'] => ({ file: 'tests/store/bounds.test.ts', name })
const late = edges('a message that came too late to steer becomes a run with what it brought')
const ended = contract('invariant 11: after its end a run tells nothing: what is settled late is booked alone, also when the agent is gone')
const numbered = contract('invariant 8: what a late settlement tells has a number, and what the run tells next has another')
const keys = bounds('what was set for a key goes with it, and what was set for another stays')
const percentiles: Mutation['test'] = {
  file: 'tests/repair/edges.test.ts',
  name: 'stats: of 21 runs and calls the one in the middle is p50, and one is longer than p95',
}
const starts: Mutation['test'] = {
  file: 'tests/audit/log.test.ts',
  name: 'A81: each start of a call that may happen once or happens outside is an entry, and a denial tells its reason as far as there is room',
}
const locks: Mutation['test'] = {
  file: 'tests/store/rights.test.ts',
  name: 'who waits for a lock gives up before its caller does, who would not know whether it was done',
}
/** A function that waits for locks as long as there are any. */
const waitsFor = (name: string, file: string, seconds: number): Mutation => ({
  name: `${name.replaceAll('_', '-')}-waits-without-end`,
  breaks: 'A51',
  file: migration(file),
  text: `function baton.${name}(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '${seconds}s' as`,
  replacement: `function baton.${name}(p jsonb) returns json language plpgsql set search_path = '' as`,
  test: locks,
})

/** Faults of one line in the SQL that no test noticed when somebody read it for them once more; each has its test since. No build is needed. */
export const unheardSqlMutations: readonly Mutation[] = [
  {
    name: 'late-overrun-takes-a-number-twice',
    breaks: 'I8',
    file: migration('0021_budget_booking'),
    text: `  update baton.agents a set last_event_seq = (w.a).last_event_seq where a.agent_uid = (w.a).agent_uid and a.last_event_seq < (w.a).last_event_seq;\n`,
    replacement: ``,
    test: numbered,
  },
  {
    name: 'late-overrun-is-not-told',
    breaks: 'A81',
    file: migration('0021_budget_booking'),
    text: `if cost > v.micros and baton.is_open((w.r).state) then`,
    replacement: `if false then`,
    test: numbered,
  },
  {
    name: 'late-overrun-told-after-the-end',
    breaks: 'I11',
    file: migration('0021_budget_booking'),
    text: `if cost > v.micros and baton.is_open((w.r).state) then`,
    replacement: `if cost > v.micros then`,
    test: ended,
  },
  {
    name: 'steered-too-late-by-nobody',
    breaks: 'A86',
    file: migration('0003_ends'),
    text: `m.owner_id, m.created_by, 'queued'`,
    replacement: `m.owner_id, null, 'queued'`,
    test: late,
  },
  {
    name: 'steered-too-late-for-nobody',
    breaks: 'A86',
    file: migration('0003_ends'),
    text: `m.owner_id, m.created_by, 'queued'`,
    replacement: `null, m.created_by, 'queued'`,
    test: late,
  },
  {
    name: 'steered-too-late-tells-nobody',
    breaks: 'I11',
    file: migration('0003_ends'),
    text: `m.metadata, m.webhook, (w.a).settings ->> 'templateVersion')`,
    replacement: `m.metadata, null, (w.a).settings ->> 'templateVersion')`,
    test: late,
  },
  {
    name: 'steered-too-late-loses-its-limits',
    breaks: 'A84',
    file: migration('0003_ends'),
    text: `'queued', m.limits, m.metadata,`,
    replacement: `'queued', (w.a).settings -> 'limits', m.metadata,`,
    test: late,
  },
  {
    name: 'users-read-the-webhooks-of-the-tenant',
    breaks: 'A86',
    file: migration('0008_agents_and_pages'),
    text: `case when p ? 'ownOnly' then '[]' else (select coalesce(json_agg(json_build_object('id', d.id`,
    replacement: `case when false then '[]' else (select coalesce(json_agg(json_build_object('id', d.id`,
    test: { file: 'tests/webhooks/endpoints.test.ts', name: 'a user reads of their run, and not where the tenant is told of it' },
  },
  {
    name: 'run-before-this-one-came-later',
    breaks: 'A3',
    file: migration('0008_agents_and_pages'),
    text: `b.run_id < r.run_id)`,
    replacement: `b.run_id <> r.run_id)`,
    test: { file: 'tests/store/work.test.ts', name: 'a run names the one before it, whatever came after' },
  },
  {
    name: 'run-waits-for-the-gate-of-elsewhere',
    breaks: 'A54',
    file: migration('0008_agents_and_pages'),
    text: `from baton.gates g where g.environment = a.environment and g.model`,
    replacement: `from baton.gates g where g.model`,
    test: edges('the gate of another environment closes nothing here'),
  },
  {
    name: 'places-of-a-user-counted-without-a-lock',
    breaks: 'A12',
    file: migration('0015_limits'),
    text: `  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('baton:runs:' || (w.a).tenant_id || ':' || owner, 0));\n`,
    replacement: ``,
    test: {
      file: 'tests/store/limits.test.ts',
      name: 'A12: a start of a user waits for one of theirs that is not over yet before it counts their places',
    },
  },
  {
    name: 'dead-keys-fill-the-limits',
    breaks: 'A64',
    file: migration('0019_keys'),
    text: `  delete from baton.limits l where l.scope = any (array(select 'key:' || d from unnest(dead) d));\n`,
    replacement: ``,
    test: keys,
  },
  {
    name: 'dead-keys-fill-the-budgets',
    breaks: 'I9',
    file: migration('0019_keys'),
    text: `  delete from baton.budgets b where b.environment = env and b.scope = any (array(select 'key:' || d from unnest(dead) d));\n`,
    replacement: ``,
    test: keys,
  },
  {
    name: 'cancelled-in-the-queue-at-no-time',
    breaks: 'I11',
    file: migration('0003_ends'),
    text: `  w.r.ended_at := baton.clock();\n  -- Readers of the run begin here`,
    replacement: `  -- Readers of the run begin here`,
    test: edges('a run that ends before it began, or without an executor, tells its readers from where and why'),
  },
  waitsFor('stop', '0003_ends', 5),
  waitsFor('settle', '0021_budget_booking', 5),
  waitsFor('delete_agent', '0008_agents_and_pages', 5),
  waitsFor('claim', '0005_claim', 5),
  waitsFor('renew', '0005_claim', 5),
  waitsFor('commit_step', '0006_commit', 5),
  waitsFor('retry_run', '0005_claim', 3),
  waitsFor('put_budget', '0022_budget_pages', 5),
  waitsFor('set_switch', '0027_switching', 5),
  {
    name: 'resumed-tells-of-calls-that-may-run-again',
    breaks: 'I4',
    file: migration('0005_claim'),
    text: `c.state = 'executing' and c.effect = 'once')));`,
    replacement: `c.state = 'executing')));`,
    test: contract('invariant 4: who takes over tells which calls may have happened: those at work that may happen once, and no others'),
  },
  {
    name: 'outside-calls-leave-no-entry',
    breaks: 'A81',
    file: migration('0006_commit'),
    text: `c.effect in ('once', 'external') and not`,
    replacement: `c.effect = 'once' and not`,
    test: starts,
  },
  {
    name: 'webhook-with-a-whole-book',
    breaks: 'A34',
    file: migration('0014_webhooks'),
    text: `left((w.r).output, 2000)`,
    replacement: `(w.r).output`,
    test: { file: 'tests/webhooks/endpoints.test.ts', name: 'an event carries the first 2,000 characters of the answer' },
  },
  {
    name: 'slowest-runs-are-the-middle-ones',
    breaks: 'A20',
    file: migration('0026_export_and_reports'),
    text: `percentile_cont(0.95) within group (order by m.ms)`,
    replacement: `percentile_cont(0.5) within group (order by m.ms)`,
    test: percentiles,
  },
  {
    name: 'slowest-calls-are-the-middle-ones',
    breaks: 'A20',
    file: migration('0026_export_and_reports'),
    text: `percentile_cont(0.95) within group (order by extract(epoch from c.ended_at`,
    replacement: `percentile_cont(0.5) within group (order by extract(epoch from c.ended_at`,
    test: percentiles,
  },
  {
    name: 'reason-without-end-in-the-audit',
    breaks: 'A81',
    file: migration('0009_audit'),
    text: `left(e ->> 'reason', 500)`,
    replacement: `e ->> 'reason'`,
    test: starts,
  },
  {
    name: 'reason-without-end-in-the-inbox',
    breaks: 'A34',
    file: migration('0013_approvals'),
    text: `left(g ->> 'reason', 500)`,
    replacement: `g ->> 'reason'`,
    test: { file: 'tests/approvals/edges.test.ts', name: 'of a long reason the inbox keeps the first 500 characters' },
  },
]
