import type { Clock, RateLimit } from '#lib/core/ports'

/** What one count says of a piece of work. */
export interface RateState {
  limit: RateLimit
  allowed: boolean
  remaining: number
  resetMs: number
}

/** Counts in this process alone. */
export interface LocalCounts {
  /** Takes the work from all counts, or from none. */
  take(limits: readonly RateLimit[]): RateState[]
  giveBack(limits: readonly RateLimit[]): void
  size(): number
}

/** Counts that are kept at a time; the oldest goes first. */
const mostCounts = 10_000

/** The name of a count: another limit counts anew, so that a raised one helps at once. */
export function countName({ key, limit, windowMs }: RateLimit): string {
  return `${key}:${limit}:${windowMs}`
}

/** The same rule as in Redis: the window of a count begins with its first use and gives the whole limit again when it is over. */
export function createLocalCounts(clock: Pick<Clock, 'monotonic'>): LocalCounts {
  const counts = new Map<string, { since: number; used: number }>()

  function countOf(limit: RateLimit): { since: number; used: number } {
    const name = countName(limit)
    const now = clock.monotonic()
    const known = counts.get(name)
    if (known !== undefined && now - known.since < limit.windowMs) return known
    counts.delete(name)
    if (counts.size >= mostCounts) for (const oldest of counts.keys()) if (counts.delete(oldest)) break
    const fresh = { since: now, used: 0 }
    counts.set(name, fresh)
    return fresh
  }

  return {
    take(limits) {
      const found = limits.map((limit) => ({ limit, count: countOf(limit) }))
      const fits = ({ limit, count }: (typeof found)[number]): boolean => count.used + limit.cost <= limit.limit
      if (found.every(fits)) {
        for (const { limit, count } of found) count.used += limit.cost
        return found.map((one) => stateOf(one, true))
      }
      return found.map((one) => stateOf(one, fits(one)))
    },
    giveBack(limits) {
      for (const limit of limits) {
        const count = countOf(limit)
        count.used = Math.max(0, count.used - limit.cost)
      }
    },
    size: () => counts.size,
  }

  function stateOf({ limit, count }: { limit: RateLimit; count: { since: number; used: number } }, allowed: boolean): RateState {
    const resetMs = Math.max(1, Math.ceil(limit.windowMs - (clock.monotonic() - count.since)))
    return { limit, allowed, remaining: Math.max(0, limit.limit - count.used), resetMs }
  }
}
