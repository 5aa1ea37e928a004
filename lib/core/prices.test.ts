import { expect, test } from 'vitest'
import { costMicros, dollars, free, reservationPrice, worstCaseMicros } from '#lib/core/prices'
import { noUsage } from '#lib/core/run'

const plain = dollars({ input: 3, output: 15 })
const cached = dollars({ input: 4, output: 20, cacheRead: 0.2, cacheWrite: 5 })
const tiered = dollars(
  { input: 0.1, output: 0.5, cacheRead: 0.01 },
  { aboveInputTokens: 100_000, input: 0.5, output: 2.5, cacheRead: 0.05 },
)

test('a million tokens cost what the page says', () => {
  expect(costMicros({ ...noUsage, inputTokens: 1_000_000 }, plain)).toBe(3_000_000)
  expect(costMicros({ ...noUsage, outputTokens: 1_000_000 }, plain)).toBe(15_000_000)
})

test('cached tokens are part of the input and priced apart', () => {
  const usage = { ...noUsage, inputTokens: 1_000_000, cacheReadTokens: 600_000, cacheWriteTokens: 100_000 }
  expect(costMicros(usage, cached)).toBe(300_000 * 4 + 600_000 * 0.2 + 100_000 * 5)
})

test('a cache price that is not given is the input price', () => {
  expect(costMicros({ ...noUsage, inputTokens: 1_000_000, cacheReadTokens: 500_000 }, plain)).toBe(3_000_000)
})

test('more cached than input tokens never lowers the cost below the cached ones', () => {
  expect(costMicros({ ...noUsage, inputTokens: 10, cacheReadTokens: 1_000_000 }, cached)).toBe(200_000)
})

test('reasoning is inside the output and not counted twice', () => {
  expect(costMicros({ ...noUsage, outputTokens: 1_000_000, reasoningTokens: 900_000 }, plain)).toBe(15_000_000)
})

test('fractions of a micro-dollar are rounded up, once', () => {
  expect(costMicros({ ...noUsage, inputTokens: 1 }, dollars({ input: 0.1, output: 0 }))).toBe(1)
  expect(costMicros({ ...noUsage, inputTokens: 1, outputTokens: 1 }, dollars({ input: 0.5, output: 0.5 }))).toBe(1)
})

test('an unknown price is null, a price of zero is free', () => {
  const usage = { ...noUsage, inputTokens: 5, outputTokens: 5 }
  expect(costMicros(usage, null)).toBeNull()
  expect(worstCaseMicros({ inputTokens: 5, outputTokens: 5 }, null)).toBeNull()
  expect(reservationPrice(null, 5)).toBeNull()
  expect(costMicros(usage, free)).toBe(0)
  expect(worstCaseMicros({ inputTokens: 5, outputTokens: 5 }, free)).toBe(0)
})

test('the worst case writes the whole prompt to the cache', () => {
  expect(worstCaseMicros({ inputTokens: 1_000_000, outputTokens: 1_000_000 }, cached)).toBe(25_000_000)
  expect(reservationPrice(cached, 1)).toEqual({ inputMicrosPerMillion: 5_000_000, outputMicrosPerMillion: 20_000_000 })
})

test('a long prompt changes the whole price, output included, above the threshold only', () => {
  expect(costMicros({ ...noUsage, inputTokens: 100_000, outputTokens: 1_000_000 }, tiered)).toBe(10_000 + 500_000)
  expect(costMicros({ ...noUsage, inputTokens: 100_001, outputTokens: 1_000_000 }, tiered)).toBe(50_001 + 2_500_000)
  expect(worstCaseMicros({ inputTokens: 200_000, outputTokens: 0 }, tiered)).toBe(100_000)
  expect(reservationPrice(tiered, 100_000)?.outputMicrosPerMillion).toBe(500_000)
  expect(reservationPrice(tiered, 100_001)?.outputMicrosPerMillion).toBe(2_500_000)
})

test('no cost of a usage is above the worst case of the estimate that covers it', () => {
  for (const price of [plain, cached, tiered, free]) {
    for (const cacheReadTokens of [0, 50, 100_000]) {
      const usage = { ...noUsage, inputTokens: 150_000, outputTokens: 77, cacheReadTokens, cacheWriteTokens: 150_000 - cacheReadTokens }
      expect(costMicros(usage, price)).toBeLessThanOrEqual(worstCaseMicros({ inputTokens: 150_000, outputTokens: 77 }, price) ?? -1)
    }
  }
})
