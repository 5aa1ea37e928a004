'use client'

import { useEffect, useMemo, useState } from 'react'
import type { MessageRow } from '#app/console/_parts/agent/conversation.tsx'
import { createMessageReader, type Messages } from '#app/console/_parts/agent/message-reader'
import { useAction, useWanted, type Resource } from '#app/console/_parts/use-resource'

/** The end of a conversation of which there were `count` messages when it was opened; null waits. Each refresh reads to the newest. */
export function useMessages(path: string, count: number | null): Resource<MessageRow[]> & { earlier: (() => void) | null } {
  const [held, setHeld] = useState<Messages | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const { wanted, refresh } = useWanted()
  const reader = useMemo(() => (count === null ? null : createMessageReader(path, count, setHeld)), [path, count])
  const earlier = useAction(async () => reader?.earlier())

  useEffect(() => {
    if (reader === null) return
    const left = new AbortController()
    reader.newer(left.signal).then(
      () => setError(null),
      (cause: unknown) => {
        if (!left.signal.aborted) setError(cause instanceof Error ? cause : new Error(String(cause)))
      },
    )
    return () => left.abort()
  }, [reader, wanted])

  return {
    data: useMemo(() => (held === null ? null : [...held.entered, ...held.queued]), [held]),
    error: error ?? earlier.error,
    loading: held === null && error === null,
    refresh,
    earlier: held === null || held.from === 0 ? null : () => earlier.run(),
  }
}
