import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startRounds } from '#app/console/_parts/rounds'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A page that the test shows and hides, and questions that it answers itself. */
function start(everyMs?: number) {
  const page = Object.assign(new EventTarget(), { hidden: false })
  const open: ((well: boolean) => void)[] = []
  let asked = 0
  const end = startRounds(
    () => {
      asked += 1
      return new Promise((answer) => open.push(answer))
    },
    everyMs,
    page,
  )
  return {
    asked: () => asked,
    end,
    async answer(well = true) {
      open.shift()?.(well)
      await vi.advanceTimersByTimeAsync(0)
    },
    look(looked: boolean) {
      page.hidden = !looked
      page.dispatchEvent(new Event('visibilitychange'))
    },
  }
}

test('a page that is hidden and shown while it asks does not ask twice as often from then on', async () => {
  const page = start(1_000)
  for (const looked of [false, true, false, true]) page.look(looked)
  expect(page.asked()).toBe(1)
  for (let round = 2; round < 6; round++) {
    await page.answer()
    await vi.advanceTimersByTimeAsync(1_000)
    expect([page.asked(), vi.getTimerCount()]).toEqual([round, 0])
  }
  page.end()
})

test('a page in the background asks for nothing, and at once when it is looked at again', async () => {
  const page = start(1_000)
  await page.answer()
  page.look(false)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(page.asked()).toBe(1)
  page.look(true)
  expect(page.asked()).toBe(2)
  page.end()
})

test('what fails is asked for ever less often, at most sixteen times as rarely, and as before when it goes well', async () => {
  const page = start(1_000)
  for (const seconds of [2, 4, 8, 16, 16]) {
    await page.answer(false)
    const before = page.asked()
    await vi.advanceTimersByTimeAsync(seconds * 1_000 - 1)
    expect(page.asked()).toBe(before)
    await vi.advanceTimersByTimeAsync(1)
    expect(page.asked()).toBe(before + 1)
  }
  await page.answer()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(page.asked()).toBe(7)
  page.end()
})

test('what has no pace and failed is asked for until it went well, also when the page is looked at again, and then no more', async () => {
  const page = start()
  await page.answer(false)
  await vi.advanceTimersByTimeAsync(4_999)
  expect(page.asked()).toBe(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(page.asked()).toBe(2)
  await page.answer(false)
  page.look(false)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(page.asked()).toBe(2)
  page.look(true)
  expect(page.asked()).toBe(3)
  await page.answer()
  page.look(false)
  page.look(true)
  expect([page.asked(), vi.getTimerCount()]).toEqual([3, 0])
})

test('without a pace it asks once; who leaves is asked for nothing more, whatever was under way', async () => {
  const once = start()
  await once.answer()
  once.look(false)
  once.look(true)
  expect([once.asked(), vi.getTimerCount()]).toEqual([1, 0])
  const left = start(1_000)
  left.end()
  await left.answer()
  left.look(true)
  expect([left.asked(), vi.getTimerCount()]).toEqual([1, 0])
})
