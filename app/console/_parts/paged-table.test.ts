import { expect, test } from 'vitest'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'

/** What an empty page of a list is made of, the first or another one. */
function emptyPage(page: number): string {
  const list = { data: { data: [], nextCursor: null }, error: null, loading: false, refresh: () => undefined }
  const pages = { cursor: null, page, forward: () => undefined, back: () => undefined }
  return JSON.stringify(PagedTable<string>({ list, pages, columns: ['Name'], empty: 'None yet', children: (row) => row }))
}

test('a page behind the last row says that there are no more, and not that there are none', () => {
  expect(emptyPage(1)).toContain('None yet')
  expect(emptyPage(2)).toContain('No more')
  expect(emptyPage(2)).not.toContain('None yet')
})
