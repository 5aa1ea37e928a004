import { expect, test } from 'vitest'
import type { Sample } from '#lib/core/metrics'
import { createMetrics } from '#lib/telemetry/metrics'

/** Counts of a process whose database can be away; what was told, and under which id. */
function setUp() {
  const state = { now: 0, away: false }
  const told: { id: string; counts: readonly Sample[] }[] = []
  let made = 0
  const metrics = createMetrics({
    async send(id, counts) {
      told.push({ id, counts })
      if (state.away) throw new Error('the reply was lost')
    },
    everyMs: 3_600_000,
    clock: { now: () => state.now, monotonic: () => state.now, random: () => 0, sleep: () => Promise.resolve() },
    ids: { make: <Prefix extends string>(prefix: Prefix) => `${prefix}_${(made += 1)}` as const, uuid: () => '' },
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  })
  return { state, told, metrics }
}
const values = (counts: readonly Sample[] | undefined): number[] | undefined => counts?.map(([, , , value]) => value)

test('counts whose reply was lost are told again under their id, which counts once; what came meanwhile goes apart', async () => {
  const { state, told, metrics } = setUp()
  metrics.count('baton_http_requests_total', {}, 2)
  state.away = true
  await metrics.flush()
  metrics.count('baton_http_requests_total')
  state.away = false
  // Both at once: this may be the last time.
  await metrics.flush()
  expect(told.map(({ id }) => id)).toEqual(['flush_1', 'flush_1', 'flush_2'])
  expect(told.map(({ counts }) => values(counts))).toEqual([[2], [2], [1]])
  await metrics.flush()
  expect(told).toHaveLength(3)
})

test('counts that nobody took for longer than the database remembers their id are given up: better missing than twice', async () => {
  const { state, told, metrics } = setUp()
  metrics.count('baton_http_requests_total')
  state.away = true
  await metrics.flush()
  state.now = 40_001
  state.away = false
  metrics.count('baton_http_requests_total', {}, 5)
  await metrics.flush()
  expect(told.map(({ id, counts }) => [id, values(counts)])).toEqual([
    ['flush_1', [1]],
    ['flush_2', [5]],
  ])
})
