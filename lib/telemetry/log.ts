import type { Log } from '#lib/core/ports'

/** One JSON line a call on standard output or, for errors, standard error. */
export function jsonLog(write: (line: string, error: boolean) => void): Log {
  const line =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}): void =>
      write(`${JSON.stringify({ timestamp: new Date().toISOString(), level, message, ...fields })}\n`, level === 'error')
  return { info: line('info'), warn: line('warn'), error: line('error') }
}
