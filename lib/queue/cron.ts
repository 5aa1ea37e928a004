/** A cron expression for every so many milliseconds. What comes out even in no hour is rounded, and below a minute it has seconds: both for the local executor only. */
export function cronOf(everyMs: number): string {
  const seconds = Math.max(1, Math.round(everyMs / 1_000))
  if (seconds < 60) return `*/${seconds} * * * * *`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `*/${minutes} * * * *`
  const hours = Math.round(minutes / 60)
  return hours < 24 ? `0 */${hours} * * *` : '0 0 * * *'
}
