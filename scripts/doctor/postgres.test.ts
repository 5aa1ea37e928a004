import { expect, test } from 'vitest'
import type { DoctorFacts } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import { readConfig, type Environment } from '#lib/env'
import { checkDirect, checkPostgres } from '#scripts/doctor/postgres'
import { listeningPostgres } from '#scripts/doctor/tls.fixture'

const minuteMs = 60_000

/** What is found of a database with these facts, under a configuration of a deployment. */
async function said(facts: Partial<DoctorFacts>, changes: Environment = {}): Promise<string[]> {
  const config = readConfig({
    BATON_ENV: 'staging',
    BATON_ENCRYPTION_KEY: Buffer.alloc(32).toString('base64'),
    INNGEST_DEV: 'http://127.0.0.1:9',
    SUPABASE_URL: 'http://127.0.0.1:9',
    SUPABASE_SECRET_KEY: 'sb_secret_x',
    ...changes,
  })
  const well = { version: '17.5', migrations: {}, openTables: [], openFunctions: [], switches: [], disabledEndpoints: 0, oldestDueMs: null }
  const store = {
    doctor: () => Promise.resolve({ ...well, keys: 1, ...facts }),
    getTenant: () => Promise.resolve({ ok: true, secret: null }),
  } as unknown as Store
  return (await checkPostgres(store, config)).findings.map(({ level, says }) => `${level} ${says}`)
}

test('a deployment that nobody can call is told: no key, no admin key, no users', async () => {
  const nobody = 'fail nobody can call: no API key, no admin key, no users'
  expect(await said({ keys: 0 })).toContain(nobody)
  expect(await said({ keys: 1 })).not.toContain(nobody)
  expect(await said({ keys: 0 }, { BATON_ADMIN_KEY: 'x'.repeat(32) })).not.toContain(nobody)
  expect(await said({ keys: 0 }, { BATON_USER_TENANT: 'ten_default' })).not.toContain(nobody)
})

test('a run that should have gone on more than ten minutes ago is told', async () => {
  expect(await said({ oldestDueMs: 12 * minuteMs })).toContain('warn a run has been due for 12 minutes')
  expect((await said({ oldestDueMs: 9 * minuteMs })).join('\n')).not.toContain('has been due')
})

test('the transaction pooler is told by its port, through which no migration should go', async () => {
  const pooler = 'DATABASE_URL is the transaction pooler (port 6543)'
  // Nobody need listen: the first thing is said of the address alone.
  const found = async (port: number) => (await checkDirect(`postgres://u:p@127.0.0.1:${port}/none`)).map(({ says }) => says)
  expect(await found(6543)).toContain(pooler)
  expect(await found(9)).not.toContain(pooler)
})

test('a server and a URL that do not agree on encryption are told as that, with what to write', async () => {
  const tls = await listeningPostgres(true)
  const plain = await listeningPostgres(false)
  const found = async ({ port }: { port: number }, asked: string) =>
    (await checkDirect(`postgres://u:p@127.0.0.1:${port}/none?${asked}`)).map(({ says, cure }) => `${says} -> ${cure}`).join('\n')
  // Supabase's certificate is signed by its own authority: whoever asks for encryption alone comes as far as the password.
  expect(await found(tls, 'sslmode=require')).toContain('the password of DATABASE_URL is wrong')
  expect(await found(tls, 'sslmode=verify-full')).toMatch(/certificate .*self-signed.* -> .*sslmode=verify-full&sslrootcert=FILE/)
  expect(await found(tls, 'sslmode=verify-full&sslrootcert=none.crt')).toMatch(/certificate .*no such file.* -> .*sslrootcert=FILE/)
  expect(await found(plain, 'sslmode=require')).toMatch(/speaks no TLS .* -> .*sslmode=disable/)
  tls.close()
  plain.close()
})
