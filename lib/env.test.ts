import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { databaseUrl, providerEnv, readConfig, secretValues } from '#lib/env'
import type { Environment } from '#lib/env'
import { envExample } from '#lib/env/example'
import { variables } from '#lib/env/variables'

const key = Buffer.alloc(32, 9).toString('base64')
const production: Environment = {
  VERCEL: '1',
  VERCEL_ENV: 'production',
  SUPABASE_URL: 'https://abc.supabase.co',
  SUPABASE_SECRET_KEY: 'sb_secret_hunter2',
  BATON_ENCRYPTION_KEY: key,
  INNGEST_EVENT_KEY: 'event',
  INNGEST_SIGNING_KEY: 'signkey-prod-1',
}
const local: Environment = {
  BATON_LOCAL: '1',
  BATON_LOCAL_SECRET: 'made-at-the-start-1',
  SUPABASE_URL: 'http://127.0.0.1:54321',
  SUPABASE_SECRET_KEY: 'sb_secret_local',
  INNGEST_DEV: 'http://127.0.0.1:8288',
}

/** The variables that a bad configuration names. */
function blamed(env: Environment): string[] {
  try {
    readConfig(env)
    return []
  } catch (error) {
    if (!(error instanceof BatonError) || error.code !== 'not_configured') throw error
    expect(error.message).not.toContain('hunter2')
    const problems = error.details['problems']
    if (!Array.isArray(problems)) throw new Error('no problems')
    return problems.map((problem: { variable: string }) => problem.variable)
  }
}

