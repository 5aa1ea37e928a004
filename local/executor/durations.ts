const UNIT_MS: Record<string, number> = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 }

/** Milliseconds of a sleep as the SDK writes it: `1d2h30m` or an instant in ISO form, counted from the real clock; null when it is neither. */
export function sleepMs(text: string, realNow: number): number | null {
  if (/^(\d+[wdhms])+$/.test(text)) {
    let total = 0
    for (const [, amount, unit] of text.matchAll(/(\d+)([wdhms])/g)) total += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0)
    return total
  }
  // The SDK writes a sleep of 0 ms as an empty string.
  if (text === '') return 0
  const instant = Date.parse(text)
  return Number.isNaN(instant) ? null : Math.max(0, instant - realNow)
}

/** Milliseconds of a `retry-after` header: seconds or a date; null when absent or unreadable. */
export function retryAfterMs(header: string | undefined, realNow: number): number | null {
  if (header === undefined || header === '') return null
  if (/^\d+(\.\d+)?$/.test(header)) return Number(header) * 1000
  const instant = Date.parse(header)
  return Number.isNaN(instant) ? null : Math.max(0, instant - realNow)
}

const BACKOFF_MS = [1000, 2000, 5000, 10_000]

/** How long to wait before the given attempt (1 is the first retry): shorter than Inngest's own 15 to 45 s, for people who watch. */
export function backoffMs(attempt: number): number {
  return BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length) - 1] ?? 1000
}
