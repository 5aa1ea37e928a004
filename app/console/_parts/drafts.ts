/** What was typed and is not sent yet, or shown once and not put away: it outlives the page that asks for it, in the memory of the tab alone. */
export interface Drafts {
  read: (actor: string | null, name: string) => unknown
  /** Keeps a value for one caller; undefined forgets it. */
  keep: (actor: string | null, name: string, value: unknown) => void
  clear: () => void
  /** Tells of every change, until what comes back is called. */
  subscribe: (changed: () => void) => () => void
}

export function createDrafts(): Drafts {
  const held = new Map<string, unknown>()
  const told = new Set<() => void>()
  const tell = (): void => told.forEach((changed) => changed())
  const keyOf = (actor: string | null, name: string): string => JSON.stringify([actor, name])
  return {
    read: (actor, name) => held.get(keyOf(actor, name)),
    keep(actor, name, value) {
      if (value === undefined) held.delete(keyOf(actor, name))
      else held.set(keyOf(actor, name), value)
      tell()
    },
    clear() {
      held.clear()
      tell()
    },
    subscribe(changed) {
      told.add(changed)
      return () => void told.delete(changed)
    },
  }
}

/** Those of this tab. */
export const drafts = createDrafts()
