import { expect, test } from 'vitest'
import { isReadable } from '#lib/core/readable'

const call = { type: 'tool-call', toolCallId: 'c', toolName: 'echo', input: {} }
const result = { type: 'tool-result', toolCallId: 'c', toolName: 'echo', output: { type: 'text', value: 'x' } }

test('text and parts of each role can be read, also kinds of parts that are not known here', () => {
  expect(isReadable({ role: 'user', content: 'hi' })).toBe(true)
  expect(
    isReadable({
      role: 'user',
      content: [
        { type: 'text', text: 'hi' },
        { type: 'file', data: 'x' },
      ],
    }),
  ).toBe(true)
  expect(isReadable({ role: 'assistant', content: [{ type: 'reasoning', text: 'x' }, call] })).toBe(true)
  expect(isReadable({ role: 'tool', content: [result] })).toBe(true)
  expect(isReadable({ role: 'assistant', content: [] })).toBe(true)
})

test.each<[Parameters<typeof isReadable>[0]['role'], unknown]>([
  ['user', { broken: true }],
  ['user', null],
  ['user', 7],
  ['assistant', [null]],
  ['assistant', ['text']],
  ['assistant', [{ text: 'no type' }]],
  ['assistant', [{ type: 'text' }]],
  ['assistant', [{ ...call, toolCallId: undefined }]],
  ['assistant', [{ ...call, toolName: undefined }]],
  ['tool', [{ ...result, toolName: 7 }]],
  ['tool', 'text'],
  ['tool', [{ type: 'image' }]],
  ['tool', [{ ...result, output: null }]],
  ['tool', [{ ...result, output: 'text' }]],
])('%s with %j cannot be read', (role, content) => {
  expect(isReadable({ role, content })).toBe(false)
})
