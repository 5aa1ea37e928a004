import { expect, test } from 'vitest'
import { planFrom, faultKinds } from '#scripts/chaos/plan'
import { chanceFrom } from '#scripts/chaos/random'
import { percentile } from '#scripts/chaos/resumes'
import { storm } from '#scripts/chaos/storm'

test('invariants 1 to 12: a load of agents survives every kind of fault, with two servers', { timeout: 240_000 }, async () => {
  const report = await storm({
    seed: 7,
    lengthMs: 1,
    everyMs: 350,
    servers: 2,
    callers: 4,
    agents: 6,
    stack: { fsync: false },
    log: () => undefined,
  })
  expect(report.violations).toEqual([])
  expect(report.wrongEnds).toEqual([])
  expect(Object.keys(report.faults).toSorted()).toEqual(faultKinds.toSorted())
  expect(report.messages).toBeGreaterThan(20)
  expect(report.looks).toBeGreaterThan(20)
})

test('the same seed gives the same plan, with every kind in it', () => {
  const plan = (seed: number) => planFrom(chanceFrom(seed), { lengthMs: 60_000, servers: 2, everyMs: 1_000 })
  expect(plan(3)).toEqual(plan(3))
  expect(plan(3)).not.toEqual(plan(4))
  expect(new Set(plan(3).map(({ kind }) => kind)).size).toBe(faultKinds.length)
})

test('a percentile is the value below which the share lies', () => {
  expect(percentile([], 0.5)).toBe(null)
  expect(percentile([1, 2, 3, 4], 0.5)).toBe(3)
  expect(percentile([1, 2, 3, 4], 1)).toBe(4)
})
