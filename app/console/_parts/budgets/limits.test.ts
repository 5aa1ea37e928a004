import { expect, test } from 'vitest'
import { limitsOf } from '#app/console/_parts/budgets/limits'

const none = { limitMicros: null, limitTokens: null, limitCalls: null, reservedMicros: 0, remainingMicros: null, tokens: 900, calls: 3 }

test('each limit of a budget has its line: the tokens may be used up while there are dollars', () => {
  const money = { limitMicros: 5_000_000, spentMicros: 1_000_000, reservedMicros: 500_000, remainingMicros: 3_500_000 }
  expect(limitsOf({ ...none, ...money, limitTokens: 1_000, limitCalls: 4 }).map(({ of, words, left }) => [of, words, left])).toEqual([
    ['dollars', '$1.00 of $5.00, $0.50 reserved', '$3.50'],
    ['tokens', '900 of 1,000 tokens', '100 tokens'],
    ['calls', '3 of 4 calls', '1 call'],
  ])
  expect(limitsOf({ ...none, spentMicros: 0 })).toEqual([])
})

test('what each of many has for itself has no bar', () => {
  expect(limitsOf({ ...none, tokens: null, calls: null, limitMicros: 2_000_000, limitCalls: 10, spentMicros: null })).toMatchObject([
    { of: 'dollars', spent: null, words: '$2.00 for each', left: 'each' },
    { of: 'calls', spent: null, words: '10 calls for each', left: 'each' },
  ])
})
