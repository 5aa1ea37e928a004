import type { Mutation } from '#scripts/mutations/mutation'

const budgets = 'tests/store/budget-edges.test.ts'
const burst = 'the end of what was refused again and again is told by retention, once, and its count goes with no row'
const past = 'what a run reads does not grow with the past of its agent, whatever the planner believed when it made its plans'
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults that stood in the SQL until somebody read it for them; each has its test since. No build is needed. */
export const foundInSqlMutations: readonly Mutation[] = [
  {
    name: 'wait-cut-short-hides-the-next-run',
    breaks: 'I7',
    file: migration('0007_sweep'),
    text: `(a.continued_at between now_at - resend and now_at + resend) is not true`,
    replacement: `(a.continued_at is null or a.continued_at <= now_at - resend)`,
    test: {
      file: 'tests/store/sweep.test.ts',
      name: 'invariant 7: a run that dies is swept, also where a run before it waited for something far away and was cancelled',
    },
  },
  {
    name: 'deleted-agent-lives-on-in-a-webhook',
    breaks: 'A7',
    file: migration('0020_retention'),
    text: `  w.r := null;\n  w.a.webhook := null;\n  if w.money`,
    replacement: `  if w.money`,
    test: {
      file: 'tests/webhooks/queue.test.ts',
      name: 'a threshold that a deletion passes is told with ids and amounts alone, and to nobody but the tenant',
    },
  },
  {
    name: 'deleted-budget-stands-beside-its-counter',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `  perform baton.rebuild_counters(env, tenant, target, s) from unnest(spans) s;\n`,
    replacement: ``,
    test: { file: budgets, name: 'nothing is told of a budget that was deleted, and the limit that applies in its place is told at once' },
  },
  {
    name: 'raised-limit-of-all-tells-nothing',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `  update baton.budget_counters c set told = baton.threshold(c) where c.key = any (keys) and c.told > baton.threshold(c);\n`,
    replacement: ``,
    test: { file: budgets, name: 'a limit of all agents that is raised has thresholds of its own, also for what was reserved before' },
  },
  {
    name: 'limit-of-all-beside-who-has-their-own',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: ` and not exists (select from baton.budgets o\n      where o.environment = env and o.tenant_id = tenant and o.scope = c.scope and o.period = span))), b);`,
    replacement: `)), b);`,
    test: { file: budgets, name: 'a limit of all agents that is raised has thresholds of its own, also for what was reserved before' },
  },
  {
    name: 'erased-user-keeps-the-limit-of-a-counter',
    breaks: 'I9',
    file: migration('0020_retention'),
    text: `    perform baton.drop_budgets(env, of_tenant, p ->> 'scope', null);`,
    replacement: `    delete from baton.budgets b where b.environment = env and b.tenant_id = of_tenant and b.scope = p ->> 'scope';`,
    test: {
      file: 'tests/store/bounds.test.ts',
      name: 'deleting a user takes their budgets with them, and who waits for room looks again when a budget goes',
    },
  },
  {
    name: 'bootstrap-keeps-what-it-made-to-itself',
    breaks: 'I3',
    file: migration('0019_keys'),
    text: `secret_made := t.webhook_secret is not distinct from p ->> 'secret'`,
    replacement: `secret_made := false`,
    test: {
      file: 'tests/store/callers.test.ts',
      name: 'a bootstrap whose reply is lost shows the key and the secret that it has made, for nobody can show them later',
    },
  },
  {
    name: 'refused-file-is-asked-with-again',
    breaks: 'I8',
    file: migration('0003_ends'),
    text: `  perform baton.mark_files(w);\n`,
    replacement: ``,
    test: {
      file: 'tests/store/open.test.ts',
      name: 'files of a run that the provider has refused are notes to other runs until a retry of it goes well',
    },
  },
  {
    name: 'retry-without-its-refused-files',
    breaks: 'I8',
    file: migration('0003_ends'),
    text: `m.files_refused and m.run_id is distinct from whole then`,
    replacement: `m.files_refused then`,
    test: {
      file: 'tests/store/open.test.ts',
      name: 'files of a run that the provider has refused are notes to other runs until a retry of it goes well',
    },
  },
  {
    name: 'idle-agents-go-without-a-bound',
    breaks: 'A7',
    file: migration('0020_retention'),
    text: `  while cardinality(remaining) > 0 and clock_timestamp() < until loop`,
    replacement: `  while cardinality(remaining) > 0 loop`,
    test: {
      file: 'tests/repair/retention.test.ts',
      name: 'idle agents go for two seconds in one call, whatever each takes; the others are left for the next',
    },
  },
  {
    name: 'idle-agent-stops-all-retention',
    breaks: 'A7',
    file: 'lib/jobs/retention.ts',
    text: `        if (asked.length === 1) {`,
    replacement: `        if (asked.length > 0) {`,
    test: {
      file: 'lib/jobs/retention.test.ts',
      name: 'an idle agent that cannot be deleted, or rows that cannot, stop nothing else, and are told',
    },
  },
  {
    name: 'deleted-counters-are-not-counted',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `'counters', counters)`,
    replacement: `'counters', 0)`,
    test: {
      file: 'tests/repair/retention.test.ts',
      name: 'counters of budgets that are past their time go until none is left, though nothing else is',
    },
  },
  {
    name: 'restored-rights-stay-open',
    breaks: 'A86',
    file: 'supabase/migrate.ts',
    text: `    await whenFree(patience, () => inTransaction(client, waitMs, () => grantAgain(client)))\n`,
    replacement: ``,
    test: {
      file: 'tests/store/rights.test.ts',
      name: 'after a dump was restored where everybody is granted what is new in public, a migration with nothing to apply takes it away again',
    },
  },
  {
    name: 'rights-of-the-signed-in-unseen',
    breaks: 'A86',
    file: migration('0026_export_and_reports'),
    text: ` or pg_catalog.has_function_privilege('authenticated', f.oid, 'execute')`,
    replacement: ``,
    test: {
      file: 'tests/store/rights.test.ts',
      name: 'after a dump was restored where everybody is granted what is new in public, a migration with nothing to apply takes it away again',
    },
  },
  {
    name: 'scrape-reads-the-whole-backlog',
    breaks: 'A51',
    file: migration('0018_health'),
    text: ` order by x.id limit 10000) d`,
    replacement: `) d`,
    test: {
      file: 'tests/watch/store.test.ts',
      name: 'a backlog of counts is told up to a bound, is added up in pieces beside the work and by retention, and nothing of it is lost',
    },
  },
  {
    name: 'counts-wait-for-a-scrape',
    breaks: 'A51',
    file: migration('0017_metrics'),
    text: `  perform baton.fold_metrics(p ->> 'environment', interval '1 second');\n`,
    replacement: ``,
    test: {
      file: 'tests/watch/store.test.ts',
      name: 'a backlog of counts is told up to a bound, is added up in pieces beside the work and by retention, and nothing of it is lost',
    },
  },
  {
    name: 'slow-counts-are-a-dead-database',
    breaks: 'A51',
    file: 'lib/api/metrics.ts',
    text: `    if (answers) parts[0] = up('postgres', true)\n`,
    replacement: ``,
    test: {
      file: 'lib/api/metrics.test.ts',
      name: 'counts that do not come in time are no sign that the database is away where it answers otherwise',
    },
  },
  {
    name: 'refused-redelivery-holds-what-is-enabled-beside-it',
    breaks: 'I11',
    file: migration('0024_webhook_endpoints'),
    text: `x.run_id = p ->> 'runId' end;\n`,
    replacement: `x.run_id = p ->> 'runId' end for update;\n`,
    test: {
      file: 'tests/webhooks/queue.test.ts',
      name: 'a redelivery that is refused holds nothing: an endpoint that is enabled meanwhile gets what waits',
    },
  },
  {
    name: 'end-of-a-burst-of-refusals-is-told-by-nobody',
    breaks: 'A86',
    file: migration('0020_retention'),
    text: `  perform baton.tell_refusals(env, most);\n`,
    replacement: ``,
    test: { file: 'tests/store/sweep.test.ts', name: burst },
  },
  {
    name: 'count-of-refusals-goes-with-its-row',
    breaks: 'A86',
    file: migration('0020_retention'),
    text: `      and (i.caller = 'baton:refused' and i.chosen ? 'entry') is not true\n`,
    replacement: ``,
    test: { file: 'tests/store/sweep.test.ts', name: burst },
  },
  {
    name: 'deletion-of-a-day-loses-its-count',
    breaks: 'A7',
    file: migration('0026_export_and_reports'),
    text: `, created_at = baton.clock() returning`,
    replacement: ` returning`,
    test: {
      file: 'tests/repair/edges.test.ts',
      name: 'a deletion in pieces is in the audit from its first piece on, and its end has the number of agents',
    },
  },
  {
    name: 'owners-see-what-the-sweeper-notes',
    breaks: 'A86',
    file: migration('0030_rpc_and_grants'),
    text: `'past_slices', 'resends', 'resend_at')`,
    replacement: `'past_slices')`,
    test: {
      file: 'tests/store/rights.test.ts',
      name: 'a user reads what is theirs through the views and nothing else; every table has row level security',
    },
  },
  {
    name: 'column-comes-files-after-what-stores-it',
    breaks: 'I7',
    file: migration('0002_work'),
    text: `alter table baton.runs add column if not exists resend_at timestamptz;`,
    replacement: `do $$ begin if to_regclass('baton.audit') is null then alter table baton.runs add column if not exists resend_at timestamptz; end if; end $$;`,
    test: {
      file: 'tests/store/work.test.ts',
      name: 'between two files of an upgrade work goes on: what the verbs store has its columns with them',
    },
  },
  {
    name: 'total-of-a-tool-that-is-gone-stays',
    breaks: 'A51',
    file: migration('0020_retention'),
    text: `  delete from baton.metric_totals t where t.environment = env and t.updated_at < now_at - interval '90 days';\n`,
    replacement: ``,
    test: {
      file: 'tests/watch/store.test.ts',
      name: 'a total that nothing is added to for 90 days goes by retention, and by nothing else',
    },
  },
  {
    name: 'calls-of-a-list-read-all-calls',
    breaks: 'A4',
    file: migration('0002_work'),
    text: `cross join lateral (select * from baton.tool_calls x where x.agent_uid = uid and x.call_id = i.x limit 1) t order`,
    replacement: `join baton.tool_calls t on t.agent_uid = uid and t.call_id = i.x order`,
    test: { file: 'tests/store/long-past.test.ts', name: past },
  },
  {
    name: 'two-indexes-begin-with-the-agent',
    breaks: 'A4',
    file: migration('0001_tables'),
    text: `tool_calls_by_run on baton.tool_calls (run_id, step, index)`,
    replacement: `tool_calls_by_run on baton.tool_calls (agent_uid, run_id, step, index)`,
    test: { file: 'tests/store/long-past.test.ts', name: past },
  },
  {
    name: 'page-of-messages-read-from-all',
    breaks: 'A4',
    file: migration('0008_agents_and_pages'),
    text: `from baton.messages m where m.agent_uid = uid and m.seq = any (asked)`,
    replacement: `from unnest(asked) n(seq) join baton.messages m on m.agent_uid = uid and m.seq = n.seq`,
    test: { file: 'tests/store/long-past.test.ts', name: past },
  },
]
