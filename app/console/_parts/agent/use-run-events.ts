'use client'

import { useEffect, useMemo, useState } from 'react'
import type { TimelineEvent } from '#app/console/_parts/agent/timeline-model'
import { call, query, type Page } from '#app/console/_parts/api'

const pageSize = 200
/** More are not drawn: a run of so many events is longer than a screen can tell. */
const mostPages = 10

/** All durable events of a run: the stored ones, and those that have come since by the stream. */
export function useRunEvents(
  runId: string | null,
  live: readonly TimelineEvent[],
): { events: readonly TimelineEvent[]; error: Error | null } {
  const [held, setHeld] = useState<{ runId: string; events: TimelineEvent[]; error: Error | null } | null>(null)

  useEffect(() => {
    if (runId === null) return
    const left = new AbortController()
    const read = async (): Promise<void> => {
      const events: TimelineEvent[] = []
      let cursor: string | null = null
      for (let page = 0; page < mostPages; page++) {
        const path: string = `/api/runs/${runId}/events${query({ limit: pageSize, cursor, after: cursor === null ? 0 : null })}`
        const answer: Page<TimelineEvent> = await call('GET', path, { signal: left.signal })
        events.push(...answer.data)
        cursor = answer.nextCursor
        if (cursor === null) break
      }
      setHeld({ runId, events, error: null })
    }
    read().catch((cause: unknown) => {
      if (!left.signal.aborted) setHeld({ runId, events: [], error: cause instanceof Error ? cause : new Error(String(cause)) })
    })
    return () => left.abort()
  }, [runId])

  return useMemo(() => {
    const stored = held !== null && held.runId === runId ? held.events : []
    const last = stored.at(-1)?.seq ?? 0
    const since = live.filter((event) => event.runId === runId && event.seq > last)
    return { events: [...stored, ...since], error: held?.runId === runId ? held.error : null }
  }, [held, runId, live])
}
