import { expect, test } from 'vitest'
import { createDrafts } from '#app/console/_parts/drafts'

test('a draft is kept for who typed it, and shown to no other caller', () => {
  const drafts = createDrafts()
  drafts.keep('key:1', 'message', 'half a sentence')
  expect([drafts.read('key:1', 'message'), drafts.read('key:1', 'note')]).toEqual(['half a sentence', undefined])
  expect([drafts.read('key:2', 'message'), drafts.read(null, 'message')]).toEqual([undefined, undefined])
})

test('what was sent or taken back is forgotten, and everything when its caller signs out', () => {
  const drafts = createDrafts()
  for (const name of ['one', 'two']) drafts.keep('key:1', name, 'text')
  drafts.keep('key:1', 'one', undefined)
  expect([drafts.read('key:1', 'one'), drafts.read('key:1', 'two')]).toEqual([undefined, 'text'])
  drafts.clear()
  expect(drafts.read('key:1', 'two')).toBeUndefined()
})
