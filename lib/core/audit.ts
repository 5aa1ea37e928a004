import type { Authority, Refusal } from '#lib/core/store'

/** One decision: who asked for what, what became of it and why, what it was to cost and did. Money in micro-dollars. */
export interface AuditEntry {
  id: number
  /** ISO 8601 with microseconds. */
  at: string
  /** key:ID, user:ID, local, admin, or system for what no caller asked for. */
  actor: string
  /** noun.verb, such as message.accept. */
  action: string
  decision: 'allowed' | 'refused' | 'recorded'
  /** Of the table of errors, where it was refused. */
  code: string | null
  reason: string | null
  scope: string | null
  agentId: string | null
  agentUid: string | null
  runId: string | null
  callId: string | null
  estimateMicros: number | null
  costMicros: number | null
  totalMicros: number | null
  requestId: string | null
  traceId: string | null
  data: Record<string, unknown> | null
}

/** Which entries of the caller's tenant to read; filters that are absent do not filter. `from` is inclusive, `to` exclusive. */
export interface AuditQuery {
  limit: number
  order: 'asc' | 'desc'
  /** The instant and number of the last entry that was read. */
  after: { at: string; id: string } | null
  agent?: string | undefined
  runId?: string | undefined
  actor?: string | undefined
  action?: string | undefined
  decision?: AuditEntry['decision'] | undefined
  scope?: string | undefined
  from?: string | undefined
  to?: string | undefined
}

/** The part of the store that reads the audit log; entries are written by the transactions they tell of. */
export interface AuditStore {
  listAudit(authority: Authority, query: AuditQuery): Promise<{ ok: true; data: AuditEntry[] } | Refusal>
}
