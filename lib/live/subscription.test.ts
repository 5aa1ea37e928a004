import { onTestFinished, expect, test, vi } from 'vitest'
import { readChannel } from '#lib/live/subscription'
import { command, startRedis } from './live.fixtures.ts'

test('a subscription that stands is not ended by the time that its opening may take', async () => {
  const redis = await startRedis()
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const messages = readChannel({ url: redis.url, token: 'token', prefix: redis.prefix }, 'news', stop.signal)
  expect((await messages.next()).value).toBeNull()
  vi.advanceTimersByTime(60_000)
  vi.useRealTimers()
  await command(redis.url, ['PUBLISH', 'news', 'hello'])
  expect((await messages.next()).value).toBe('hello')
})

test('a subscription whose body does not hear of its end, as in Node up to 22 after Redis has closed it, ends with its stop', async () => {
  onTestFinished(() => void vi.unstubAllGlobals())
  const stop = new AbortController()
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('data: subscribe,news,1\n\n')),
  })
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body)))
  const messages = readChannel({ url: 'http://redis.test', token: 'token', prefix: '' }, 'news', stop.signal)
  expect((await messages.next()).value).toBeNull()
  const next = messages.next()
  stop.abort()
  expect((await next).done).toBe(true)
}, 30_000)
