import { expect, test } from 'vitest'
import { budgetSentence, isWide, roomAfterMs, type BudgetRefusal } from '#lib/core/budget'
import { dollars, outputWithin, priceUnknown, reservationOf, worstCaseMicros } from '#lib/core/prices'

const refusal: BudgetRefusal = {
  scope: 'tenant',
  period: 'day',
  reason: 'micros',
  hard: false,
  limitMicros: 100,
  spentMicros: 60,
  reservedMicros: 30,
  estimateMicros: 20,
  resetsAt: '2026-11-22T00:00:00Z',
  resetsInMs: 7_200_000,
}

test('a refusal names its budget and the numbers', () => {
  expect(budgetSentence({ ...refusal })).toBe(
    'A call that may cost 20 micro-dollars has no room in the budget of tenant for this UTC day: its limit is 100 micro-dollars, of which 60 are spent and 30 reserved.',
  )
  expect(budgetSentence({ ...refusal, reason: 'per_call' })).toContain('above the 100 that tenant')
  expect(budgetSentence({ ...refusal, reason: 'calls', limitCalls: 4, estimateMicros: null })).toBe(
    'A new message has no room in the budget of tenant for this UTC day: its limit is 4 calls.',
  )
  expect(budgetSentence({ ...refusal, reason: 'tokens', limitTokens: 900 })).toContain('for this UTC day: its limit is 900 tokens.')
})

test.each([
  [{ scope: 'tenant' }, true],
  [{ scope: 'user:1' }, true],
  [{ scope: 'global' }, true],
  [{ scope: 'agent:a' }, false],
  [{ scope: 'run:r' }, false],
  [{ period: 'run' as const }, false],
  [{ hard: true }, false],
])('a queue waits for %j: %s', (change, wide) => expect(isWide({ ...refusal, ...change })).toBe(wide))

test('a run looks again soon where others may settle for less, else when the period turns, and once an hour at least', () => {
  expect(roomAfterMs(refusal, 0, 1)).toBe(5_000)
  expect(roomAfterMs(refusal, 3, 1)).toBe(40_000)
  expect(roomAfterMs(refusal, 99, 1)).toBe(3_600_000)
  expect(roomAfterMs(refusal, 3, 10)).toBe(4_000)
  // What is spent and what is asked for just fill the limit: only what is reserved is in the way.
  expect(roomAfterMs({ ...refusal, spentMicros: 80 }, 0, 1)).toBe(5_000)
  expect(roomAfterMs({ ...refusal, spentMicros: 81 }, 0, 1)).toBe(3_600_000)
  // Tokens and calls that are used up do not come back, whatever money is left.
  for (const reason of ['tokens', 'calls'] as const) expect(roomAfterMs({ ...refusal, reason }, 0, 1)).toBe(3_600_000)
  expect(roomAfterMs({ ...refusal, spentMicros: 90 }, 0, 1)).toBe(3_600_000)
  expect(roomAfterMs({ ...refusal, spentMicros: 90, resetsInMs: 1_200_000 }, 0, 1)).toBe(1_200_000)
  expect(roomAfterMs({ ...refusal, spentMicros: 90, resetsInMs: null }, 0, 1)).toBe(3_600_000)
})

const price = dollars({ input: 3, output: 15 }, { aboveInputTokens: 1_000, input: 6, output: 30 })

test('the least of a reservation is the shortest answer; a model whose output cannot be cut has none', () => {
  const estimate = { inputTokens: 100, outputTokens: 4_000 }
  expect(reservationOf(estimate, price)).toEqual({ micros: 60_300, tokens: 4_100 })
  expect(reservationOf({ ...estimate, leastOutputTokens: 256 }, price)).toMatchObject({ least: { micros: 4_140, tokens: 356 } })
  expect(reservationOf({ ...estimate, leastOutputTokens: 3_999 }, price)).toHaveProperty('least')
  for (const leastOutputTokens of [4_000, 4_001])
    expect(reservationOf({ ...estimate, leastOutputTokens }, price)).toEqual({ micros: 60_300, tokens: 4_100 })
  expect(reservationOf(estimate, null)).toBeNull()
  expect(outputWithin({ micros: 0, tokens: 0 }, estimate, null, 4_000)).toBe(4_000)
})

test.each([100, 999, 2_000])('the output that is asked for never costs more than was granted (%i tokens in)', (inputTokens) => {
  const estimate = { inputTokens, outputTokens: 4_000, leastOutputTokens: 256 }
  const least = reservationOf(estimate, price)?.least?.micros ?? 0
  for (const micros of [least, least + 1, least + 12_345]) {
    const outputTokens = outputWithin({ micros, tokens: 1_000_000 }, estimate, price, 4_000)
    expect(outputTokens).toBeGreaterThanOrEqual(256)
    expect(worstCaseMicros({ inputTokens, outputTokens }, price)).toBeLessThanOrEqual(micros)
  }
  expect(outputWithin({ micros: 1e9, tokens: inputTokens + 300 }, estimate, price, 4_000)).toBe(300)
})

test('a prompt that may be written to a cache leaves less for the answer: that costs more than plain input', () => {
  const cached = dollars({ input: 3, output: 15, cacheWrite: 6 })
  const estimate = { inputTokens: 10_000, outputTokens: 4_000, leastOutputTokens: 256 }
  const outputTokens = outputWithin({ micros: 75_000, tokens: 1_000_000 }, estimate, cached, 4_000)
  expect(outputTokens).toBe(1_000)
  expect(worstCaseMicros({ inputTokens: 10_000, outputTokens }, cached)).toBe(75_000)
})

test('an answer that costs nothing is cut for its tokens alone, also where the money is just enough for the prompt', () => {
  const answersFree = dollars({ input: 3, output: 0 })
  const estimate = { inputTokens: 1_000, outputTokens: 4_000 }
  expect(outputWithin({ micros: 3_000, tokens: 1_000_000 }, estimate, answersFree, 4_000)).toBe(4_000)
  expect(outputWithin({ micros: 3_000, tokens: 1_500 }, estimate, answersFree, 4_000)).toBe(500)
})

test('A67: the line to add names provider and model', () => {
  expect(priceUnknown('gateway/openai/x')).toContain(
    "prices of gateway in lib/providers.ts, with the provider's dollars per million tokens: 'openai/x': dollars(",
  )
})