describe('readConfig', () => {
  test('production needs little and has the defaults of the contract', () => {
    expect(readConfig(production)).toEqual({
      environment: 'production',
      local: false,
      baseUrl: null,
      tenantId: 'ten_default',
      access: {
        required: true,
        adminKey: null,
        users: {
          jwtSecret: null,
          jwksUrl: 'https://abc.supabase.co/auth/v1/.well-known/jwks.json',
          issuer: 'https://abc.supabase.co/auth/v1',
          tenantClaim: 'tenant_id',
          tenant: null,
          allowAnonymous: false,
          enabled: false,
        },
      },
      supabase: { url: 'https://abc.supabase.co', secretKey: 'sb_secret_hunter2' },
      redis: null,
      inngest: { eventKey: 'event', signingKey: 'signkey-prod-1', appId: 'baton-production', dev: null },
      encryptionKey: new Uint8Array(32).fill(9),
      leaseMs: 30_000,
      sweepEveryMs: 300_000,
      maxDurationMs: 60_000,
      hardMarginMs: 5_000,
      defaultWaitMs: 25_000,
      haste: 1,
      maxStepCrashes: 3,
      metricsToken: null,
      alertWebhook: null,
      log: { format: 'json', lines: ['retry'] },
      traces: false,
      sampling: { by: 'parentbased_always_on', ratio: 1 },
      concurrency: 5,
      migrations: expect.arrayContaining(['0001_tables.sql']),
      maxBodyBytes: 1_048_576,
      maxMessageBytes: 262_144,
      maxResultBytes: 65_536,
      toolTimeoutMs: 60_000,
      modelSilenceMs: 60_000,
      cronEnabled: true,
      corsOrigins: [],
      priceCeiling: null,
    })
  })

  test('local mode is faster and has a tenant of its own', () => {
    expect(readConfig({ ...local, BATON_TENANT: 'ten_x' })).toMatchObject({
      environment: 'local',
      local: true,
      tenantId: 'ten_local',
      leaseMs: 6_000,
      sweepEveryMs: 2_000,
      haste: 10,
      cronEnabled: true,
      inngest: { appId: 'baton-local', dev: 'http://127.0.0.1:8288' },
    })
    expect(readConfig(local).encryptionKey).toHaveLength(32)
  })

  test('settings are taken', () => {
    const config = readConfig({
      ...production,
      BATON_LEASE_MS: '12000',
      BATON_SWEEP_EVERY: '2h',
      BATON_CORS_ORIGINS: 'https://a.example, http://localhost:3000',
      BATON_PRICE_CEILING: '20.5, 100',
      BATON_CRON: '0',
      BATON_BASE_URL: 'https://baton.example/',
      BATON_REDIS_PREFIX: 'mine:',
      KV_REST_API_URL: 'https://r.example',
      KV_REST_API_TOKEN: 'token',
    })
    expect(config).toMatchObject({
      leaseMs: 12_000,
      sweepEveryMs: 7_200_000,
      corsOrigins: ['https://a.example', 'http://localhost:3000'],
      priceCeiling: { inputMicrosPerMillion: 20_500_000, outputMicrosPerMillion: 100_000_000 },
      cronEnabled: false,
      baseUrl: 'https://baton.example',
      redis: { url: 'https://r.example', token: 'token', prefix: 'mine:' },
    })
  })

  test("the names that Vercel's integrations write are taken, blanks are not", () => {
    const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: secret, ...rest } = production
    const config = readConfig({ ...rest, SUPABASE_URL: ' ', NEXT_PUBLIC_SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: ` ${secret}\n` })
    expect(config.supabase).toEqual({ url, secretKey: secret })
    expect(databaseUrl({ POSTGRES_URL_NON_POOLING: 'postgres://u@h/d' })).toBe('postgres://u@h/d')
    expect(databaseUrl({})).toBeUndefined()
    expect(() => databaseUrl({ DATABASE_URL: 'mysql://h' })).toThrow('DATABASE_URL')
  })

  test('every problem is named at once, also beside malformed values', () => {
    const wrong = {
      VERCEL_ENV: 'production',
      BATON_LEASE_MS: 'soon',
      BATON_SWEEP_EVERY: '5 minutes',
      SUPABASE_URL: 'abc',
      BATON_LEASE: '1',
      UPSTASH_REDIS_REST_URL: 'https://r.example',
    }
    expect(blamed(wrong).toSorted()).toEqual([
      'BATON_ENCRYPTION_KEY',
      'BATON_LEASE',
      'BATON_LEASE_MS',
      'BATON_SWEEP_EVERY',
      'INNGEST_EVENT_KEY',
      'INNGEST_SIGNING_KEY',
      'SUPABASE_SECRET_KEY',
      'SUPABASE_URL',
      'UPSTASH_REDIS_REST_TOKEN',
    ])
    expect(() => readConfig(wrong)).toThrow(/SUPABASE_SECRET_KEY is missing\. The secret key of the project/)
  })

  test('access: credentials are asked for outside local mode, with a real Supabase, and where local mode is told to', () => {
    const access = (env: Environment) => readConfig(env).access
    expect(access(local)).toMatchObject({ required: false, users: { tenant: 'ten_local', jwksUrl: null, issuer: null } })
    expect(access({ ...local, BATON_LOCAL_ACCESS: '1' })).toMatchObject({ required: true, users: { tenant: 'ten_local' } })
    expect(access({ ...local, BATON_LOCAL_REAL: 'redis,supabase' })).toMatchObject({
      required: true,
      users: { tenant: null, enabled: false },
    })
    expect(access({ ...production, BATON_TENANT_CLAIM: 'org' }).users).toMatchObject({ tenantClaim: 'org', enabled: true })
    expect(access({ ...production, BATON_USER_TENANT: 'ten_u', BATON_JWT_ISSUER: 'https://id.example/auth/v1' }).users).toMatchObject({
      tenant: 'ten_u',
      enabled: true,
      issuer: 'https://id.example/auth/v1',
    })
  })

  test.each<[string, Environment, string[]]>([
    ['an admin key that is too short', { BATON_ADMIN_KEY: 'x'.repeat(31) }, ['BATON_ADMIN_KEY']],
    ['an admin key that looks like an API key', { BATON_ADMIN_KEY: `bt_${'x'.repeat(43)}` }, ['BATON_ADMIN_KEY']],
    ['a legacy secret that can be guessed', { SUPABASE_JWT_SECRET: 'short' }, ['SUPABASE_JWT_SECRET']],
    ['a token without its URL', { KV_REST_API_TOKEN: 'x' }, ['UPSTASH_REDIS_REST_URL']],
    ['an event key without the signing key', { INNGEST_SIGNING_KEY: '' }, ['INNGEST_SIGNING_KEY']],
    ['a dev server in production', { INNGEST_DEV: '1' }, ['INNGEST_DEV']],
    ['a preview that calls itself production', { VERCEL_ENV: 'preview', BATON_ENV: 'production' }, ['BATON_ENV']],
    ['a key that is too short', { BATON_ENCRYPTION_KEY: 'c2hvcnQ=' }, ['BATON_ENCRYPTION_KEY']],
    ['a star for origins', { BATON_CORS_ORIGINS: 'https://a.example,*' }, ['BATON_CORS_ORIGINS']],
    ['an origin with a path', { BATON_CORS_ORIGINS: 'https://a.example/x' }, ['BATON_CORS_ORIGINS']],
    ['a margin that eats the function', { BATON_MAX_DURATION_MS: '10000', BATON_HARD_MARGIN_MS: '6000' }, ['BATON_HARD_MARGIN_MS']],
    ['a message that no body has room for', { BATON_MAX_MESSAGE_BYTES: '2000', BATON_MAX_BODY_BYTES: '1999' }, ['BATON_MAX_MESSAGE_BYTES']],
    ['a malformed name', { BATON_ENV: 'Prod!' }, ['BATON_ENV']],
    ['an impossible sweep', { BATON_SWEEP_EVERY: '1ms' }, ['BATON_SWEEP_EVERY']],
    ['a flag that is neither', { BATON_CRON: 'yes' }, ['BATON_CRON']],
  ])('%s is refused', (_what, changes, variablesBlamed) => {
    expect(blamed({ ...production, ...changes })).toEqual(variablesBlamed)
  })

  test('a sweep that no cron keeps is refused with those that one does, outside local mode', () => {
    for (const period of ['30s', '45m', '5h']) expect(blamed({ ...production, BATON_SWEEP_EVERY: period })).toEqual(['BATON_SWEEP_EVERY'])
    expect(() => readConfig({ ...production, BATON_SWEEP_EVERY: '45m' })).toThrow(/30m, 1h, 2h.*24h: no cron keeps another period/)
    expect(readConfig({ ...local, BATON_SWEEP_EVERY: '1s' }).sweepEveryMs).toBe(1_000)
  })

  test('on Vercel no function is taken to live longer than the route files of the build let it', () => {
    const longer = { ...production, BATON_MAX_DURATION_MS: '300000' }
    expect(readConfig(longer).maxDurationMs).toBe(300_000)
    process.env.MAX_DURATION_OF_BUILD = '60'
    try {
      expect(blamed(longer)).toEqual(['BATON_MAX_DURATION_MS'])
      expect(() => readConfig(longer)).toThrow(
        /the 60 s of maxDuration in the route files.*raise maxDuration in all route files and in vercel\.json/s,
      )
      expect(readConfig(production).maxDurationMs).toBe(60_000)
      expect(readConfig({ ...longer, VERCEL: undefined, BATON_ENV: 'production' }).maxDurationMs).toBe(300_000)
      process.env.MAX_DURATION_OF_BUILD = '300'
      expect(readConfig(longer).maxDurationMs).toBe(300_000)
    } finally {
      delete process.env.MAX_DURATION_OF_BUILD
    }
  })

  test('local mode is refused on Vercel and without the secret of the local stack', () => {
    expect(blamed({ ...local, VERCEL: '1' })).toEqual(['BATON_LOCAL'])
    expect(blamed({ ...local, BATON_LOCAL_SECRET: undefined })).toEqual(['BATON_LOCAL_SECRET'])
    expect(readConfig({ ...production, BATON_LOCAL: '0' }).local).toBe(false)
  })
})

