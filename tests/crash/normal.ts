import type { Snapshot } from '#tests/crash/snapshot'

export type Row = Record<string, unknown>

export const rowsOf = (snapshot: Snapshot, name: string): Row[] => snapshot[name] ?? []

export const isObject = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Numbers of milliseconds, places in other counters and ids of processes: different in each performance. */
const blurred = new Set([
  'work_ms',
  'durationMs',
  'duration_ms',
  'ms',
  'pid',
  'version',
  'continued_at',
  'resends',
  'resend_at',
  'last_commit',
  'past_slices',
  'number',
  'trace_id',
  'traceparent',
  'request_id',
  'repeat_key',
  'at',
  'hash',
  'delayMs',
  'resetsInMs',
  'lane',
  'from_seq',
])

/** Ids by the order of what they name, times and the like as such; the agent's own name as AGENT. */
export function normal(snapshot: Snapshot, agent: string): Snapshot {
  const names = new Map<string, string>()
  rowsOf(snapshot, 'runs')
    .toSorted((a, b) => String(a['created_at']).localeCompare(String(b['created_at'])))
    .forEach((row, index) => names.set(String(row['run_id']), `run#${index + 1}`))
  rowsOf(snapshot, 'tool_calls').forEach((row) =>
    names.set(String(row['call_id']), `call#${names.get(String(row['run_id']))}.${String(row['step'])}.${String(row['index'])}`),
  )
  rowsOf(snapshot, 'approvals').forEach((row) => names.set(String(row['id']), `apr#${names.get(String(row['call_id']))}`))
  const text = (value: string): string =>
    value
      .replaceAll(agent, 'AGENT')
      .replaceAll(/\b([a-z]+)_[0-9a-f]{32}\b/g, (id, kind: string) => names.get(id) ?? `${kind}#`)
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'uuid#')
      .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?/g, 'time#')
      .replaceAll(/\d{4}-\d\d-\d\d/g, 'date#')
  const walk = (value: unknown): unknown => {
    if (typeof value === 'string') return text(value)
    if (Array.isArray(value)) return value.map(walk)
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value).flatMap(([key, inner]) => (blurred.has(key) ? [] : [[key, walk(inner)]])))
  }
  const all = walk(snapshot) as Snapshot
  for (const row of rowsOf(all, 'audit')) delete row['id']
  for (const row of rowsOf(all, 'runs')) row['template_last'] ??= row['template_opened']
  // The executor says zero of what it does not know, the database nothing.
  for (const row of rowsOf(all, 'reservations')) if (row['state'] === 'estimated') row['usage'] = null
  for (const row of rowsOf(all, 'audit')) if (row['code'] === 'estimated' && isObject(row['data'])) row['data']['usage'] = null
  return all
}
