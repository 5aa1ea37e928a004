import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { DoctorFacts } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import { readConfig } from '#lib/env'
import { checkInngest } from '#scripts/doctor/inngest'

const minuteMs = 60_000

/** What is found where the sweeper ran so long ago and /api/inngest answers so; events make their round at once. */
async function said({ sweepMs = 0, served = { status: 200, body: '{}' } }): Promise<string[]> {
  const server = createServer(({ method }, response) => {
    if (method === 'POST') response.end('{}')
    else response.writeHead(served.status).end(served.body)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = readConfig({
    BATON_ENV: 'staging',
    BATON_CRON: '1',
    BATON_BASE_URL: address,
    BATON_ENCRYPTION_KEY: Buffer.alloc(32).toString('base64'),
    INNGEST_DEV: address,
    SUPABASE_URL: 'http://127.0.0.1:9',
    SUPABASE_SECRET_KEY: 'sb_secret_x',
  })
  const facts = { lastSweepAgeMs: sweepMs, prunedAgeMs: null } as DoctorFacts
  let probe: string | undefined
  const store = { doctor: ({ ask }: { ask?: string }) => Promise.resolve({ answered: (probe ??= ask) }) } as unknown as Store
  return (await checkInngest(store, config, facts, 10_000)).map(({ level, says }) => `${level} ${says}`)
}

test('a sweeper that has missed its time four times over is told', async () => {
  expect(await said({ sweepMs: 20 * minuteMs })).toContain('ok the sweeper ran 1200 s ago')
  expect(await said({ sweepMs: 21 * minuteMs })).toContain('fail the sweeper ran last 21 minutes ago')
})

test("a 401 of /api/inngest that is not Baton's own is told as the deployment protection of Vercel", async () => {
  const protection = expect.stringMatching(/^fail .* is behind Vercel's deployment protection \(401\)$/) as string
  expect(await said({ served: { status: 401, body: '<title>Authentication Required</title>' } })).toContainEqual(protection)
  const own = await said({ served: { status: 401, body: '{"code":"unauthorized"}' } })
  expect(own).toContainEqual(expect.stringMatching(/^fail .*\/api\/inngest answers 401$/))
})
