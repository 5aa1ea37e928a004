import type { Mutation } from '#scripts/mutations/mutation'

const late = 'tests/store/engine-late.test.ts'
const strangers = 'tests/access/tenants.test.ts'
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults against single sentences that had no test of their own when the cases and invariants were read sentence by sentence. */
export const sentenceMutations: readonly Mutation[] = [
  {
    name: 'lease-of-open-counts-from-its-answer',
    breaks: 'I2',
    file: 'lib/engine/open.ts',
    text: `return { answer, asked, reserve:`,
    replacement: `return { answer, asked: { monotonic: clock.monotonic(), wall: clock.now() }, reserve:`,
    test: { file: late, name: 'invariant 2: a lease counts from before its %s was sent' },
  },
  {
    name: 'lease-of-claim-counts-from-its-answer',
    breaks: 'I2',
    file: 'lib/engine/slices.ts',
    text: `{ asked: stamp, deadlines`,
    replacement: `{ asked: asked(), deadlines`,
    test: { file: late, name: 'invariant 2: a lease counts from before its %s was sent' },
  },
  {
    name: 'model-asked-past-its-lease',
    breaks: 'I2',
    file: 'lib/engine/model-step.ts',
    text: `  if (!session.guard.held()) throw new LeaseLost()\n`,
    replacement: ``,
    test: {
      file: late,
      name: 'invariant 2: the lease is looked at immediately before the model is asked: a hook before it may have taken long',
    },
  },
  {
    name: 'given-up-tool-keeps-values',
    breaks: 'I6',
    file: 'lib/engine/tool-writes.ts',
    text: `        if (!open) return\n`,
    replacement: ``,
    test: {
      file: late,
      name: 'invariant 6: a tool that was given up has no context any more: what it keeps and tells after that is dropped',
    },
  },
  {
    name: 'given-up-tool-tells-events',
    breaks: 'I6',
    file: 'lib/engine/tool-writes.ts',
    text: `if (!open || writes.events`,
    replacement: `if (writes.events`,
    test: {
      file: late,
      name: 'invariant 6: a tool that was given up has no context any more: what it keeps and tells after that is dropped',
    },
  },
  {
    name: 'outcomes-one-commit-each',
    breaks: 'I4',
    file: 'lib/engine/tool-step.ts',
    text: `finished.splice(0)`,
    replacement: `finished.splice(0, 1)`,
    test: {
      file: 'tests/store/engine.test.ts',
      name: 'invariant 4: each outcome is committed when it is known and starts the next call; those that wait together go together',
    },
  },
  {
    name: 'keys-kept-for-an-hour',
    breaks: 'I1',
    file: migration('0020_retention'),
    text: `and i.created_at < day_ago and`,
    replacement: `and i.created_at < now_at - interval '1 hour' and`,
    test: {
      file: 'tests/store/sweep.test.ts',
      name: 'invariant 1: a key is kept for 24 hours, also when its run has ended long before, and finds that run',
    },
  },
  {
    name: 'take-overs-not-a-setting',
    breaks: 'I12',
    file: 'lib/core/decide.ts',
    text: `run.crashes > rules.maxStepCrashes`,
    replacement: `run.crashes > 3`,
    test: { file: 'lib/core/decide.test.ts', name: 'invariant 12: how many take-overs are borne is a setting' },
  },
  {
    name: 'endpoint-of-any-tenant-is-read',
    breaks: 'A86',
    file: migration('0024_webhook_endpoints'),
    text: `  select * into e from baton.webhook_endpoints x where x.id = p ->> 'webhook' and x.tenant_id = p ->> 'tenant' and`,
    replacement: `  select * into e from baton.webhook_endpoints x where x.id = p ->> 'webhook' and`,
    test: {
      file: strangers,
      name: "A86: another tenant's admin key finds, changes and ends nothing, by every address that there is",
    },
  },
  {
    name: 'export-of-every-tenant',
    breaks: 'A86',
    file: migration('0026_export_and_reports'),
    text: `from baton.agents x where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and (after`,
    replacement: `from baton.agents x where x.environment = p ->> 'environment' and (after`,
    test: {
      file: strangers,
      name: "A86: lists, sums, exports and the audit log tell another tenant's admin key nothing, whatever filter names it",
    },
  },
  {
    name: 'asked-for-longer-than-its-authority',
    breaks: 'A77',
    file: migration('0013_approvals'),
    text: `(g ->> 'expiresMs')::numeric), (w.a).expires_at, (w.r).expires_at);`,
    replacement: `(g ->> 'expiresMs')::numeric));`,
    test: {
      file: 'tests/presets/overrides.test.ts',
      name: 'A77: a run that waits for a person or for the outside ends when its authority does, and what comes after T is refused',
    },
  },
  {
    name: 'tool-call-above-the-maximum-of-one-call',
    breaks: 'A61',
    file: migration('0025_tool_costs'),
    text: `b.limit_micros, null, null, b.max_per_call_micros)::baton.budget_limit;`,
    replacement: `b.limit_micros, null, null, null)::baton.budget_limit;`,
    test: {
      file: 'tests/budgets/agents.test.ts',
      name: 'A61: a call of a tool that costs more than maxPerCall is refused hard, before any effect, and the run goes on',
    },
  },
  {
    name: 'twin-waits-without-end',
    breaks: 'I1 A13',
    file: migration('0004_open'),
    text: `function baton.open(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '3s' as`,
    replacement: `function baton.open(p jsonb) returns json language plpgsql set search_path = '' as`,
    test: {
      file: 'tests/acceptance/messages.test.ts',
      name: 'invariant 1: a twin whose first is still being accepted waits 3 s at most, is told to come again, and then starts the one run',
    },
  },
  {
    name: 'early-continuation-is-wasted',
    breaks: 'I7',
    file: 'lib/jobs/continue-slice.ts',
    text: `return early > 0 && early <= mostEarlyMs ? early : 0`,
    replacement: `return early > mostEarlyMs ? 0 : 0`,
    test: {
      file: 'tests/engine/at-once.test.ts',
      name: 'invariant 7: a continuation that comes a little early, for clocks differ, is not wasted: no sweep has to find the run',
    },
    build: true,
  },
  {
    name: 'respond-async-runs-in-the-route',
    breaks: 'I6',
    file: 'lib/api/messages.ts',
    text: `executes: !prefer.respondAsync && (streams || prefer.waitMs > 0), streams`,
    replacement: `executes: true, streams`,
    test: {
      file: 'tests/surface/messages.test.ts',
      name: 'invariant 6: 202 at once to Prefer: ${prefer}; nothing runs in the route, and the run is done elsewhere',
    },
    build: true,
  },
  {
    name: 'tool-without-its-signal',
    breaks: 'A71',
    file: 'lib/engine/run-tool.ts',
    text: `    signal,\n    deadline:`,
    replacement: `    signal: new AbortController().signal,\n    deadline:`,
    test: {
      file: 'tests/kill/reach.test.ts',
      name: 'A71: a kill from another process stops a streaming model and a running tool; nothing happens after it',
    },
    build: true,
  },
]
