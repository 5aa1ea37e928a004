'use client'

import { useCallback, useEffect, useRef, useState } from 'react'
import { call } from '#app/console/_parts/api'
import { startRounds } from '#app/console/_parts/rounds'

/** What a page knows of an address: the last good answer stays while a newer one is asked for, or could not be had. */
export interface Resource<Answer> {
  data: Answer | null
  error: Error | null
  loading: boolean
  /** Asks again at once. */
  refresh: () => void
}

interface Held<Answer> {
  path: string | null
  data: Answer | null
  error: Error | null
}

/** How often something was asked for anew, and what asks for it. */
export function useWanted(): { wanted: number; refresh: () => void } {
  const [wanted, setWanted] = useState(0)
  return { wanted, refresh: useCallback(() => setWanted((count) => count + 1), []) }
}

const readOne = <Answer>(path: string, signal: AbortSignal): Promise<Answer> => call('GET', path, { signal })

/**
 * Reads an address and, with `everyMs`, reads it again while the page is looked at; a page in the background asks for nothing. `read` must be the same
 * function each time.
 */
export function useResource<Answer>(
  path: string | null,
  everyMs?: number,
  read: (path: string, signal: AbortSignal) => Promise<Answer> = readOne,
): Resource<Answer> {
  const [held, setHeld] = useState<Held<Answer>>({ path: null, data: null, error: null })
  const { wanted, refresh } = useWanted()

  useEffect(() => {
    if (path === null) return
    return startRounds(async (ended) => {
      try {
        const data = await read(path, AbortSignal.any([ended, AbortSignal.timeout(30_000)]))
        if (!ended.aborted) setHeld({ path, data, error: null })
        return true
      } catch (cause) {
        const error = cause instanceof Error ? cause : new Error(String(cause))
        if (!ended.aborted) setHeld((before) => ({ path, data: before.path === path ? before.data : null, error }))
        return false
      }
    }, everyMs)
  }, [path, everyMs, wanted, read])

  const current = held.path === path
  return { data: current ? held.data : null, error: current ? held.error : null, loading: path !== null && !current, refresh }
}

/** Something a button does: one at a time, its failure kept for the page to show. */
export interface Action<Given extends unknown[]> {
  run: (...given: Given) => void
  busy: boolean
  error: Error | null
  clear: () => void
}

export function useAction<Given extends unknown[]>(work: (...given: Given) => Promise<unknown>): Action<Given> {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<Error | null>(null)
  const going = useRef(false)
  const latest = useRef(work)
  useEffect(() => {
    latest.current = work
  })
  const run = useCallback((...given: Given) => {
    if (going.current) return
    going.current = true
    setBusy(true)
    setError(null)
    latest
      .current(...given)
      .catch((cause: unknown) => setError(cause instanceof Error ? cause : new Error(String(cause))))
      .finally(() => {
        going.current = false
        setBusy(false)
      })
  }, [])
  return { run, busy, error, clear: useCallback(() => setError(null), []) }
}

/** The cursors of a list: the way back is kept, because a cursor only leads forward. */
export function useCursor(key: string): { cursor: string | null; page: number; forward: (to: string) => void; back: () => void } {
  const [state, setState] = useState<{ key: string; trail: string[] }>({ key, trail: [] })
  const trail = state.key === key ? state.trail : []
  return {
    cursor: trail.at(-1) ?? null,
    page: trail.length + 1,
    forward: (to) => setState({ key, trail: [...trail, to] }),
    back: () => setState({ key, trail: trail.slice(0, -1) }),
  }
}
