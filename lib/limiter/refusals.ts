import { reasonOf } from '#lib/core/errors'
import type { Clock, Log, RateVerdict } from '#lib/core/ports'
import type { Authority } from '#lib/core/store'

/** Refused requests of one caller: how many since the last entry, and the limit that refused the last of them. */
export interface Refusals {
  authority: Authority
  limit: string
  perWindow: number
  count: number
}

/** Writes one audit entry. */
export type TellRefusals = (refusals: Refusals) => Promise<unknown>

/** A caller's refusals are told so often at most: a flood must not write a row for each request. */
const tellEveryMs = 60_000
const mostCallers = 1_000

/** The first refusal of a caller is told at once, those of the next minute together by the first one after it. */
export function createRefusals(tell: TellRefusals, clock: Pick<Clock, 'monotonic'>, log: Log) {
  const callers = new Map<string, { toldAt: number; count: number }>()
  return {
    /** Counts a refusal; the promise, which never rejects, is that of the entry that is due now. */
    note(authority: Authority, caller: string, { which }: RateVerdict): Promise<void> | null {
      const now = clock.monotonic()
      const known = callers.get(caller)
      const count = (known?.count ?? 0) + 1
      if (known !== undefined && now - known.toldAt < tellEveryMs) {
        known.count = count
        return null
      }
      callers.delete(caller)
      if (callers.size >= mostCallers) for (const oldest of callers.keys()) if (callers.delete(oldest)) break
      callers.set(caller, { toldAt: now, count: 0 })
      return tell({ authority, limit: which?.name ?? '', perWindow: which?.limit ?? 0, count }).then(
        () => undefined,
        (error: unknown) => log.warn('refused requests were not written to the audit log', { caller, count, error: reasonOf(error) }),
      )
    },
  }
}