describe('the name of the environment', () => {
  const named = (changes: Environment): string => readConfig({ ...production, VERCEL_ENV: undefined, ...changes }).environment
  test('comes from BATON_ENV, Vercel or local mode, and is never guessed elsewhere', () => {
    expect(named({ BATON_ENV: 'staging', VERCEL_ENV: 'production' })).toBe('staging')
    expect(named({ VERCEL_ENV: 'development' })).toBe('development')
    expect(named({ VERCEL_ENV: 'preview', VERCEL_GIT_COMMIT_REF: 'fix-1' })).toBe('preview-fix-1')
    expect(blamed({ ...production, VERCEL_ENV: undefined })).toEqual(['BATON_ENV'])
  })

  test('keeps branches apart whose names look alike', () => {
    const names = ['feat/a', 'feat-a', 'Feat/A', 'x'.repeat(100), `${'x'.repeat(100)}y`].map((branch) =>
      named({ VERCEL_ENV: 'preview', VERCEL_GIT_COMMIT_REF: branch }),
    )
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) expect(name).toMatch(/^preview-[a-z0-9-]{1,55}$/)
  })

  test('crons are for production and local unless said otherwise', () => {
    const cron = (changes: Environment): boolean => readConfig({ ...production, VERCEL_ENV: undefined, ...changes }).cronEnabled
    expect([cron({ BATON_ENV: 'production' }), cron({ BATON_ENV: 'staging' }), cron({ BATON_ENV: 'staging', BATON_CRON: '1' })]).toEqual([
      true,
      false,
      true,
    ])
  })
})

test('providerEnv gives trimmed values and nothing for blanks', () => {
  process.env['BATON_TEST_PROVIDER_KEY'] = ' k '
  process.env['BATON_TEST_BLANK_KEY'] = ' '
  try {
    expect(providerEnv('BATON_TEST_PROVIDER_KEY')).toBe('k')
    expect(providerEnv('BATON_TEST_BLANK_KEY')).toBeUndefined()
  } finally {
    delete process.env['BATON_TEST_PROVIDER_KEY']
    delete process.env['BATON_TEST_BLANK_KEY']
  }
})

test('.env.example is what the schema says: write it again with npm run docs', () => {
  expect(readFileSync('.env.example', 'utf8')).toBe(envExample())
  for (const name of Object.keys(variables.shape)) expect(envExample()).toContain(`# ${name}=`)
})

test('secretValues: the values of all variables with secret names, whoever reads them', () => {
  const env = {
    SUPABASE_SERVICE_ROLE_KEY: 'service-value',
    KV_REST_API_TOKEN: ' token-value ',
    INNGEST_EVENT_KEY: 'event-value',
    BATON_ENCRYPTION_KEY: 'encryption-value-1',
    BATON_ADMIN_KEY: 'admin-value-1',
    STRIPE_SECRET: 'adopters-own-1',
    SECRET_MODE: 'production',
    BATON_TENANT: 'ten_default',
    SUPABASE_URL: 'https://x.supabase.co',
    COOKIE_SECRET: ' ',
    GOOGLE_CREDENTIALS_FILE: '/etc/x.json',
  }
  expect(secretValues(env)).toEqual([
    'service-value',
    'token-value',
    'event-value',
    'encryption-value-1',
    'admin-value-1',
    'adopters-own-1',
  ])
})
