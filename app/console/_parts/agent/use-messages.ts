'use client'

import { useEffect, useMemo, useState } from 'react'
import type { MessageRow } from '#app/console/_parts/agent/conversation.tsx'
import { createMessageReader, type Messages } from '#app/console/_parts/agent/message-reader'
import { startRounds } from '#app/console/_parts/rounds'
import { useAction, useWanted, type Resource } from '#app/console/_parts/use-resource'

/** The end of a conversation of which there were `count` messages when it was opened; null waits. Each refresh reads to the newest, until it has succeeded. */
export function useMessages(path: string, count: number | null): Resource<MessageRow[]> & { earlier: (() => void) | null } {
  const [held, setHeld] = useState<Messages | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const { wanted, refresh } = useWanted()
  const reader = useMemo(() => (count === null ? null : createMessageReader(path, count, setHeld)), [path, count])
  const earlier = useAction(async () => reader?.earlier())

  useEffect(() => {
    if (reader === null) return
    return startRounds(async (left) => {
      try {
        await reader.newer(left)
        if (!left.aborted) setError(null)
        return true
      } catch (cause) {
        if (!left.aborted) setError(cause instanceof Error ? cause : new Error(String(cause)))
        return false
      }
    }, undefined)
  }, [reader, wanted])

  return {
    data: useMemo(() => (held === null ? null : [...held.entered, ...held.queued]), [held]),
    error: error ?? earlier.error,
    loading: held === null && error === null,
    refresh,
    earlier: held === null || held.from === 0 ? null : () => earlier.run(),
  }
}
