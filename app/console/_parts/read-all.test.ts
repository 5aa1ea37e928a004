import { afterEach, expect, test, vi } from 'vitest'
import { readAll } from '#app/console/_parts/read-all'

afterEach(() => void vi.unstubAllGlobals())

/** A list of so many pages of one row each, and the addresses that were asked. */
function listOf(pages: number): string[] {
  const asked: string[] = []
  vi.stubGlobal('fetch', (path: string) => {
    asked.push(path)
    return Promise.resolve(Response.json({ data: [asked.length], nextCursor: asked.length < pages ? `c ${asked.length}` : null }))
  })
  return asked
}

const ended = new AbortController().signal

test('a list is read to its end, each page behind the one before', async () => {
  const asked = listOf(3)
  expect(await readAll('/api/usage?limit=200', ended)).toEqual({ data: [1, 2, 3], nextCursor: null })
  expect(asked).toEqual(['/api/usage?limit=200', '/api/usage?limit=200&cursor=c%201', '/api/usage?limit=200&cursor=c%202'])
})

test('of a very long list ten pages are read, and it says that there is more', async () => {
  const asked = listOf(11)
  expect(await readAll('/api/usage?limit=200', ended)).toEqual({ data: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], nextCursor: 'c 10' })
  expect(asked.length).toBe(10)
})
