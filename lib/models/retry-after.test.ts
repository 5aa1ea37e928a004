import { expect, test } from 'vitest'
import { retryAfterMs } from '#lib/models/retry-after'

const now = Date.parse('2026-11-21T00:00:00Z')

test.each<[Record<string, string>, number | null]>([
  [{ 'retry-after': '3' }, 3_000],
  [{ 'retry-after': '0.5' }, 500],
  [{ 'retry-after': 'Sat, 21 Nov 2026 00:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Fri, 20 Nov 2026 23:00:00 GMT' }, 0],
  [{ 'retry-after': 'soon' }, null],
  [{ 'retry-after': '' }, null],
  [{ 'retry-after': '999999999' }, 86_400_000],
  [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1_500],
  [
    {
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1m2.5s',
      'x-ratelimit-remaining-tokens': '9',
      'x-ratelimit-reset-tokens': '9h',
    },
    62_500,
  ],
  [{ 'x-ratelimit-reset-tokens': '20ms' }, 20],
  [{ 'anthropic-ratelimit-requests-remaining': '0', 'anthropic-ratelimit-requests-reset': '2026-11-21T00:00:12Z' }, 12_000],
  // What is used up last is there again last; a part of a millisecond is waited for, too.
  [{ 'x-ratelimit-reset-requests': '1s', 'x-ratelimit-reset-tokens': '3s', 'anthropic-ratelimit-tokens-reset': '2s' }, 3_000],
  [{ 'retry-after-ms': '0.2' }, 1],
  [{}, null],
])('429 with %j waits %j ms', (headers, expected) => {
  expect(retryAfterMs(headers, 429, now)).toBe(expected)
})

test('the allowances count for a 429 only', () => {
  expect(retryAfterMs({ 'x-ratelimit-reset-requests': '6m0s' }, 500, now)).toBeNull()
})
