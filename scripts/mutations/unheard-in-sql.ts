import type { Mutation } from '#scripts/mutations/mutation'

const migration = (name: string): string => `supabase/migrations/${name}.sql`
const store = (file: string, name: string): Mutation['test'] => ({ file: `tests/store/${file}.test.ts`, name })
const values = store(
  'tool-writes',
  'each agent has its own values, also under keys that another uses: what one takes away stays in the other',
)
const twoTenants = store(
  'apart',
  'invariant 1: operators of one name in two tenants may have the same key; each finds the run of their own',
)
const refusedKey = store('apart', 'invariant 1: a key whose request is refused in one tenant is kept in another')
const bulk = store(
  'apart',
  'invariant 1: operators of one name in two tenants may have the same key for a bulk retry; each is told of their own runs',
)
const money = store('apart', 'invariant 9: a limit of all tenants holds in its environment alone, and counts nothing of another')
const asleep = store('apart', 'a limit of all tenants that is changed wakes no run of another environment')
const levels = store('budget-tools', 'a threshold of a limit of %s is told like one of money')
const same = store('budget-waits', 'invariant 7: a run sleeps for a limit of %s while that limit is the same')
const ofTwo = store('limits', 'a user of two tenants has as many runs and agents in each as that one gives them')
const environments = store('apart', 'two environments on one database: nothing is changed, counted, exported or erased across')

