import { expect, test } from 'vitest'
import { createWatchers } from '#lib/live/watchers'

test('a watcher counts until its life is over and is new again after it', () => {
  const time = { now: 0 }
  const watchers = createWatchers({ monotonic: () => time.now }, 30_000)
  expect(watchers.has('a')).toBe(false)
  expect(watchers.note('a')).toBe(true)
  time.now = 20_000
  expect(watchers.note('a')).toBe(false)
  time.now = 49_999
  expect(watchers.has('a')).toBe(true)
  time.now = 50_000
  expect(watchers.has('a')).toBe(false)
  expect(watchers.note('a')).toBe(true)
})

test('of too many the longest silent are forgotten', () => {
  const watchers = createWatchers({ monotonic: () => 0 }, 30_000)
  for (let index = 0; index < 10_000; index += 1) watchers.note(`a${index}`)
  watchers.note('a0')
  watchers.note('one more')
  expect(['a0', 'a1', 'a2', 'one more'].map((agentUid) => watchers.has(agentUid))).toEqual([true, false, true, true])
})
