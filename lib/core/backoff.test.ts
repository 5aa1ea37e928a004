import { expect, test } from 'vitest'
import { retryDelayMs } from '#lib/core/backoff'

test('1 s, 2 s, 4 s, at most 60 s, a fifth more or less', () => {
  expect([1, 2, 3].map((retry) => retryDelayMs(retry, 0.5, null, 1))).toEqual([1_000, 2_000, 4_000])
  expect(retryDelayMs(20, 0.5, null, 1)).toBe(60_000)
  expect([retryDelayMs(1, 0, null, 1), retryDelayMs(1, 0.75, null, 1)]).toEqual([800, 1_100])
})

test('never below retry-after, which haste does not shorten', () => {
  for (const random of [0, 0.5, 0.999]) {
    for (const retryAfter of [0, 500, 30_000, 3_600_000]) expect(retryDelayMs(1, random, retryAfter, 10)).toBeGreaterThanOrEqual(retryAfter)
  }
  expect(retryDelayMs(1, 0.5, 0, 10)).toBe(100)
})
