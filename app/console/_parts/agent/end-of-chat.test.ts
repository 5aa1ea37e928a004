import { expect, test } from 'vitest'
import { followsEnd } from '#app/console/_parts/agent/end-of-chat'

const box = (scrollTop: number, scrollHeight = 2_000) => ({ scrollTop, scrollHeight, clientHeight: 500 })

test('who goes up to read is left there, and who comes back to the end follows it again', () => {
  expect(followsEnd(true, 1_500, box(900))).toBe(false)
  expect(followsEnd(false, 900, box(1_100))).toBe(false)
  expect(followsEnd(false, 1_100, box(1_300))).toBe(true)
})

test('text that comes between a scroll of our own and its event does not end the following', () => {
  expect(followsEnd(true, 1_500, box(1_500, 4_000))).toBe(true)
})

test('who goes up by a little while text comes is not pulled back; a box that has become shorter is still at its end', () => {
  expect(followsEnd(true, 1_500, box(1_400))).toBe(false)
  expect(followsEnd(false, 1_400, box(1_380))).toBe(false)
  expect(followsEnd(true, 1_500, box(1_299, 1_800))).toBe(true)
})
