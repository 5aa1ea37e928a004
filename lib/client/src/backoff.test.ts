import { expect, test, vi } from 'vitest'
import { backoffMs, linked, sleep } from '#client/backoff'

test('waits double up to a limit, and half of each is chance', () => {
  const least = [0, 1, 2, 3].map((failures) => backoffMs(failures, { base: 500, random: () => 0 }))
  const most = [0, 1, 2, 3].map((failures) => backoffMs(failures, { base: 500, random: () => 1 }))
  expect(least).toEqual([250, 500, 1_000, 2_000])
  expect(most).toEqual([500, 1_000, 2_000, 4_000])
  expect(backoffMs(400, { random: () => 1 })).toBe(15_000)
})

test('two clients that lost their streams together do not come back together', () => {
  expect(new Set(Array.from({ length: 50 }, () => backoffMs(3))).size).toBeGreaterThan(20)
})

test('a sleep ends with the reason of its signal, also of one that has aborted', async () => {
  const stop = new AbortController()
  const asleep = sleep(60_000, stop.signal)
  stop.abort(new Error('enough'))
  await expect(asleep).rejects.toThrow('enough')
  await expect(sleep(1, stop.signal)).rejects.toThrow('enough')
  stop.abort()
})

test('a sleep that is over listens to its signal no longer, so that a long stream gathers none', async () => {
  const { signal } = new AbortController()
  const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')]
  await sleep(1, signal)
  expect(added).toHaveBeenCalledOnce()
  expect(removed).toHaveBeenCalledExactlyOnceWith('abort', added.mock.calls[0]?.[1])
})

test('a linked signal follows any of its signals until it is released', () => {
  const [one, two] = [new AbortController(), new AbortController()]
  const { controller } = linked(one.signal, undefined, two.signal)
  two.abort(new Error('two'))
  expect(controller.signal.reason).toMatchObject({ message: 'two' })
  const released = linked(one.signal)
  released.release()
  one.abort()
  expect(released.controller.signal.aborted).toBe(false)
  expect(linked(one.signal).controller.signal.aborted).toBe(true)
})
