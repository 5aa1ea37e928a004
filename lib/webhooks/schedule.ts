const seconds = 1_000
const minutes = 60 * seconds
const hours = 60 * minutes

/** Pauses after the first, second, ... failed attempt in milliseconds: together a little over three days (Standard Webhooks' own table). */
const pauses = [5 * seconds, 5 * minutes, 30 * minutes, 2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours] as const
/** No receiver may put a delivery off for longer than this. */
const longestRetryAfterMs = 24 * hours
/** Share of a pause that is left to chance, so that deliveries which failed together do not come back together. */
const jitter = 0.2

/** How often a delivery is tried in all. */
export const mostAttempts = pauses.length + 1

/** An endpoint that has accepted nothing for so long is disabled, where it has also failed `disableAfterFailures` times in a row. */
export const disableAfterMs = 72 * hours
/** As many as one delivery has attempts: a single failed event over three days is enough, a quiet endpoint's one hiccup is not. */
export const disableAfterFailures = 10

/**
 * Milliseconds from now to the next attempt; null when the schedule is spent. `attempts` counts those made (1 after the first),
 * `random` is from 0 up to 1, `haste` divides the pause (local mode). Never earlier than the receiver asked for, within 24 h.
 */
export function nextAttemptMs(at: { attempts: number; retryAfterMs: number | null; random: number; haste: number }): number | null {
  const pause = pauses[at.attempts - 1]
  if (pause === undefined) return null
  const asked = Math.min(Math.max(at.retryAfterMs ?? 0, 0), longestRetryAfterMs)
  return Math.round(Math.max((pause * (1 + jitter * at.random)) / at.haste, asked))
}

/** What a Retry-After header asks for, in milliseconds from `nowMs`: seconds or an HTTP date (RFC 9110, 10.2.3); null when it is neither. */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | null {
  const text = header?.trim() ?? ''
  if (/^\d{1,10}$/.test(text)) return Number(text) * seconds
  // Dates begin with the day's name; Date.parse alone would read "-5" and "1.5" as years.
  if (!/^[A-Za-z]{3,9},? /.test(text)) return null
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs)
}
