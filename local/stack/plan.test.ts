import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConfig } from '#lib/env'
import { localKeys } from '#local/keys'
import { makePlan, serverEnvironment, type Plan } from '#local/stack/plan'

/** Some of what `vercel env pull .env.local --environment=production` writes. */
const pulled = {
  VERCEL: '1',
  VERCEL_ENV: 'production',
  VERCEL_URL: 'baton-abc.vercel.app',
  VERCEL_PROJECT_PRODUCTION_URL: 'baton.example.com',
  VERCEL_GIT_COMMIT_REF: 'main',
  BATON_ALERT_WEBHOOK: 'https://hooks.example.com/on-call',
  BATON_LOCAL_ACCESS: '1',
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example.com',
}
let dataDir: string
let plan: Plan
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'baton-plan-'))
  const ports = { servers: [3_000], supabase: 1, redis: 2, executor: 3, postgres: 4 }
  plan = makePlan({ dataDir, keys: await localKeys(dataDir), ports, real: [] })
})
afterAll(() => rm(dataDir, { recursive: true }))

/** The configuration of a server beside this .env.local: Next takes from there what is not set at all. */
const configured = (envFiles: boolean, set: Record<string, string> = {}) =>
  readConfig({ ...pulled, ...set, ...serverEnvironment(plan, 'http://localhost:3000', envFiles, set) })

test('a server of the local stack starts beside the variables of a deployment, whether .env.local holds or not', () => {
  for (const envFiles of [true, false])
    expect(configured(envFiles)).toMatchObject({ local: true, environment: 'local', baseUrl: 'http://localhost:3000' })
})

test('whom a deployment alerts and lets in is not heard by a demo or a run of tests, unless their own environment says so', () => {
  expect(configured(false)).toMatchObject({ alertWebhook: null, traces: false, access: { required: false } })
  const own = { BATON_ALERT_WEBHOOK: 'https://hooks.example.com/mine' }
  expect(configured(false, own)).toMatchObject({ alertWebhook: own.BATON_ALERT_WEBHOOK, traces: false })
  // npm run dev takes it all.
  expect(configured(true)).toMatchObject({ alertWebhook: pulled.BATON_ALERT_WEBHOOK, traces: true, access: { required: true } })
})
