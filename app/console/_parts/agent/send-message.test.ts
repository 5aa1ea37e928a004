import { expect, test } from 'vitest'
import { leftAfter } from '#app/console/_parts/agent/send-message'

test('a message that has been sent leaves the box; what was typed while it was on its way stays', () => {
  expect(leftAfter('first', 'first')).toBe('')
  expect(leftAfter('first', 'second')).toBe('second')
  expect(leftAfter('first', 'first and more')).toBe('first and more')
})
