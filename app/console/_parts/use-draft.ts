'use client'

import { useCallback, useMemo, useSyncExternalStore, type SetStateAction } from 'react'
import { drafts } from '#app/console/_parts/drafts'
import { useSession } from '#app/console/_parts/session.tsx'
import { createTries, type Kept, type Tries } from '#app/console/_parts/tries'

/**
 * State that is still there when its caller comes back to the page, also after signing in again; `empty` is nothing to keep. What is set by an
 * answer that comes when the page has been left counts too, also where the page was come back to: a message that was sent is no draft.
 */
export function useDraft<Value extends string | null>(name: string, empty: Value): [Value, (next: SetStateAction<Value>) => void] {
  const { actor } = useSession().session
  const read = useCallback(() => (drafts.read(actor, name) as Value | undefined) ?? empty, [actor, name, empty])
  const value = useSyncExternalStore(drafts.subscribe, read, read)
  const set = useCallback(
    (next: SetStateAction<Value>) => {
      const made = typeof next === 'function' ? next(read()) : next
      drafts.keep(actor, name, made === empty ? undefined : made)
    },
    [actor, name, empty, read],
  )
  return [value, set]
}

/** What a draft was sent with, kept where the draft is: who comes back and sends the same words sends the same request. */
export function useTries<Made>(name: string): Tries<Made> {
  const { actor } = useSession().session
  return useMemo(
    () =>
      createTries({
        read: () => drafts.read(actor, name) as ReturnType<Kept<Made>['read']>,
        keep: (held) => drafts.keep(actor, name, held),
      }),
    [actor, name],
  )
}