/** Clauses of the SQL that no test missed when somebody took one after the other away: most keep two tenants or two environments apart. */
export const unheardInSqlMutations: readonly Mutation[] = [
  {
    name: 'value-taken-from-every-agent',
    breaks: 'A86',
    file: migration('0006_commit'),
    text: `where s.agent_uid = (w.a).agent_uid and h -> 'removed' ? s.key;`,
    replacement: `where h -> 'removed' ? s.key;`,
    test: values,
  },
  {
    name: 'opened-with-the-values-of-all',
    breaks: 'A86',
    file: migration('0004_open'),
    text: `from baton.agent_state s where s.agent_uid = (w.a).agent_uid)));`,
    replacement: `from baton.agent_state s)));`,
    test: values,
  },
  {
    name: 'key-found-in-any-tenant',
    breaks: 'I1',
    file: migration('0004_open'),
    text: `i where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = p -> 'idempotency' ->> 'key';\n  if k.hash`,
    replacement: `i where i.caller = baton.line_of(p) and i.key = p -> 'idempotency' ->> 'key';\n  if k.hash`,
    test: twoTenants,
  },
  {
    name: 'key-kept-in-every-tenant',
    breaks: 'I1',
    file: migration('0004_open'),
    text: `from_seq = (answer ->> 'fromSeq')::bigint\n    where i.tenant_id = p ->> 'tenant' and i.caller`,
    replacement: `from_seq = (answer ->> 'fromSeq')::bigint\n    where i.caller`,
    test: twoTenants,
  },
  {
    name: 'refused-key-goes-in-every-tenant',
    breaks: 'I1',
    file: migration('0004_open'),
    text: `delete from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller`,
    replacement: `delete from baton.idempotency i where i.caller`,
    test: refusedKey,
  },
  {
    name: 'bulk-retry-found-in-any-tenant',
    breaks: 'I1',
    file: migration('0027_switching'),
    text: `select * into k from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller`,
    replacement: `select * into k from baton.idempotency i where i.caller`,
    test: bulk,
  },
  {
    name: 'bulk-retry-kept-in-every-tenant',
    breaks: 'I1',
    file: migration('0027_switching'),
    text: `set chosen = pairs where i.tenant_id = p ->> 'tenant' and i.caller`,
    replacement: `set chosen = pairs where i.caller`,
    test: bulk,
  },
  {
    name: 'limits-of-every-environment',
    breaks: 'I9',
    file: migration('0011_budgets'),
    text: `join baton.budgets b on b.environment = env and b.tenant_id = case`,
    replacement: `join baton.budgets b on b.tenant_id = case`,
    test: money,
  },
  {
    name: 'counted-in-every-environment',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `from baton.reservations v where v.environment = env and (kind = 'global'`,
    replacement: `from baton.reservations v where (kind = 'global'`,
    test: money,
  },
  {
    name: 'wakes-in-every-environment',
    breaks: 'I7',
    file: migration('0022_budget_pages'),
    text: `where r.environment = env and (tenant = '' or r.tenant_id = tenant) and r.wait_kind = 'budget'\n`,
    replacement: `where (tenant = '' or r.tenant_id = tenant) and r.wait_kind = 'budget'\n`,
    test: asleep,
  },
  {
    name: 'threshold-of-tokens-is-not-told',
    breaks: 'A20',
    file: migration('0021_budget_booking'),
    text: `, c.tokens::numeric / nullif(c.limit_tokens, 0), c.calls`,
    replacement: `, c.calls`,
    test: levels,
  },
  {
    name: 'threshold-of-calls-is-not-told',
    breaks: 'A20',
    file: migration('0021_budget_booking'),
    text: `, c.calls::numeric / nullif(c.limit_calls, 0));`,
    replacement: `);`,
    test: levels,
  },
  {
    name: 'sleeps-for-tokens-of-another-limit',
    breaks: 'I7',
    file: migration('0022_budget_pages'),
    text: `\n      and l.limit_tokens is not distinct from coalesce((refusal ->> 'limitTokens')::bigint, l.limit_tokens)`,
    replacement: ``,
    test: same,
  },
  {
    name: 'sleeps-for-calls-of-another-limit',
    breaks: 'I7',
    file: migration('0022_budget_pages'),
    text: `\n      and l.limit_calls is not distinct from coalesce((refusal ->> 'limitCalls')::bigint, l.limit_calls));`,
    replacement: `);`,
    test: same,
  },
  {
    name: 'retry-of-a-template-that-is-closed',
    breaks: 'A86',
    file: migration('0005_claim'),
    text: `coalesce(baton.template_refusal(p, (w.a).settings), baton.concurrency_refusal(w, p)`,
    replacement: `coalesce(baton.concurrency_refusal(w, p)`,
    test: store('work', 'a user goes on from a run of theirs only while its template is open to users'),
  },
  {
    name: 'files-come-back-with-any-retry',
    breaks: 'I11',
    file: migration('0003_ends'),
    text: `if not refused and ((w.r).retry_of is null or (w.r).state <> 'completed') then return; end if;`,
    replacement: `if not refused and (w.r).retry_of is null then return; end if;`,
    test: store('open', 'files of a run that the provider has refused are notes to other runs until a retry of it goes well'),
  },
  {
    name: 'places-of-a-user-in-every-tenant',
    breaks: 'A12',
    file: migration('0015_limits'),
    text: `where r.tenant_id = (w.a).tenant_id and r.owner_id = (w.a).owner_id and r.state in`,
    replacement: `where r.owner_id = (w.a).owner_id and r.state in`,
    test: ofTwo,
  },
  {
    name: 'agents-of-a-user-in-every-tenant',
    breaks: 'A12',
    file: migration('0003_ends'),
    text: `where a.owner_id = owner and a.tenant_id || '' = p ->> 'tenant' limit most`,
    replacement: `where a.owner_id = owner limit most`,
    test: ofTwo,
  },
  {
    name: 'patched-in-another-environment',
    breaks: 'A86',
    file: migration('0008_agents_and_pages'),
    text: `where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and x.id = p ->> 'agent'\n    and baton.may_see(p, x.agent_uid, x.owner_id) returning`,
    replacement: `where x.tenant_id = p ->> 'tenant' and x.id = p ->> 'agent'\n    and baton.may_see(p, x.agent_uid, x.owner_id) returning`,
    test: environments,
  },
  {
    name: 'usage-of-another-environment',
    breaks: 'A86',
    file: migration('0022_budget_pages'),
    text: `from baton.reservations x where x.environment = p ->> 'environment' and x.tenant_id`,
    replacement: `from baton.reservations x where x.tenant_id`,
    test: environments,
  },
  {
    name: 'stats-of-another-environment',
    breaks: 'A86',
    file: migration('0026_export_and_reports'),
    text: `from baton.runs r where r.environment = p ->> 'environment' and r.tenant_id = p ->> 'tenant' and r.created_at`,
    replacement: `from baton.runs r where r.tenant_id = p ->> 'tenant' and r.created_at`,
    test: environments,
  },
  {
    name: 'export-of-another-environment',
    breaks: 'A86',
    file: migration('0026_export_and_reports'),
    text: `where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and (after is null`,
    replacement: `where x.tenant_id = p ->> 'tenant' and (after is null`,
    test: environments,
  },
  {
    name: 'erased-in-another-environment',
    breaks: 'A86',
    file: migration('0020_retention'),
    text: `where x.tenant_id = of_tenant and x.environment = env and (whole`,
    replacement: `where x.tenant_id = of_tenant and (whole`,
    test: environments,
  },
  {
    name: 'last-answer-takes-in-what-it-cannot-answer',
    breaks: 'I11',
    file: migration('0006_commit'),
    text: ` and not i -> 'end' ? 'last')`,
    replacement: `)`,
    test: store('engine-steered', 'steered into the answer of a run without %s left it becomes the next run, and the answer stands'),
  },
]
