import { expect, test } from 'vitest'
import { ago, clockTime, duration, money, plural, short } from '#app/console/_parts/format'

test.each([
  [null, '–'],
  [0, '$0'],
  [1, '$0.000001'],
  [8_100, '$0.0081'],
  [18_600, '$0.019'],
  [500_000, '$0.50'],
  [99_520_000, '$99.52'],
  [1_234_567_890, '$1,234.57'],
])('%s micro-dollars are %s', (micros, text) => expect(money(micros)).toBe(text))

test.each([
  [46, '46 ms'],
  [1_740, '1.7 s'],
  [999.6, '1.0 s'],
  [9_960, '10 s'],
  [59_960, '1 min 0 s'],
  [61_000, '1 min 1 s'],
  [119_600, '2 min 0 s'],
  [3_599_700, '1 h 0 min'],
  [7_199_000, '2 h 0 min'],
  [7_500_000, '2 h 5 min'],
  [259_200_000, '3 d'],
])('%i milliseconds are %s', (ms, text) => expect(duration(ms)).toBe(text))

test('a time of day has its day where that is another one', () => {
  const at = new Date(2026, 10, 21, 8, 5, 9, 70)
  expect(clockTime(at.toISOString(), new Date(2026, 10, 21, 23, 59).getTime())).toBe('08:05:09.070')
  expect(clockTime(at.toISOString(), new Date(2026, 10, 22, 0, 1).getTime())).toBe('21 Nov 08:05:09.070')
})

test('how long ago, and how soon', () => {
  const now = Date.parse('2026-11-21T08:00:00Z')
  expect(ago('2026-11-21T07:59:58Z', now)).toBe('now')
  expect(ago('2026-11-21T07:15:00Z', now)).toBe('45 min ago')
  expect(ago('2026-11-28T08:00:00Z', now)).toBe('in 7 d')
})

test('ids are told apart by their ends', () => {
  expect(short('run_01a1fcfd1a1f73b9b152f884be6ed6e6')).toBe('…be6ed6e6')
  expect(short('demo-1')).toBe('demo-1')
  expect([plural(1, 'run'), plural(0, 'run')]).toEqual(['1 run', '0 runs'])
})
