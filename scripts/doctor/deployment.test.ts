import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { checkDeployment } from '#scripts/doctor/deployment'

/** What a deployment answers, the second run by its question; Baton's own answers where nothing is changed. */
interface Played {
  health?: { status: number; body: string; headers?: Record<string, string> }
  runs?: Record<string, unknown>[]
}

async function said({ health = { status: 200, body: '{}' }, runs = [{ state: 'completed' }] }: Played): Promise<string[]> {
  const left = [...runs]
  const server = createServer(({ method, url = '' }, response) => {
    const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body))
    if (url === '/api/health') response.writeHead(health.status, health.headers).end(health.body)
    else if (url.startsWith('/api/agents?')) answer(200, { data: [] })
    else if (method === 'POST') answer(202, { runId: 'run_1' })
    else if (method === 'DELETE') response.writeHead(204).end()
    else answer(200, left.shift())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return (await checkDeployment({ url, key: 'k', template: null })).map(({ level, says }) => `${level} ${says}`)
}

test("a 401 that is not Baton's own is told as the deployment protection of Vercel", async () => {
  expect(await said({ health: { status: 401, body: '<title>Authentication Required</title>' } })).toEqual([
    "fail Vercel's deployment protection answers instead of Baton (401)",
  ])
  expect(await said({ health: { status: 401, body: '{"code":"unauthorized"}' } })).toContain(
    'fail health answers 401: {"code":"unauthorized"}',
  )
})

test('clocks that differ by minutes are told', async () => {
  const health = (ms: number) => ({ status: 200, body: '{}', headers: { date: new Date(Date.now() + ms).toUTCString() } })
  expect(await said({ health: health(0) })).toContainEqual(expect.stringMatching(/^ok the clocks differ by \d+ s$/))
  expect(await said({ health: health(-600_000) })).toContainEqual(expect.stringMatching(/^fail the clocks differ by \d{3} s: /))
})

test('a run in the background that ended badly is told as that, and not asked for again', async () => {
  const failed = { state: 'failed', endedAt: '2026-01-01T00:00:00Z', explain: 'The provider has refused its key.' }
  expect(await said({ runs: [{ state: 'running' }, failed, { state: 'completed' }] })).toContain(
    'fail a run in the background ended badly: The provider has refused its key.',
  )
})
