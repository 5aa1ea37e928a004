import type { Mutation } from '#scripts/mutations/mutation'

const budgets = 'tests/store/budget-edges.test.ts'
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
    test: { file: budgets, name: 'a threshold that a deletion passes is told with ids and amounts alone, and to nobody but the tenant' },
  },
]
