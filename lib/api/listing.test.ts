import { expect, test } from 'vitest'
import { listing } from '#lib/api/listing'

const row = (id: number, bytes: number): { id: number; text: string } => ({ id, text: 'ü'.repeat((bytes - 18) / 2) })
const shown = (rows: readonly { id: number }[], limit: number): unknown => {
  const { data, nextCursor } = listing(rows, limit, ({ id }) => `at ${id}`)
  return [data.map(({ id }) => id), nextCursor]
}

test('a page ends at its number of rows, and says so by the cursor of the last one', () => {
  expect(shown([], 2)).toEqual([[], null])
  expect(shown([row(1, 100)], 2)).toEqual([[1], null])
  expect(shown([row(1, 100), row(2, 100)], 2)).toEqual([[1, 2], 'at 2'])
})

test('a page ends at 4,000,000 bytes too, with one row at least', () => {
  expect(Buffer.byteLength(JSON.stringify(row(1, 2_000_000)))).toBe(2_000_000)
  expect(shown([row(1, 2_000_000), row(2, 2_000_000)], 9)).toEqual([[1, 2], null])
  expect(shown([row(1, 2_000_000), row(2, 2_000_000), row(3, 18)], 9)).toEqual([[1, 2], 'at 2'])
  expect(shown([row(1, 6_000_000), row(2, 18)], 9)).toEqual([[1], 'at 1'])
  expect(shown([row(1, 6_000_000)], 9)).toEqual([[1], null])
})
