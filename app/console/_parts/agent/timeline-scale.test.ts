import { expect, test } from 'vitest'
import { scaleOf } from '#app/console/_parts/agent/timeline-scale'
import type { Timeline } from '#app/console/_parts/agent/timeline-model'

const slice = (from: number, to: number | null): Timeline['slices'][number] => ({ from, to }) as Timeline['slices'][number]

test('a pause of an hour between two seconds of work is drawn as short as an eighth of the work; all stays in order', () => {
  const hour = 3_600_000
  const { place, pauses } = scaleOf({ from: 0, to: hour + 2_000, slices: [slice(0, 1_000), slice(hour + 1_000, null)] })
  expect(pauses).toHaveLength(1)
  const [pause] = pauses
  expect([pause?.from, pause?.to]).toEqual([1_000, hour + 1_000])
  // Two seconds of work and 12 % of them.
  expect(pause?.width).toBeCloseTo((240 / 2_240) * 100, 6)
  expect(pause?.left).toBeCloseTo((1_000 / 2_240) * 100, 6)
  const places = [0, 500, 1_000, hour / 2, hour + 1_000, hour + 1_500, hour + 2_000].map(place)
  expect(places).toEqual(places.toSorted((a, b) => a - b))
  expect([places[0], places.at(-1), place(-5), place(hour * 2)]).toEqual([0, 100, 0, 100])
  expect(place(hour + 1_500)).toBeCloseTo((1_740 / 2_240) * 100, 6)
})

test('without a long pause the axis is the time itself', () => {
  const { place, pauses } = scaleOf({ from: 100, to: 300, slices: [slice(100, 200), slice(210, 300)] })
  expect(pauses).toEqual([])
  expect([100, 150, 205, 300].map(place)).toEqual([0, 25, 52.5, 100])
})
