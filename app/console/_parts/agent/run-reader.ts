import type { RunView } from '#lib/core/store'
import { call, query, type Page } from '#app/console/_parts/api'

/** The most that the API hands out at once. */
const pageSize = 200

/**
 * Reads the newest runs below `path`, as many as `most`, in one piece: what came since the last time leaves no gap. `nextCursor` says that there are
 * older ones. Throws Problem.
 */
export async function readRuns(path: string, most: number, signal: AbortSignal): Promise<Page<RunView>> {
  const data: RunView[] = []
  let cursor: string | null = null
  do {
    const limit = Math.min(pageSize, most - data.length)
    const page: Page<RunView> = await call('GET', `${path}${query({ limit, cursor })}`, { signal })
    data.push(...page.data)
    cursor = page.nextCursor
  } while (cursor !== null && data.length < most)
  return { data, nextCursor: cursor }
}
