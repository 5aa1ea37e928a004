import { expect, test } from 'vitest'
import { deadlinesFrom } from '#lib/engine/deadlines'
import type { EngineServices } from '#lib/engine/services'

const config = { maxDurationMs: 60_000, hardMarginMs: 5_000 } as EngineServices['config']
const from = (sliceMs: number, waitMs: number | null) => deadlinesFrom({ config }, 1_000, sliceMs, waitMs)

test('invariant 6: the slice ends at the least of its own length, the hard limit less a margin, and the wait of who does not stream', () => {
  expect(from(25_000, 30_000)).toEqual({ sliceAt: 26_000, hardAt: 56_000 })
  expect(from(25_000, 2_000)).toEqual({ sliceAt: 3_000, hardAt: 56_000 })
  expect(from(25_000, null)).toEqual({ sliceAt: 26_000, hardAt: 56_000 })
  const long = from(300_000, null)
  expect(long.hardAt).toBe(56_000)
  expect(long.sliceAt).toBeLessThan(long.hardAt)
})
