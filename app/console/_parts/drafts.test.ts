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

test('whoever shows a draft is told of each change, also of one that an older page makes, until they are told no more', () => {
  const drafts = createDrafts()
  const shown: unknown[] = []
  const end = drafts.subscribe(() => shown.push(drafts.read('key:1', 'message')))
  drafts.keep('key:1', 'message', 'on its way')
  drafts.keep('key:1', 'message', undefined)
  drafts.keep('key:1', 'message', 'the next one')
  drafts.clear()
  end()
  drafts.keep('key:1', 'message', 'unheard')
  expect(shown).toEqual(['on its way', undefined, 'the next one', undefined])
})
