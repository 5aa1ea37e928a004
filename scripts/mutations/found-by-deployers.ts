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
  {
    name: 'a-local-server-takes-itself-for-vercel',
    breaks: 'A51',
    file: 'local/stack/plan.ts',
    text: `name.startsWith('VERCEL')`,
    replacement: `name.startsWith('VERCEL_U')`,
    test: {
      file: 'local/stack/plan.test.ts',
      name: 'a server of the local stack starts beside the variables of a deployment (.env.local holds: true)',
    },
  },
  {
    name: 'a-run-of-tests-alerts-the-deployment',
    breaks: 'I11',
    file: 'local/stack/plan.ts',
    text: `(envFiles ? notOnVercel : nothingOfEnvFiles(set))`,
    replacement: `(envFiles ? nothingOfEnvFiles(set) : notOnVercel)`,
    test: {
      file: 'local/stack/plan.test.ts',
      name: 'whom a deployment alerts and lets in is not heard by a demo or a run of tests, unless their own environment says so',
    },
  },
  {
    name: 'a-command-takes-the-local-stack-for-vercel',
    breaks: 'A51',
    file: 'scripts/operator/environment.ts',
    text: `    ...notOnVercel,\n`,
    replacement: ``,
    test: {
      file: 'scripts/operator/environment.test.ts',
      name: 'a command for the local stack works beside what `vercel env pull` has written',
    },
  },
  {
    name: 'a-second-demo-removes-the-first',
    breaks: 'I7',
    file: 'local/stack.ts',
    text: `  const lock = lockFolder(dataDir)\n`,
    replacement: `  if (options.fresh === true) await (await import('node:fs/promises')).rm(dataDir, { recursive: true })\n  const lock = lockFolder(dataDir)\n`,
    test: { file: 'local/stack.test.ts', name: 'a second stack on the same folder is refused and names the folder' },
  },
  {
    name: 'the-demo-begins-with-what-the-last-one-left',
    breaks: 'A1',
    file: 'local/stack.ts',
    text: `options.fresh === true`,
    replacement: `options.fresh === false`,
    test: { file: 'local/stack.test.ts', name: 'a fresh stack has nothing of the one before' },
  },
  {
    name: 'a-folder-is-cleared-of-its-own-lock',
    breaks: 'I7',
    file: 'local/lock.ts',
    text: `if (!name.startsWith('lock.'))`,
    replacement: `if (name !== 'keys')`,
    test: { file: 'local/files.test.ts', name: 'a locked folder can be cleared, and stays locked' },
  },
  {
    name: 'ctrl-c-at-the-start-leaves-the-parts',
    breaks: 'A52',
    file: 'local/until-stopped.ts',
    text: `{ ...options, signal: stopping.signal }`,
    replacement: `options`,
    test: { file: 'local/until-stopped.test.ts', name: 'Ctrl-C while a stack starts stops what has started' },
  },
  {
    name: 'kill-9-at-the-start-leaves-postgres',
    breaks: 'I7',
    file: 'local/stack/parts.ts',
    text: `String(postmaster() ?? '')`,
    replacement: `''`,
    test: { file: 'local/until-stopped.test.ts', name: 'kill -9 while a stack starts leaves no PostgreSQL behind' },
  },
]
