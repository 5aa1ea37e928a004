import { afterEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { longestParseMs, parseSafely } from '#lib/core/parse'

afterEach(() => void vi.useRealTimers())

test('a value that fits comes as the schema makes it, and no timer is left', async () => {
  vi.useFakeTimers()
  expect(await parseSafely(z.string().transform(Number), '7')).toEqual({ success: true, data: 7 })
  expect(vi.getTimerCount()).toBe(0)
})

test.each([
  ['throws an error', () => new URL('nowhere'), /URL/],
  ['throws something else', () => Promise.reject(Object.create(null) as Error), /^its schema failed$/],
])('a schema that %s is a value that does not fit', async (_what, change, says) => {
  const { error } = await parseSafely(z.string().transform(change), 'x')
  expect(error?.issues).toMatchObject([{ code: 'custom', path: [], message: expect.stringMatching(says) }])
})

test('a schema that never answers is a value that does not fit, after its time', async () => {
  vi.useFakeTimers()
  const never = z.string().refine(() => new Promise<boolean>(() => undefined))
  const parsed = parseSafely(never, 'x')
  await vi.advanceTimersByTimeAsync(longestParseMs)
  expect((await parsed).error?.issues[0]?.message).toContain(`within ${longestParseMs} ms`)
})
