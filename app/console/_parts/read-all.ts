import { call, type Page } from '#app/console/_parts/api'

/** More pages of a list are not read: it is longer than a screen can tell. */
const mostPages = 10

/** Reads a list from its beginning, up to ten pages as one; `nextCursor` says that there is more. The path has a query. Throws Problem. */
export async function readAll<Row>(path: string, signal: AbortSignal): Promise<Page<Row>> {
  const data: Row[] = []
  let nextCursor: string | null = null
  for (let page = 0; page < mostPages; page++) {
    const cursor: string = nextCursor === null ? '' : `&cursor=${encodeURIComponent(nextCursor)}`
    const answer: Page<Row> = await call('GET', `${path}${cursor}`, { signal })
    data.push(...answer.data)
    nextCursor = answer.nextCursor
    if (nextCursor === null) break
  }
  return { data, nextCursor }
}
