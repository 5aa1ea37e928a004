import { expect, test } from 'vitest'
import { slope } from '#scripts/chaos/memory'
import type { SoakReport, SoakRound } from '#scripts/chaos/soak'
import { soakVerdict } from '#scripts/chaos/soak-report'

const round = (index: number): SoakRound => ({
  round: index + 1,
  runs: 100,
  seconds: 1,
  kills: false,
  faults: {},
  wrongEnds: [],
  violations: [],
  overdue: 0,
  tables: { runs: { rows: 1_000, bytes: 2_000_000 } },
  heaps: { 7: 50 },
})
const report = (change: (round: SoakRound, index: number) => Partial<SoakRound> = () => ({}), deaths = 0): SoakReport => ({
  runs: 1_200,
  byShape: {},
  rounds: Array.from({ length: 12 }, (_, index) => ({ ...round(index), ...change(round(index), index) })),
  lifetimes: [],
  deaths,
  effects: 0,
  sealed: 0,
  elapsedSeconds: 1,
})

test('a soak where everything stood still has passed', () => {
  expect(soakVerdict(report())).toEqual([])
  // One run in 1,200 is under a tenth of a percent.
  expect(soakVerdict(report((_, index) => (index === 3 ? { wrongEnds: ['m1: failed'] } : {})))).toEqual([])
})

test.each<[string, SoakReport, RegExp]>([
  ['too many wrong ends', report((_, index) => (index < 2 ? { wrongEnds: ['m1: failed'] } : {})), /2 of 1200 runs ended otherwise/],
  ['one lost run', report((_, index) => (index === 3 ? { wrongEnds: ['m1 (plain) run_1: lost'] } : {})), /run_1: lost/],
  ['a violation', report((_, index) => (index === 3 ? { violations: ['invariant 2: x'] } : {})), /invariant 2/],
  ['rows that retention left', report((_, index) => (index === 3 ? { overdue: 4 } : {})), /round 4: retention left 4 rows/],
  ['a server that died by itself', report(undefined, 1), /1 server processes ended/],
  ['rows that grow', report((_, index) => ({ tables: { runs: { rows: 1_000 * index, bytes: 1 } } })), /runs grows: rows 7000, then 11000/],
  ['bytes that grow', report((_, index) => ({ tables: { runs: { rows: 1_000, bytes: 1_000 * index } } })), /runs grows: bytes/],
  ['a heap that grows', report((_, index) => ({ heaps: { 7: 50 + index } })), /the heap of process 7 grows/],
])('%s is told', (_, seen, told) => {
  expect(soakVerdict(seen).join('\n')).toMatch(told)
})

test('a slope is the rise for one more, and null where there are too few points', () => {
  expect(
    slope([
      [1, 2],
      [2, 4],
      [3, 6],
    ]),
  ).toBeCloseTo(2)
  expect(
    slope([
      [1, 2],
      [2, 4],
    ]),
  ).toBe(null)
})
