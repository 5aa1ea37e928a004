'use client'

import type { ToolCall } from '#lib/core/run'
import { State } from '#app/console/_parts/bits.tsx'
import { clockTime, duration, shown, words } from '#app/console/_parts/format'

/** A tool call's record as GET /api/agents/{id}/tool-calls gives it. */
export type CallRecord = ToolCall & {
  isError?: boolean | null
  startedAt?: string | null
  endedAt?: string | null
  durationMs?: number | null
  callbackUrl?: string
  auditTrail?: Record<string, unknown>[]
}

const auditFields = new Set(['at', 'state'])

function auditNote(entry: Record<string, unknown>): string {
  return Object.entries(entry)
    .filter(([name, value]) => !auditFields.has(name) && value !== null)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ')
}

/** One tool call: what was asked, what came of it, and each state that it went through. */
export function ToolCallCard({ call }: { call: CallRecord }) {
  const trail = call.auditTrail ?? []
  return (
    <details className="tool">
      <summary>
        <code>{call.name}</code>
        <State name={call.state} />
        <small className="muted">
          {call.effect}
          {typeof call.durationMs === 'number' ? ` · ${duration(call.durationMs)}` : ''}
          {call.attempts > 1 ? ` · ${call.attempts} attempts` : ''}
        </small>
      </summary>
      <div className="tool-body">
        <div>
          <h3>Input</h3>
          <pre className="code" tabIndex={0}>
            {shown(call.input)}
          </pre>
        </div>
        {call.output !== null && (
          <div>
            <h3>Output</h3>
            <pre className="code" tabIndex={0}>
              {shown(call.output.value)}
            </pre>
          </div>
        )}
        {trail.length > 0 && (
          <div>
            <h3>Audit trail</h3>
            <ol className="trail">
              {trail.map((entry, index) => (
                <li key={index}>
                  <time className="mono muted">{clockTime(String(entry['at']))}</time>
                  <span>
                    {words(String(entry['state']))} <small className="muted">{auditNote(entry)}</small>
                  </span>
                </li>
              ))}
            </ol>
          </div>
        )}
      </div>
    </details>
  )
}
