import type { ProviderFault } from '#lib/core/health'
import type { AgentUid } from '#lib/core/ids'
import type { OutboxRow } from '#lib/core/ports'
import type { Redact } from '#lib/core/redact'
import type { Authority, Refusal } from '#lib/core/store'

/** What a tenant keeps for another time than the defaults (5-data, Retention). */
export interface RetentionValues {
  /** 1 to 400. */
  eventDays?: number | undefined
  /** 100 to 1,000,000. */
  eventsPerAgent?: number | undefined
  /** 1 to 30. */
  deliveryDays?: number | undefined
  /** Agents that are idle for longer are deleted; null and absent: never. */
  agentDays?: number | null | undefined
}

/** What holds for a tenant, and what of it was set. */
export interface RetentionView {
  ok: true
  retention: { eventDays: number; eventsPerAgent: number; deliveryDays: number; agentDays: number | null }
  set: RetentionValues
  prunedAt: string | null
}

/** What retention deletes, by kind. */
export type PrunedKind =
  | 'events'
  | 'agents'
  | 'idempotency'
  | 'outbox'
  | 'deliveries'
  | 'approvals'
  | 'ledger'
  | 'counters'
  | 'keys'
  | 'audit'
  | 'counts'

/** One batch: all that has a time of its own; events, a walk over the agents; idle agents; without a part all three in one transaction. */
export interface PruneRequest {
  environment: string
  limit: number
  part?: 'rows' | 'agents' | 'idle'
  /** Of part idle: who is to go, if they are idle still. */
  idle?: readonly AgentUid[]
}

/** How many rows of each kind one batch of retention has deleted; `more` says that it would go on. */
export interface Pruned extends Partial<Record<PrunedKind, number>> {
  ok: true
  more: boolean
  /** Of part agents: those that are idle for too long. Of part idle: those that there was no time for. */
  idle?: AgentUid[]
}

/** One inconsistency between rows; its code is one of lib/core/consistency. */
export interface Finding {
  code: string
  runId?: string
  details: Record<string, unknown>
}

/** What is wrong with one agent. */
export interface Consistency {
  ok: true
  now: string
  agentId: string
  agentUid: AgentUid
  findings: Finding[]
  /** How many rows earlier repairs have replaced; their originals are kept in baton.repairs. */
  repairs: number
}

/** What a repair found, mended and could not mend. */
export interface Repaired {
  ok: true
  agentId: string
  agentUid: AgentUid
  findings: Finding[]
  repaired: Finding[]
  left: Finding[]
  outbox: OutboxRow[]
}

/** A piece of the walk over all agents; `next` null at its end, with which the counters of budgets come. */
export interface FsckPage {
  ok: true
  data: (Pick<Repaired, 'agentId' | 'agentUid' | 'findings'> &
    Partial<Pick<Repaired, 'repaired' | 'left'>> & { tenant: string; busy?: true })[]
  checked: number
  next: string | null
  budgets: Finding[]
  outbox: OutboxRow[]
}

/** One line of an export. */
export interface ExportLine {
  type: string
  agentId: string | null
  data: unknown
}

/** What leaves without secrets, as everywhere: entries of the audit hold what callers wrote as reasons, deliveries what is sent redacted. */
const redacted: ReadonlySet<string> = new Set(['audit', 'delivery'])

/** A line as it leaves. */
export function exportText(line: ExportLine, redact: Redact): string {
  return `${JSON.stringify(redacted.has(line.type) ? redact(line) : line)}\n`
}

/** Where an export goes on; made by the database, handed back as it is. */
export type ExportPlace = Record<string, unknown> | null

/** Numbers of a tenant, or of a user's own, over a range of time. */
export interface Stats {
  ok: true
  agents: Record<string, number>
  runs: Record<'total' | 'modelCalls' | 'slices' | 'costMicros' | 'inputTokens' | 'outputTokens', number> &
    Record<'p50Ms' | 'p95Ms' | 'maxMs', number | null>
  byState: Record<string, number>
  byStopReason: Record<string, number>
  tools: ({ name: string } & Record<'calls' | 'failed' | 'denied' | 'sealed', number> & Record<'p50Ms' | 'p95Ms', number | null>)[]
}

/** What only the database knows of its own health; ages in milliseconds, null for what has never been. */
export interface DoctorFacts {
  ok: true
  now: string
  version: string
  /** SHA-256 of each applied file by its name. */
  migrations: Record<string, string>
  openTables: string[]
  openFunctions: string[]
  /** Of everything, or of a tenant. */
  switches: { scope: string; tenant: string; mode: string }[]
  disabledEndpoints: number
  answered: string | null
  tenants: number
  keys: number
  lastSweepAgeMs: number | null
  prunedAgeMs: number | null
  oldestUnsentMs: number | null
  providers: ProviderFault[]
  oldestDueMs: number | null
}

/** The part of the store for those who operate a deployment. */
export interface OperationsStore {
  prune(request: PruneRequest): Promise<Pruned>
  getRetention(authority: Authority): Promise<RetentionView | Refusal>
  /** Replaces what is set; no values give the defaults back. */
  setRetention(authority: Authority, values: RetentionValues): Promise<RetentionView | Refusal>
  /** One piece of the deletion of a user or of the caller's tenant: asked again while `more`. `confirm` repeats the tenant's id. */
  erase(
    authority: Authority,
    of: { scope: string; confirm: string | null },
  ): Promise<{ ok: true; more: boolean; agents: number; agentUids: AgentUid[] } | Refusal>
  exportPage(
    authority: Authority,
    of: { scope: string; at: ExportPlace },
  ): Promise<{ ok: true; lines: ExportLine[]; next: ExportPlace } | Refusal>
  consistency(authority: Authority, agent: string): Promise<Consistency | Refusal>
  repairAgent(authority: Authority, agent: string): Promise<Repaired | Refusal>
  stats(authority: Authority, range: { from: string; to: string }): Promise<Stats | Refusal>
  fsck(request: { environment: string; tenant?: string; after: string | null; repair: boolean }): Promise<FsckPage>
  doctor(request: { environment: string; ask?: string }): Promise<DoctorFacts>
  answerProbe(request: { environment: string; answered: string }): Promise<void>
}
