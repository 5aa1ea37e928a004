import { afterAll, beforeAll, expect, test, vi } from 'vitest'

interface Declared {
  opts: { id: string; triggers: unknown; retries: number; concurrency: unknown; checkpointing: boolean }
}

let declared: Declared['opts'][]
beforeAll(async () => {
  const settings = {
    BATON_LOCAL: '1',
    BATON_LOCAL_SECRET: 'a secret of the local stack',
    BATON_SWEEP_EVERY: '5m',
    BATON_CONCURRENCY: '7',
    INNGEST_DEV: '1',
  }
  for (const [name, value] of Object.entries({ ...settings, SUPABASE_URL: 'http://127.0.0.1:1', SUPABASE_SECRET_KEY: 'key' }))
    vi.stubEnv(name, value)
  vi.resetModules()
  const { functions } = await import('#inngest/functions/index')
  declared = (functions as unknown as Declared[]).map(({ opts }) => opts)
})
afterAll(() => {
  vi.unstubAllEnvs()
  // Nobody else is to find what was made under these settings.
  vi.resetModules()
})

test('as many places at Inngest as are set: a tenant never takes the last of them, nor its slow receivers those of its others; what the clock does is done once', () => {
  expect(declared.map(({ id, triggers, retries, concurrency }) => ({ id, triggers, retries, concurrency }))).toEqual([
    {
      id: 'agent-continue',
      triggers: [{ event: 'agent/continue' }],
      retries: 4,
      concurrency: [{ limit: 7 }, { key: 'event.data.tenantId', limit: 6 }],
    },
    {
      id: 'deliver-webhook',
      triggers: [{ event: 'webhook/deliver' }],
      retries: 2,
      concurrency: [{ limit: 7 }, { key: 'event.data.lane', limit: 2 }],
    },
    { id: 'probe', triggers: [{ event: 'baton/probe' }], retries: 0, concurrency: [{ limit: 1 }] },
    { id: 'sweep', triggers: [{ cron: '*/5 * * * *' }], retries: 0, concurrency: [{ limit: 1 }] },
    { id: 'retention', triggers: [{ cron: '17 * * * *' }], retries: 1, concurrency: [{ limit: 1 }] },
  ])
})

test('the database remembers what was done, so no function keeps a memo of its own', () => {
  expect(declared.map(({ checkpointing }) => checkpointing)).toEqual(declared.map(() => false))
})
