import { expect, test } from 'vitest'
import { clockSkew } from '#scripts/doctor/clock'

test('a clock that is minutes off fails, except where machine and database are one', () => {
  const level = (offMs: number, local: boolean) => clockSkew(new Date(Date.now() + offMs).toISOString(), local).level
  expect([level(0, false), level(-600_000, false), level(600_000, false), level(600_000, true)]).toEqual(['ok', 'fail', 'fail', 'ok'])
})
