import type { ModelMessage } from 'ai'
import type { Guarded, WaitingAnswer, WaitingIntends, Waits } from '#lib/core/approvals'
import type { Verdict } from '#lib/core/budget'
import type { HookDecided } from '#lib/core/hooks'
import type { AgentUid, CallId, CommitId, ReservationId, RunId, SliceId } from '#lib/core/ids'
import type { Narrowed, NarrowedView } from '#lib/core/overrides'
import type { OutboxRow } from '#lib/core/ports'
import type {
  AgentSettings,
  Effect,
  EndState,
  Flags,
  Opened,
  RunState,
  StopReason,
  StoredMessage,
  ToolCallState,
  ToolOutput,
  Usage,
  WaitKind,
} from '#lib/core/run'

/** A message on its way into the conversation; `bytes` of its JSON, `estTokens` an upper bound. */
export interface NewMessage {
  role: ModelMessage['role']
  content: ModelMessage['content']
  bytes: number
  estTokens: number
  kind?: string
}

/** An event that a commit writes; the database numbers it. */
export interface NewEvent {
  channel: 'progress' | 'control' | 'monitor'
  type: string
  step?: number
  data: Record<string, unknown>
}

/** A new call, or the outcome of one; a call that is final is never changed again. */
export interface CallWrite extends Guarded, HookDecided {
  callId: CallId
  step: number
  index: number
  name: string
  input: unknown
  effect: Effect
  idempotencyKey: string
  state: ToolCallState
  output: ToolOutput | null
  note?: string
  /** Copies for events, only where the exact ones show a secret. */
  shownInput?: unknown
  shownOutput?: ToolOutput | null
  /** What the call costs when it starts, in micro-dollars, as its tool says. */
  costMicros?: number
}

/** Money to hold back before a model call (2-run-contract, invariant 9). */
export interface Reservation {
  id: ReservationId
  step: number
  attempt: number
  model: string
  /** Worst case in micro-dollars; null lets the database compute it from the agent's settings (first step only). */
  micros: number | null
  /** Worst case in tokens, for limits of tokens; null or absent with `micros` null. */
  tokens?: number | null
  /** The worst case with the shortest answer worth having, where the model's output can be cut; what is left is then reserved. */
  least?: { micros: number; tokens: number }
}

/** What a reserved call has really cost; the one write that a stale epoch may still make. */
export interface Settlement {
  id: ReservationId
  /** Null: all that was reserved, which only the database knows of a run's first call. */
  costMicros: number | null
  usage: Usage
  estimated: boolean
}

/** Why a run ended badly, in words for its caller. */
export interface RunError {
  code: string
  message: string
  details?: Record<string, unknown>
}

/** What a step did: stored whatever has been asked of the run meanwhile (2-run-contract, invariant 10). */
export interface Happened {
  settle?: Settlement[]
  messages?: NewMessage[]
  calls?: CallWrite[]
  events?: NewEvent[]
  values?: Record<string, unknown>
  count?: {
    step?: number
    attempt?: number
    cuts?: number
    emptyAnswers?: number
    windowRetries?: number
    modelIndex?: number
    modelCalls?: number
    workMs?: number
    steps?: number
  }
  usage?: Usage
  lastError?: RunError | null
  /** False for a commit that crosses no step: it leaves the count of crashes as it is. */
  progress?: boolean
  gate?: { model: string; ms: number }
}

/** What comes next: dropped when somebody has asked the run to stop (a release is always done). */
export interface Intends extends WaitingIntends {
  end?: { state: EndState; stopReason: StopReason; output: string | null; error: RunError | null }
  wait?: { kind: WaitKind; ms: number }
  start?: CallId[]
  reserve?: Reservation
  window?: { from: number }
  release?: 'slice_deadline' | 'hard_limit' | 'shutdown' | 'once_needs_room'
}

/** One step, written in one transaction or not at all; repeats by `commitId` to its first result. */
export interface Commit {
  commitId: CommitId
  agentUid: AgentUid
  sliceId: SliceId
  epoch: number
  leaseMs: number
  happened: Happened
  intends: Intends
}

/** A refusal is a value: `code` of the table in core/errors or one that only executors meet (lease_lost, not_due, ...). */
export interface Refusal {
  ok: false
  code: string
  [detail: string]: unknown
}

/** What a commit did, and what the next step needs to know. */
export interface CommitAnswer extends Verdict, WaitingAnswer {
  ok: true
  firstSeq: number
  lastSeq: number
  /** False when a stop was asked for: nothing of what was intended has been done. */
  allowed: boolean
  /** True when the lease is gone with this commit: the run ended, waits or was handed over. */
  released: boolean
  steered: boolean
  /** Calls that were to start and for which a budget had no room: they have failed with this output. */
  refusedCalls?: { callId: CallId; output: ToolOutput }[] | null
  flags: Flags
  state: RunState
  stopReason: StopReason | null
  costMicros: number
  reservedMicros: number
  toolCalls: number
  windowFrom: number
  entered: StoredMessage[]
  enteredFrom: number | null
  gates: Gates
  outbox: OutboxRow[]
}

/** The models whose gate a provider's 429 has closed, with the milliseconds until each opens. */
export type Gates = Record<string, number>

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
  }): Promise<({ ok: true; flags: Flags } & Verdict) | Refusal>
  settle(request: { agentUid: AgentUid; runId: RunId; settle: Settlement[] }): Promise<void>
  outboxSent(ids: readonly string[]): Promise<void>
}
