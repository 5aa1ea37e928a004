import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { RateLimit } from '#lib/core/ports'
import { createRedisCounts } from '#lib/limiter/redis'
import { listen } from '#local/parts/part'
import { startEngine } from '#local/redis/engine'
import { createGateway } from '#local/redis/gateway'

/** Counts what the client sends before it reaches the gateway. */
const requests: { path: string; commands: number }[] = []
let front: Server
let gateway: Server
let close: () => Promise<void> = async () => undefined
let keys: () => Promise<string[]> = async () => []
let url = ''
const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

beforeAll(async () => {
  const engine = await startEngine()
  close = () => engine.close()
  gateway = createGateway({ redisUrl: engine.url, token: 'right' })
  await listen(gateway, 0)
  const behind = `http://127.0.0.1:${portOf(gateway)}`
  const ask = async (path: string, body: string) =>
    (await fetch(behind + path, { method: 'POST', headers: { authorization: 'Bearer right', 'upstash-encoding': 'base64' }, body })).text()
  front = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const body = Buffer.concat(chunks).toString()
      const parsed: unknown = JSON.parse(body)
      requests.push({ path: request.url ?? '', commands: request.url === '/pipeline' && Array.isArray(parsed) ? parsed.length : 1 })
      response.setHeader('content-type', 'application/json')
      response.end(await ask(request.url ?? '/', body))
    })()
  })
  await listen(front, 0)
  url = `http://127.0.0.1:${portOf(front)}`
  keys = async () => {
    const { result } = JSON.parse(await ask('/', JSON.stringify(['KEYS', '*']))) as { result: string[] }
    return result.map((key) => Buffer.from(key, 'base64').toString())
  }
})
afterAll(async () => {
  for (const server of [front, gateway]) {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
  await close()
})

const counts = () => createRedisCounts({ url, token: 'right', prefix: 'baton:test:' }, true)
const rate = (key: string, limit: number, cost = 1, windowMs = 60_000): RateLimit => ({ name: key, key, limit, windowMs, cost })
const allowed = async (from: ReturnType<typeof counts>, limit: RateLimit) => (await from.take([limit])).states[0]?.allowed

test('the limits of a request and the look for news are one HTTP request, and all keys begin with the prefix', async () => {
  const one = counts()
  await one.take([rate('warm', 10)])
  requests.length = 0
  const { states, marker } = await one.take([rate('a', 3), rate('b', 5), rate('c', 7)])
  expect(states.map(({ allowed: passes, remaining }) => [passes, remaining])).toEqual([
    [true, 2],
    [true, 4],
    [true, 6],
  ])
  expect(marker).toBeNull()
  expect(requests).toEqual([{ path: '/pipeline', commands: 4 }])
  await one.setMarker('news')
  expect((await counts().take([])).marker).toBe('news')
  for (const key of await keys()) expect(key).toMatch(/^baton:test:/)
})

test('two clients share a count, exactly, however many come at once', async () => {
  const both = [counts(), counts()] as const
  const verdicts = await Promise.all(Array.from({ length: 40 }, (_, n) => allowed(both[n % 2 === 0 ? 0 : 1], rate('shared', 10))))
  expect(verdicts.filter(Boolean)).toHaveLength(10)
})

test('what does not fit takes nothing; what is given back can be taken again', async () => {
  const one = counts()
  expect(await allowed(one, rate('cost', 100, 90))).toBe(true)
  expect(await allowed(one, rate('cost', 100, 20))).toBe(false)
  expect(await allowed(one, rate('cost', 100, 10))).toBe(true)
  await one.giveBack([rate('cost', 100, 30)])
  expect(await allowed(one, rate('cost', 100, 31))).toBe(false)
  expect(await allowed(one, rate('cost', 100, 30))).toBe(true)
})

test('a count is whole again a window after its first use, as its answer has said', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  const one = counts()
  const short = rate('short', 2)
  for (const expected of [true, true, false]) expect(await allowed(one, short)).toBe(expected)
  vi.setSystemTime(Date.now() + 20_000)
  const refused = (await one.take([short])).states[0]
  expect(refused).toMatchObject({ allowed: false, resetMs: 40_000 })
  vi.setSystemTime(Date.now() + 39_999)
  expect(await allowed(one, short)).toBe(false)
  vi.setSystemTime(Date.now() + 1)
  for (const expected of [true, true, false]) expect(await allowed(one, short)).toBe(expected)
})

test('a Redis that does not answer is an error, and not a limit that lets all pass', async () => {
  const dead = createRedisCounts({ url: 'http://127.0.0.1:1', token: 'x', prefix: 'p:' }, false)
  await expect(dead.take([rate('x', 1)])).rejects.toThrow()
  const hanging = createServer(() => undefined)
  await listen(hanging, 0)
  const slow = createRedisCounts({ url: `http://127.0.0.1:${portOf(hanging)}`, token: 'x', prefix: 'p:' }, false)
  await expect(slow.take([rate('x', 1)])).rejects.toThrow()
  hanging.closeAllConnections()
  hanging.close()
})
