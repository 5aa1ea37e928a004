import { afterEach, expect, test, vi } from 'vitest'
import { createRedisCounts } from '#lib/limiter/redis'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

test('each request waits for its count 300 ms at most, in local mode, where all share a machine, three seconds', async () => {
  const limit = vi.spyOn(AbortSignal, 'timeout')
  vi.stubGlobal('fetch', () => Promise.reject(new Error('away')))
  const settings = { url: 'http://127.0.0.1:1', token: 'token', prefix: 'baton:' }
  for (const local of [false, true]) await expect(createRedisCounts(settings, local).take([])).rejects.toThrow('away')
  expect([...new Set(limit.mock.calls.map(([ms]) => ms))]).toEqual([300, 3_000])
})
