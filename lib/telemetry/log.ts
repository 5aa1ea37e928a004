import type { Log } from '#lib/core/ports'
import type { Redact } from '#lib/core/redact'

/** One JSON line a call, without secrets; `error` lines are for standard error. */
export function jsonLog(write: (line: string, error: boolean) => void, redact: Redact): Log {
  const line =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}): void =>
      write(`${JSON.stringify(redact({ timestamp: new Date().toISOString(), level, message, ...fields }))}\n`, level === 'error')
  return { info: line('info'), warn: line('warn'), error: line('error') }
}
