import { expect, test } from 'vitest'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'

test('a cursor is good for its own list in its own order, and for keys of that list', () => {
  const key = 'run_01a1fd04305c760996ed0d81c8764dcf'
  const cursor = encodeCursor('runs', key, 'desc')
  expect(decodeCursor('runs', cursor, 'desc')).toBe(key)
  const number = encodeCursor('messages', '12')
  const wrong = [
    () => decodeCursor('runs', cursor, 'asc'),
    // What is left of it behind the other order's longer name looks like a key, too: 2.
    () => decodeCursor('messages', number, 'desc'),
    () => decodeCursor('deliveries', number),
    () => decodeCursor('runs', encodeCursor('runs', "run_1' or true", 'desc'), 'desc'),
    () => decodeCursor('audit', encodeCursor('audit', '2026-99-99T00:00:00Z|1')),
    () => decodeCursor('runs', 'nonsense'),
  ]
  for (const read of wrong) expect(read).toThrow(expect.objectContaining({ code: 'invalid_cursor' }))
})
