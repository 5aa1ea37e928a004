import type { ModelMessage } from 'ai'
import type { Guarded, WaitingAnswer, WaitingIntends } from '#lib/core/approvals'
import type { BudgetRefusal, Verdict } from '#lib/core/budget'
import type { HookDecided } from '#lib/core/hooks'
import type { AgentUid, CallId, CommitId, ReservationId, SliceId } from '#lib/core/ids'
import type { OutboxRow } from '#lib/core/ports'
import type {
  Effect,
  EndState,
  Flags,
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
  /** True for an outcome of a call whose tool was never run: what it was charged at its start is given back. */
  unbegun?: true
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
  /** Values of the agent's state; one that is undefined here has its key in `removed`. */
  values?: Record<string, unknown>
  removed?: string[]
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
  /** The model call that this tells of, for metrics: `provider/model`, `ok` or the code of its failure, milliseconds. */
  model?: { name: string; outcome: string; ms: number }
  lastError?: RunError | null
  /** False for a commit that crosses no step: it leaves the count of crashes as it is. */
  progress?: boolean
  gate?: { model: string; ms: number }
}

/** What comes next: dropped when somebody has asked the run to stop (a release is always done). */
export interface Intends extends WaitingIntends {
  /** `last`: the run could not answer a message that is steered into it, so none is: it becomes the next run. */
  end?: { state: EndState; stopReason: StopReason; output: string | null; error: RunError | null; last?: true }
  /** `refusal`: the budget that it waits for; one that has been changed since is looked at again at once. */
  wait?: { kind: WaitKind; ms: number; refusal?: BudgetRefusal }
  start?: CallId[]
  reserve?: Reservation
  window?: { from: number }
  /** `hard_limit` and `shutdown` (SIGTERM) cut a step in hand, which is repeated; at the others none was. */
  release?: 'slice_deadline' | 'hard_limit' | 'shutdown' | 'once_needs_room'
}

/** One step, written in one transaction or not at all; repeats by `commitId` to its first result. */
export interface Commit {
  commitId: CommitId
  agentUid: AgentUid
  sliceId: SliceId
  epoch: number
  leaseMs: number
  /** The agent's last commit as its slice knows it; absent, nobody looks. Of two that name the same, only one is ever written. */
  after?: CommitId | null
  happened: Happened
  intends: Intends
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
