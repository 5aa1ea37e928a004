/** A place in a counter that a request needs while it runs. */
export interface Slot {
  readonly name: string
  readonly limit: number
}

/** Counts the requests that run, by slot; like Inngest it counts executing requests, not runs, so a sleeping run holds nothing. */
export interface Concurrency {
  /** Takes a place in each slot, or in none and returns false. */
  take(slots: readonly Slot[]): boolean
  /** Gives the places back. */
  release(slots: readonly Slot[]): void
  /** How many requests run in all. */
  running(): number
}

/** Makes the counters; `bound` is the limit over everything. */
export function createConcurrency(bound: number): Concurrency {
  const counts = new Map<string, number>()
  let total = 0
  return {
    take(slots) {
      if (total >= bound) return false
      if (slots.some(({ name, limit }) => (counts.get(name) ?? 0) >= limit)) return false
      total += 1
      for (const { name } of slots) counts.set(name, (counts.get(name) ?? 0) + 1)
      return true
    },
    release(slots) {
      total -= 1
      for (const { name } of slots) {
        const left = (counts.get(name) ?? 1) - 1
        if (left === 0) counts.delete(name)
        else counts.set(name, left)
      }
    },
    running: () => total,
  }
}
