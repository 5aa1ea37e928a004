import { expect, test } from 'vitest'
import { disableAfterFailures, disableAfterMs, mostAttempts, nextAttemptMs, parseRetryAfter } from '#lib/webhooks/schedule'

const plan = (random: number, haste = 1) =>
  Array.from({ length: mostAttempts }, (_, index) => nextAttemptMs({ attempts: index + 1, retryAfterMs: null, random, haste }))

test('ten attempts over about three days, then nothing', () => {
  const pauses = plan(0)
  expect(pauses.at(-1)).toBeNull()
  expect(pauses.slice(0, 3)).toEqual([5_000, 300_000, 1_800_000])
  const days = pauses.reduce<number>((sum, pause) => sum + (pause ?? 0), 0) / 86_400_000
  expect(days).toBeGreaterThan(3)
  expect(days).toBeLessThan(3.3)
})

test('jitter lengthens by a fifth at most and haste divides', () => {
  expect(plan(0.999)[0]).toBeGreaterThan(5_900)
  expect(plan(0.999)[0]).toBeLessThanOrEqual(6_000)
  expect(plan(0, 10)[0]).toBe(500)
})

test('never before what Retry-After asks, never later than a day for it', () => {
  const next = (retryAfterMs: number) => nextAttemptMs({ attempts: 1, retryAfterMs, random: 0, haste: 10 })
  expect(next(60_000)).toBe(60_000)
  expect(next(1)).toBe(500)
  expect(next(1e12)).toBe(86_400_000)
  expect(next(-5)).toBe(500)
  expect(nextAttemptMs({ attempts: mostAttempts, retryAfterMs: 1_000, random: 0, haste: 1 })).toBeNull()
})

test('Retry-After is read as seconds or as a date', () => {
  const now = Date.parse('2026-11-21T12:00:00Z')
  expect(parseRetryAfter('120', now)).toBe(120_000)
  expect(parseRetryAfter('Sat, 21 Nov 2026 12:01:00 GMT', now)).toBe(60_000)
  expect(parseRetryAfter('Sat, 21 Nov 2026 11:00:00 GMT', now)).toBe(0)
  for (const wrong of [undefined, '', '-5', '1.5', 'soon', '99999999999']) expect(parseRetryAfter(wrong, now)).toBeNull()
})

test('an endpoint is disabled by one delivery that has failed from its first to its last attempt, and by nothing shorter', () => {
  const whole = plan(0).reduce<number>((sum, pause) => sum + (pause ?? 0), 0)
  expect(disableAfterFailures).toBe(mostAttempts)
  expect(whole).toBeGreaterThan(disableAfterMs)
  expect(whole - 24 * 3_600_000).toBeLessThan(disableAfterMs)
})
