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
