import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { checkRedis } from '#scripts/doctor/redis'

async function said(status: number, error: string): Promise<string[]> {
  const upstash = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
  })
  await new Promise<void>((done) => upstash.listen(0, '127.0.0.1', done))
  onTestFinished(() => void upstash.close())
  const findings = await checkRedis({ url: `http://127.0.0.1:${(upstash.address() as AddressInfo).port}`, token: 't', prefix: 'p:' })
  return findings.map(({ says, cure }) => `${says} -> ${cure}`)
}

test.each([
  [
    400,
    'ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See https://upstash.com/docs/redis/troubleshooting/max_requests_limit for details',
  ],
  [400, 'ERR max daily request limit exceeded. Limit: 10000, Usage: 10000'],
])('a database that is over its plan is told as that: %i %s', async (status, error) => {
  expect(await said(status, error)).toEqual([expect.stringMatching(/^Redis is over its plan: .* -> Take a larger plan/)])
})

test('another answer is a matter of the address', async () => {
  expect(await said(404, 'not found')).toEqual([expect.stringMatching(/^Redis answers 404.* -> Check UPSTASH_REDIS_REST_URL/)])
})

test('too many requests in a second is a matter of the plan, too', async () => {
  expect(await said(429, 'Too Many Requests')).toEqual([expect.stringMatching(/^Redis is over its plan: Too Many Requests -> /)])
})
