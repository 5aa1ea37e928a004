import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { getStats } from '#lib/api/stats'

test('numbers of 31 days are given, and of no more: they are counted from the rows', async () => {
  const store = { stats: () => Promise.resolve({ ok: true, runs: { costMicros: 0 } }) }
  const statusOf = async (from: string, to: string) => (await ask(getStats, `/api/stats?from=${from}&to=${to}`, { store })).status
  expect(await statusOf('2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z')).toBe(200)
  expect(await statusOf('2026-01-01T00:00:00Z', '2026-02-01T00:00:00.001Z')).toBe(400)
})
