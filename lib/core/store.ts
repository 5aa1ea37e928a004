import type { Waits } from '#lib/core/approvals'
import type { Verdict } from '#lib/core/budget'
import type { NewMessage, Reservation, Settlement, RunError, Commit, CommitAnswer, Gates } from '#lib/core/commit'
import type { AgentUid, RunId, SliceId } from '#lib/core/ids'
import type { Narrowed, NarrowedView } from '#lib/core/overrides'
import type { OutboxRow } from '#lib/core/ports'
import type { AgentSettings, Flags, Opened, RunState, StopReason, Usage, WaitKind } from '#lib/core/run'
import type { ModelMessage } from 'ai'

/** A refusal is a value: `code` of the table in core/errors or one that only executors meet (lease_lost, not_due, ...). */
export interface Refusal {
  ok: false
  code: string
  [detail: string]: unknown
}

/** The parts of `Opened` that the database knows; the store adds the lease. */
export interface OpenedAnswer {
  opened: Opened
  opening: ModelMessage['content'] | null
  gates: Gates
}

/**
 * Who asks, as far as this process could tell: an API key is resolved by the database, in the same trip as the work. The operator is
 * the local mode's owner or the admin key. `beyond` names body fields that are not a user's to set: the database refuses and audits it.
 */
export type Credential =
  | { operator: { tenant: string; name: string } }
  | { keyHash: string }
  | { user: { id: string; tenant: string; beyond?: readonly string[] } }
  | { stream: { tenant: string; agentUid: string } }

/** What every function that a caller reaches is given; tenant, caller and owner come from the credential, never from a request. */
export interface Authority {
  environment: string
  credential: Credential
  requestId: string | null
}

/** Accepts a message: all that the database needs to decide alone, in one trip. */
export interface OpenRequest extends Authority {
  agent: {
    name: string
    uid: AgentUid
    mustExist: boolean
    template: string | null
    /** The agent's last run must be this one, else not_last_run. */
    after?: string
    metadata?: Record<string, unknown>
  } & Narrowed
  /** Deployed templates and the version of each. */
  versions: Record<string, string>
  settings: AgentSettings | null
  run: {
    id: RunId
    limits: Record<string, number> | null
    metadata: Record<string, unknown>
    webhook: { url: string; secret: string | null } | null
    traceparent: string | null
  } & Narrowed
  onBusy: string | null
  message: NewMessage
  idempotency: { key: string; hash: string } | null
  execute: { sliceId: SliceId; leaseMs: number; reserve: Reservation | null } | null
}

/** A run as callers see it (3-http-api). */
export interface RunView extends NarrowedView {
  id: RunId
  agentId: string
  agentUid: AgentUid
  state: RunState
  stopReason: StopReason | null
  cause: string
  retryOf: RunId | null
  wait: { kind: WaitKind; dueAt: string | null } | null
  dueAt: string | null
  step: number
  modelCalls: number
  toolCalls: number
  attempt: number
  crashes: number
  slices: number
  workMs: number
  limits: Record<string, number>
  metadata: Record<string, unknown>
  usage: Usage
  costMicros: number
  reservedMicros: number
  template: string
  templateVersionOpened: string | null
  templateVersionLast: string | null
  output: string | null
  error: RunError | null
  stopRequested: string | null
  stopNote: string | null
  lease: { owner: string; epoch: number; until: string; live: boolean } | null
  firstSeq: number | null
  lastSeq: number
  createdAt: string
  startedAt: string | null
  endedAt: string | null
  updatedAt: string
}

/** The accepted message; `opened` is there when the caller has the lease and shall execute. */
export interface OpenAnswer extends Partial<OpenedAnswer>, Verdict {
  ok: true
  tenant: string
  agentUid: AgentUid
  template: string
  run: RunView
  replayed: boolean
  /** The caller must tell the executor of the run that was interrupted. */
  halt: boolean
  /** Who may be told only of runs of its own; null for a caller who may read all. */
  reader: string | null
  /** False for a run of somebody else's whom the caller may not read: one that the message steers, or that it retries. */
  mayRead: boolean
  /** The agent's last event when the message was accepted, also in the answer to a repeat. */
  fromSeq: number
  /** The agent is paused before this run: what the run at its head waits for. */
  blockedBy: (Waits & { runId: RunId }) | null
  outbox: OutboxRow[]
}

/** Asks for the lease of an agent that is due. */
export interface ClaimRequest {
  environment: string
  agentUid: AgentUid
  sliceId: SliceId
  leaseMs: number
  versions: Record<string, string>
  settings: AgentSettings | null
  jitter: number
  haste: number
  maxStepCrashes: number
  maxFormat: number
}

/** The lease with everything that `decide` looks at. */
export interface ClaimAnswer extends OpenedAnswer {
  ok: true
  outbox: OutboxRow[]
}

/** The part of the store that executors use: `advance` and what leads to it. Each call repeats to its first result. */
export interface EngineStore {
  open(request: OpenRequest): Promise<OpenAnswer | Refusal>
  claim(request: ClaimRequest): Promise<ClaimAnswer | Refusal>
  commit(commit: Commit): Promise<CommitAnswer | Refusal>
  renew(request: {
    agentUid: AgentUid
    sliceId: SliceId
    epoch: number
    leaseMs: number
    reserve?: Reservation
  }): Promise<({ ok: true; flags: Flags; alwaysAllowed?: string[] } & Verdict) | Refusal>
  settle(request: { agentUid: AgentUid; runId: RunId; settle: Settlement[] }): Promise<void>
  outboxSent(ids: readonly string[]): Promise<void>
}
