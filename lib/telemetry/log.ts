import type { Log, LogFields } from '#lib/core/ports'
import type { Redact } from '#lib/core/redact'

/** What the code names as its own things are named, and how they stand in a line: one name each, for whoever searches. */
const names: Readonly<Record<string, string>> = {
  requestId: 'request_id',
  tenantId: 'tenant_id',
  agentId: 'agent_id',
  runId: 'run_id',
  callId: 'call_id',
  durationMs: 'duration_ms',
}

/** How a line is made and where it goes. */
export interface LogOptions {
  /** Writes one line; `error` lines are for standard error. */
  write: (line: string, error: boolean) => void
  redact: Redact
  format: 'json' | 'text'
  /** What every line of the present work carries. */
  fields: () => LogFields
}

/** What a line tells before it is written. */
interface Entry {
  timestamp: string
  level: string
  message: string
  [field: string]: unknown
}

/** One line a call, without secrets: JSON for machines, text for people. */
export function createLog({ write, redact, format, fields }: LogOptions): Log {
  const written = (entry: Entry): string => {
    const clean = redact(entry)
    return format === 'json' ? `${JSON.stringify(clean)}\n` : textLine(clean)
  }
  const line =
    (level: string) =>
    (message: string, given: Record<string, unknown> = {}): void => {
      const entry = { timestamp: new Date().toISOString(), level, message, ...fields() }
      let text
      try {
        // As JSON an error is nothing.
        const own = Object.entries(given).map(([name, value]) => [names[name] ?? name, value instanceof Error ? String(value) : value])
        text = written({ ...entry, ...Object.fromEntries(own) })
      } catch {
        // What a tool gives to its log may throw when it is read; the tool has worked all the same.
        text = written({ ...entry, fields: '[unreadable]' })
      }
      write(text, level === 'error')
    }
  return { info: line('info'), warn: line('warn'), error: line('error') }
}

function textLine({ timestamp, level, message, ...rest }: Entry): string {
  const pairs = Object.entries(rest).map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return `${timestamp.slice(11, 23)} ${level.padEnd(5)} ${message}${pairs.join('')}\n`
}
