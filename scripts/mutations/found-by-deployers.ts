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
  {
    name: 'the-database-is-reached-unencrypted',
    breaks: 'A81',
    file: 'supabase/connection.ts',
    text: `!onThisMachine.test(`,
    replacement: `onThisMachine.test(`,
    test: { file: 'supabase/connection.test.ts', name: 'what leaves this machine is encrypted, also where the URL does not say so' },
  },
  {
    name: 'an-authority-that-is-not-known-ends-migrations',
    breaks: 'A51',
    file: 'supabase/connection.ts',
    text: `if (isLax && `,
    replacement: `if (!isLax && `,
    test: {
      file: 'supabase/connection.test.ts',
      name: 'require and prefer take the certificate of an authority that is not known, as in libpq',
    },
  },
  {
    name: 'doctor-takes-a-certificate-for-a-wrong-port',
    breaks: 'I11',
    file: 'scripts/doctor/postgres.ts',
    text: `error instanceof TlsRefused`,
    replacement: `!(error instanceof Error)`,
    test: {
      file: 'scripts/doctor/postgres.test.ts',
      name: 'a server and a URL that do not agree on encryption are told as that, with what to write',
    },
  },
]
