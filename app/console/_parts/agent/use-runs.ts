'use client'

import { useCallback, useState } from 'react'
import type { RunView } from '#lib/core/store'
import { mergedRuns, runShown } from '#app/console/_parts/agent/run-choice'
import { call, query, type Page } from '#app/console/_parts/api'
import { useAction, useResource, type Resource } from '#app/console/_parts/use-resource'

const pageSize = 20

/** The runs of an agent that are known, and the one that is looked at. */
export interface Runs extends Omit<Resource<readonly RunView[]>, 'loading'> {
  run: RunView | null
  /** Reads the page behind the last one; null where there is none. */
  older: (() => void) | null
}

/** The newest runs below `path` (null waits), and as many older ones as were asked for. The run that is looked at is among them, however old it is. */
export function useRuns(path: string | null, { chosen, active }: { chosen: string | null; active: string | null }, everyMs: number): Runs {
  const newest = useResource<Page<RunView>>(path === null ? null : `${path}${query({ limit: pageSize })}`, everyMs)
  const [before, setBefore] = useState<Page<RunView> | null>(null)
  const last = before ?? newest.data
  const more = useAction(async () => {
    if (last === null) return
    const page = await call<Page<RunView>>('GET', `${path}${query({ limit: pageSize, cursor: last.nextCursor })}`)
    setBefore({ ...page, data: [...last.data, ...page.data] })
  })
  const wanted = chosen ?? active
  const isListed = newest.data === null || newest.data.data.some(({ id }) => id === wanted)
  const alone = useResource<RunView>(wanted === null || isListed ? null : `/api/runs/${wanted}`, everyMs)
  const list = newest.data === null ? null : mergedRuns(newest.data.data, alone.data === null ? [] : [alone.data], before?.data ?? [])
  return {
    data: list,
    run: list === null ? null : runShown(list, chosen, active),
    error: newest.error ?? alone.error ?? more.error,
    refresh: useCallback(() => {
      newest.refresh()
      alone.refresh()
    }, [newest.refresh, alone.refresh]),
    older: (last?.nextCursor ?? null) === null ? null : () => more.run(),
  }
}
