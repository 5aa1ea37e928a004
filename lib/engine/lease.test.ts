import { expect, test } from 'vitest'
import { guardLease, LeaseLost } from '#lib/engine/lease'

function setUp() {
  const at = { monotonic: 1_000, wall: 50_000 }
  const clock = { now: () => at.wall, monotonic: () => at.monotonic, sleep: () => Promise.resolve(), random: () => 0 }
  const guard = guardLease(clock, 10_000, { ...at })
  return { at, guard }
}

test('invariant 2: a lease is held for four fifths of its length, by the clock that has gone further', () => {
  const { at, guard } = setUp()
  at.monotonic += 7_999
  expect([guard.held(), guard.leftMs()]).toEqual([true, 1])
  at.wall += 8_000
  expect(guard.held()).toBe(false)
  guard.close()
})

test('invariant 2: a renewal counts from when it was sent', () => {
  const { at, guard } = setUp()
  at.monotonic += 5_000
  const sent = guard.stamp()
  at.monotonic += 2_000
  guard.renewed(sent)
  expect(guard.leftMs()).toBe(6_000)
  guard.close()
})

test('invariant 2: a lease that is lost stays lost, whatever a late renewal says', () => {
  const { guard } = setUp()
  const sent = guard.stamp()
  guard.lose()
  guard.renewed(sent)
  expect([guard.held(), guard.leftMs(), guard.signal.aborted]).toEqual([false, 0, true])
  expect(guard.signal.reason).toBeInstanceOf(LeaseLost)
})
