import { expect, inject, test } from 'vitest'
import { percentile } from '#scripts/chaos/resumes'
import { storm } from '#scripts/chaos/storm'

test('invariants 1 to 9: a load of agents survives random kills of two servers', { timeout: 180_000 }, async () => {
  const report = await storm({
    kills: 5,
    seed: 7,
    servers: 2,
    callers: 4,
    agents: 6,
    stack: { postgresUrl: inject('clusterUrl'), template: inject('template') },
    log: () => undefined,
  })
  expect(report.violations).toEqual([])
  expect(report.kills).toBe(5)
  expect(report.messages).toBeGreaterThan(5)
  expect(report.ends['completed']).toBe(report.messages)
})

test('a percentile is the value below which the share lies', () => {
  expect(percentile([], 0.5)).toBe(null)
  expect(percentile([1, 2, 3, 4], 0.5)).toBe(3)
  expect(percentile([1, 2, 3, 4], 1)).toBe(4)
})
