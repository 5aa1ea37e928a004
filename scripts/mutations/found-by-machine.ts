import type { Mutation } from '#scripts/mutations/mutation'

const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults that a program planted line by line in the SQL (a condition left out or turned round, a statement left out, a boundary moved), and that no test had noticed. */
export const foundByMachineMutations: readonly Mutation[] = [
  {
    name: 'inbox-without-the-end-of-its-range',
    breaks: 'A34',
    file: migration('0023_decisions'),
    text: `        and ($1 ->> 'to' is null or v.created_at < ($1 ->> 'to')::timestamptz)\n`,
    replacement: ``,
    test: {
      file: 'tests/approvals/edges.test.ts',
      name: 'each filter of the inbox leaves out what it should, and the end of a range is not in it',
    },
  },
  {
    name: 'first-cancelled-call-takes-all-approvals-of-its-run',
    breaks: 'A34',
    file: migration('0013_approvals'),
    text: `x.run_id = c.run_id and x.call_id = c.call_id and x.state = 'pending' returning * into v`,
    replacement: `x.run_id = c.run_id and x.state = 'pending' returning * into v`,
    test: {
      file: 'tests/approvals/edges.test.ts',
      name: 'a cancelled run that waited for several decisions cancels each for its own call',
    },
  },
  {
    name: 'usage-counts-what-was-given-back',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `filter (where v.state <> 'settled' or v.cost_micros > 0`,
    replacement: `filter (where v.state = 'settled' or v.cost_micros > 0`,
    test: {
      file: 'tests/store/budgets.test.ts',
      name: 'usage counts the calls that were made or may have been: one that is reserved, and none that was given back',
    },
  },
  {
    name: 'call-that-never-ran-is-given-back-twice',
    breaks: 'I9',
    file: migration('0025_tool_costs'),
    text: `    update baton.tool_calls t set charges = null where t.agent_uid = c.agent_uid and t.call_id = c.call_id;\n`,
    replacement: ``,
    test: {
      file: 'tests/store/budget-tools.test.ts',
      name: 'invariant 9: a call that never ran is given back to the limits, too, that were set while it was at work',
    },
  },
  {
    name: 'budget-without-a-sum-is-counted',
    breaks: 'A61',
    file: migration('0011_budgets'),
    text: `num_nonnulls(x.limit_micros, x.limit_tokens, x.limit_calls) > 0\n`,
    replacement: `num_nonnulls(x.limit_micros, x.limit_tokens, x.limit_calls) >= 0\n`,
    test: { file: 'tests/store/budgets.test.ts', name: 'A61: a call above what one call may cost is refused hard, before anything' },
  },
]
