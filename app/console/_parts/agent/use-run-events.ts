'use client'

import { useEffect, useMemo, useState } from 'react'
import type { TimelineEvent } from '#app/console/_parts/agent/timeline-model'
import { call, query, type Page } from '#app/console/_parts/api'
import { startRounds } from '#app/console/_parts/rounds'
import { useWanted } from '#app/console/_parts/use-resource'

const pageSize = 200
/** More are not drawn: a run of so many events is longer than a screen can tell. */
const mostPages = 10
const patienceMs = 60_000

/** The stored events of a run, oldest first. Throws Problem. */
async function read(runId: string, signal: AbortSignal): Promise<TimelineEvent[]> {
  const events: TimelineEvent[] = []
  let cursor: string | null = null
  for (let page = 0; page < mostPages; page++) {
    const path: string = `/api/runs/${runId}/events${query({ limit: pageSize, cursor, after: cursor === null ? 0 : null })}`
    const answer: Page<TimelineEvent> = await call('GET', path, { signal })
    events.push(...answer.data)
    cursor = answer.nextCursor
    if (cursor === null) break
  }
  return events
}

/** All durable events of a run: the stored ones, and those that have come since by the stream. */
export function useRunEvents(
  runId: string | null,
  live: readonly TimelineEvent[],
): { events: readonly TimelineEvent[]; error: Error | null; retry: () => void } {
  const [held, setHeld] = useState<{ runId: string; events: TimelineEvent[]; error: Error | null } | null>(null)
  const { wanted, refresh } = useWanted()

  useEffect(() => {
    if (runId === null) return
    return startRounds(async (left) => {
      try {
        const events = await read(runId, AbortSignal.any([left, AbortSignal.timeout(patienceMs)]))
        if (!left.aborted) setHeld({ runId, events, error: null })
        return true
      } catch (cause) {
        if (!left.aborted) setHeld({ runId, events: [], error: cause instanceof Error ? cause : new Error(String(cause)) })
        return false
      }
    }, undefined)
  }, [runId, wanted])

  return useMemo(() => {
    const stored = held !== null && held.runId === runId ? held.events : []
    const last = stored.at(-1)?.seq ?? 0
    const since = live.filter((event) => event.runId === runId && event.seq > last)
    return { events: [...stored, ...since], error: held?.runId === runId ? held.error : null, retry: refresh }
  }, [held, runId, live, refresh])
}
