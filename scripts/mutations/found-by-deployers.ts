import type { Mutation } from '#scripts/mutations/mutation'

/** Faults of the kind that somebody met who put Baton on a real account, or ran the local stack on a machine of another kind. */
export const foundByDeployersMutations: readonly Mutation[] = [
  {
    name: 'copied-migrations-without-the-ledger',
    breaks: 'A51',
    file: 'supabase/migrate.ts',
    text: '`${sql}\\n${record}\\n`',
    replacement: 'sql',
    test: {
      file: 'supabase/migrate.test.ts',
      name: 'a database whose files the host repository applies has all that health asks for, and nothing is left to migrate',
    },
  },
]
