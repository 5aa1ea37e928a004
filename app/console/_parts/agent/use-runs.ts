'use client'

import { useCallback, useEffect, useRef, useState } from 'react'
import type { RunView } from '#lib/core/store'
import { runsKnown } from '#app/console/_parts/agent/run-choice'
import { readRuns } from '#app/console/_parts/agent/run-reader'
import type { Page } from '#app/console/_parts/api'
import { useResource, type Resource } from '#app/console/_parts/use-resource'

/** How many runs are listed at first, and how many more with each press. */
const pageSize = 20

/** The runs of an agent that are known, and the one that is looked at. */
export interface Runs extends Omit<Resource<readonly RunView[]>, 'loading'> {
  run: RunView | null
  /** Lists a page more; null where there is none. */
  older: (() => void) | null
}

/** The newest runs below `path` (null waits), a page more with each press. The run that is looked at is among them, however old it is. */
export function useRuns(path: string | null, { chosen, active }: { chosen: string | null; active: string | null }, everyMs: number): Runs {
  const [most, setMost] = useState(pageSize)
  const read = useCallback((from: string, signal: AbortSignal) => readRuns(from, most, signal), [most])
  const newest = useResource<Page<RunView>>(path, everyMs, read)
  const wanted = chosen ?? active
  const isListed = newest.data === null || newest.data.data.some(({ id }) => id === wanted)
  const alone = useResource<RunView>(wanted === null || isListed ? null : `/api/runs/${wanted}`, everyMs)
  const before = useRef<RunView | null>(null)
  const known = newest.data === null ? null : runsKnown(newest.data.data, alone, before.current, { chosen, active })
  const run = known?.run ?? null
  useEffect(() => {
    before.current = run
  }, [run])
  const listed = newest.data?.data.length ?? 0
  return {
    data: known?.list ?? null,
    run,
    error: newest.error ?? alone.error,
    refresh: useCallback(() => {
      newest.refresh()
      alone.refresh()
    }, [newest.refresh, alone.refresh]),
    older: (newest.data?.nextCursor ?? null) === null ? null : () => setMost(listed + pageSize),
  }
}
