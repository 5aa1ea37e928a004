import type { ApprovalStore, Waits } from '#lib/core/approvals'
import type { AuditStore } from '#lib/core/audit'
import type { BudgetStore } from '#lib/core/budget-store'
import type { AgentUid, RunId } from '#lib/core/ids'
import type { KeyStore } from '#lib/core/keys'
import type { LimitStore } from '#lib/core/limit-store'
import type { AlertLine, MonitorStore } from '#lib/core/monitor-store'
import type { OperationsStore } from '#lib/core/operations'
import type { NarrowedView } from '#lib/core/overrides'
import type { OutboxRow } from '#lib/core/ports'
import type { SwitchStore, SwitchView } from '#lib/core/switches'
import type { AgentSettings, AgentState, StoredMessage, ToolCall } from '#lib/core/run'
import type { Authority, EngineStore, OpenAnswer, OpenRequest, Refusal, RunView } from '#lib/core/store'
import type { WebhookStore } from '#lib/core/webhooks'

/** An agent as callers see it. */
export interface AgentView extends NarrowedView {
  id: string
  agentUid: AgentUid
  template: string
  templateVersion: string
  model: string
  state: AgentState
  steps: number
  queued: number
  activeRunId: RunId | null
  metadata: Record<string, unknown>
  /** Tools that a person has allowed for good. */
  alwaysAllowed: string[]
  webhook: { url: string } | null
  userId: string | null
  messages: number
  lastSeq: number
  windowFrom: number
  windowTokens: number
  createdAt: string
  updatedAt: string
}

/** A durable event as it is read back; `data` has its type's own fields. */
export interface StoredEvent {
  seq: number
  at: string
  channel: 'progress' | 'control' | 'monitor'
  type: string
  runId: RunId | null
  step: number | null
  data: Record<string, unknown>
}

/** A message that was accepted and has not entered the conversation: it has no seq yet. */
export interface QueuedMessage {
  runId: RunId
  role: 'user'
  kind: string
  mode: string
  state: 'queued'
  content: unknown
  at: string
}

/**
 * A page of a conversation and what waits behind it. `cut`: it ended at its bytes, and there is more. `queuedCut`: so did what waits, and `queuedAt` is
 * the place of the last that is told.
 */
export interface MessagesPage {
  data: (StoredMessage & { at: string; kind: string })[]
  queued: QueuedMessage[]
  queuedAt: number | null
  queuedCut: boolean
  bytes: number
  cut: boolean
}

/** Which events of an agent to read, oldest first; `after` null starts at the oldest that is kept. */
export interface EventsQuery {
  agentUid: AgentUid
  after: number | null
  runId?: RunId
  channels?: readonly string[]
  types?: readonly string[]
  from?: string
  to?: string
  /** Who reads may be told only of runs of its own, by this name: of the run that `blockedBy` names no more than which tools wait. */
  reader?: string
  limit: number
  /** The page ends at so many bytes of events, too, with one at least; unless it is said it does not. */
  bytes?: number
}

/** Events with the watermark up to which there is nothing else: `lastSeq`, and the highest epoch known. */
export interface EventsPage {
  ok: true
  lastSeq: number
  epoch: number
  /** The last number of the executor's last commit: deltas of an earlier one belong to a call that is over. */
  committedSeq: number
  activeRunId: RunId | null
  runOpen: boolean | null
  /** The run that is asked for waits in the queue, and the agent is paused before it: what the run at its head waits for. With `reader` also its own pause. */
  blockedBy: (Waits & { runId: RunId }) | null
  data: StoredEvent[]
  /** It ended at its number or its bytes: there may be more behind it. */
  more: boolean
}

/** What became of a wish to stop; without a run where nothing ran. */
export interface StopAnswer {
  ok: true
  /** The executor must be told. */
  halt: boolean
  tenant: string
  agentUid: AgentUid
  run?: RunView
  /** Whoever may only send is told of its own runs alone. */
  mayRead?: boolean
  outbox?: OutboxRow[]
}

/** One run with what explains where it stands. */
export interface RunDetails {
  ok: true
  now: string
  tenant: string
  run: RunView
  queuePosition: number
  /** The kill or hold that covers the run while it is open. */
  switch: SwitchView | null
  /** How long the gate of the agent's model stays closed (a provider's 429), in milliseconds; null when it never was. */
  gateMs: number | null
  /** Of a run that is paused: what it waits for. */
  waits: Waits | null
  /** Of a queued run: the paused one before it. */
  blockedBy: RunId | null
  /** The run before it in its conversation. */
  previousRunId: RunId | null
  openCalls: { callId: string; name: string; state: string; startedAt: string | null }[]
  webhooks: {
    id: string
    eventId: string
    url: string
    type: string
    state: string
    attempts: number
    nextAt: string | null
    log: unknown[]
  }[]
}

