/** A cron expression for every so many milliseconds: whole minutes, or whole seconds (local executor only) below one. */
export function cronOf(everyMs: number): string {
  const seconds = Math.max(1, Math.round(everyMs / 1_000))
  if (seconds < 60) return `*/${seconds} * * * * *`
  return `*/${Math.min(59, Math.round(seconds / 60))} * * * *`
}
