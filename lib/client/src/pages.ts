import type { Api, CallOptions } from '#client/http'

/** One page of a list; `nextCursor` null on the last. */
export interface Page<Item> {
  data: Item[]
  nextCursor: string | null
}

/** What every list takes: the size of a page (50, at most 200) and where to begin. */
export interface ListOptions extends CallOptions {
  limit?: number
  cursor?: string
}

/** A list: iterate over its items (pages are fetched as they are needed), over its pages, or take one page. */
export interface Pages<Item> extends AsyncIterable<Item> {
  pages(): AsyncIterable<Page<Item>>
  page(): Promise<Page<Item>>
}

/** The list at a path. */
export function listOf<Item>(api: Api, path: string, { signal, timeoutMs, ...query }: ListOptions = {}): Pages<Item> {
  const call = { ...(signal && { signal }), ...(timeoutMs !== undefined && { timeoutMs }) }
  const page = (cursor?: string): Promise<Page<Item>> => api.json('GET', path, { ...call, query: { ...query, ...(cursor && { cursor }) } })
  async function* pages(): AsyncGenerator<Page<Item>, void, undefined> {
    for (let cursor: string | undefined; ;) {
      const next = await page(cursor)
      yield next
      if (next.nextCursor === null) return
      cursor = next.nextCursor
    }
  }
  return {
    pages,
    page: () => page(),
    async *[Symbol.asyncIterator]() {
      for await (const { data } of pages()) yield* data
    },
  }
}