/** Rows of a list, in its order. `more`: it ended at its number or its bytes, and there may be more behind it. */
export interface Page<Row> {
  data: Row[]
  more: boolean
}

/** Which page of a list; filters that are undefined do not filter. */
export interface ListQuery {
  limit: number
  /** It ends at so many bytes of rows, too, with one at least; unless it is said it does not. */
  bytes?: number
  after: string | null
  [filter: string]: unknown
}

/** All that Baton asks of its database: each method is one SQL function, one round trip. */
export interface Store
  extends
    EngineStore,
    ApprovalStore,
    AuditStore,
    BudgetStore,
    KeyStore,
    LimitStore,
    MonitorStore,
    OperationsStore,
    SwitchStore,
    WebhookStore {
  createAgent(
    request: Pick<OpenRequest, keyof Authority | 'versions' | 'settings'> & {
      agent: OpenRequest['agent'] & { webhook?: unknown }
    },
  ): Promise<{ ok: true; created: boolean; mayRead: boolean; agent: AgentView } | Refusal>
  /** `cost` (what all its runs cost) is summed only where it is asked for. */
  getAgent(
    authority: Authority,
    agent: string,
    withCost?: boolean,
  ): Promise<{ ok: true; tenant: string; agent: AgentView; cost: { runs: number; costMicros: number } | null } | Refusal>
  patchAgent(
    authority: Authority,
    agent: string,
    patch: { metadata?: Record<string, unknown>; webhook?: unknown; alwaysAllowed?: readonly string[] },
  ): Promise<{ ok: true; mayRead: boolean; agent: AgentView } | Refusal>
  deleteAgent(authority: Authority, agent: string): Promise<{ ok: true; agentUid: AgentUid } | Refusal>
  listAgents(authority: Authority, query: ListQuery): Promise<AgentView[]>
  getRun(authority: Authority, runId: string): Promise<RunDetails | Refusal>
  listRuns(authority: Authority, query: ListQuery): Promise<Page<RunView>>
  listMessages(query: {
    agentUid: AgentUid
    after?: number
    before?: number
    role?: string
    from?: string
    to?: string
    limit: number
    /** A page ends at so many bytes of messages, 4 MB unless it is said; it has one message at least. */
    bytes?: number
    /** So many bytes of what waits are told behind the last page as far as it has room, with `before` behind any; 0 none, and all unless it is said. */
    queue?: number
    /** Only what waits behind this place. */
    queuedAfter?: number
  }): Promise<MessagesPage>
  listToolCalls(query: { agentUid: AgentUid } & ListQuery): Promise<Page<ToolCall & Record<string, unknown>>>
  listEvents(query: EventsQuery): Promise<EventsPage | Refusal>
  stop(
    authority: Authority,
    target: { agent?: string; runId?: string },
    kind: 'interrupted' | 'cancelled',
    note: string | null,
  ): Promise<StopAnswer | Refusal>
  retry(
    authority: Authority,
    request: {
      runId: string
      newRunId: RunId
      /** The caller's own key; without one the new run's id alone finds a repeat. */
      idempotency?: { key: string; hash: string } | null
      /** The agent's last run must be this one, else not_last_run. */
      agent?: { name: string; after: string }
      versions: Record<string, string>
      settings: AgentSettings | null
    },
  ): Promise<OpenAnswer | Refusal>
  sweep(request: {
    environment: string
    everyMs: number
    resendMs: number
    limit: number
    /** `cron` is the clock's own sign of life; beside requests by default. */
    from?: 'cron' | 'beside'
    /** What is sent and not claimed is sent again after twice as long, up to this. */
    longestMs?: number
    /** How many runs are sent anew: so many at least, and as long as fewer than `most` of them are to be claimed. Deliveries: up to `most`. */
    resends?: { least: number; most: number }
    /** Rows of a newer format are left to newer code. */
    maxFormat?: number
    /** Goes on with the sweep that was answered with this `at`, whatever the pace, unless somebody else has swept meanwhile. */
    after?: string
  }): Promise<{ swept: boolean; outbox: OutboxRow[]; alerts: AlertLine[]; more: boolean; at?: string }>
  ensureTenant(tenant: { id: string; environment: string; secret: string }): Promise<boolean>
  getTenant(of: { tenant: string; environment: string }): Promise<{ ok: true; id: string; secret: string | null } | Refusal>
}
