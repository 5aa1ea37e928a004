'use client'

import { useCallback, useState, type SetStateAction } from 'react'
import { drafts } from '#app/console/_parts/drafts'
import { useSession } from '#app/console/_parts/session.tsx'

/**
 * State that is still there when its caller comes back to the page, also after signing in again; `empty` is nothing to keep. What is set by an
 * answer that comes when the page has been left counts too: a message that was sent is no draft.
 */
export function useDraft<Value extends string | null>(name: string, empty: Value): [Value, (next: SetStateAction<Value>) => void] {
  const { actor } = useSession().session
  const read = useCallback(() => (drafts.read(actor, name) as Value | undefined) ?? empty, [actor, name, empty])
  const [value, setValue] = useState(read)
  const set = useCallback(
    (next: SetStateAction<Value>) => {
      const made = typeof next === 'function' ? next(read()) : next
      drafts.keep(actor, name, made === empty ? undefined : made)
      setValue(made)
    },
    [actor, name, empty, read],
  )
  return [value, set]
}
