import { describe, expect, it } from 'vitest'
import { backoffMs, retryAfterMs, sleepMs } from '#local/executor/durations'

const now = Date.parse('2026-11-21T00:00:00Z')

describe('durations', () => {
  it.each([
    ['1d2h30m10s', 95_410_000],
    ['2w', 1_209_600_000],
    ['', 0],
    ['2026-11-21T00:01:00Z', 60_000],
    ['2020-01-01T00:00:00Z', 0],
    ['soon', null],
  ])('a sleep of "%s" is %s ms', (text, value) => expect(sleepMs(text, now)).toBe(value))

  it.each([
    ['3', 3000],
    ['2026-11-21T00:00:09.000Z', 9000],
    [undefined, null],
    ['false', null],
  ])('retry-after %s is %s ms', (header, value) => expect(retryAfterMs(header, now)).toBe(value))

  it('backs off 1, 2, 5, 10 and again 10 s', () => expect([1, 2, 3, 4, 9].map(backoffMs)).toEqual([1000, 2000, 5000, 10_000, 10_000]))
})
