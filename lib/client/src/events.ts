import type { PendingApproval } from '#client/types'

/** Tokens of one or several model calls. */
export interface Usage {
  inputTokens: number
  outputTokens: number
  cacheReadTokens: number
  cacheWriteTokens: number
  reasoningTokens: number
}

/** The state of a run; the last six are final. */
export type RunState =
  | 'queued'
  | 'running'
  | 'awaiting_approval'
  | 'waiting'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'killed'
  | 'budget_exceeded'
  | 'expired'

/** The state of an agent. */
export type AgentState = 'ready' | 'working' | 'paused'

/** Where an event belongs: what is shown, what asks somebody to act, what an operator watches. */
export type Channel = 'progress' | 'control' | 'monitor'

/** A stored tool call as events and lists show it. */
export interface ToolCallRecord {
  callId: string
  name: string
  input: unknown
  effect: 'pure' | 'idempotent' | 'once' | 'external'
  state: 'pending' | 'approval_required' | 'approved' | 'executing' | 'completed' | 'failed' | 'denied' | 'sealed' | 'waiting_external'
  output: unknown
  [field: string]: unknown
}

/** A durable event: a row that a commit wrote. */
interface Durable<Type extends string, In extends Channel> {
  type: Type
  channel: In
  /** Its number in its agent: rises without gaps. */
  seq: number
  at: string
  runId: string | null
  step: number | null
}

/** A live frame: text on its way, or what is true only now. */
interface Live<Type extends string, In extends Channel = 'progress'> {
  type: Type
  channel: In
  seq?: undefined
  runId: string | null
  step: number | null
}

/** A text begins: the answer, or the model's reasoning. */
export interface TextStart extends Live<'text_start' | 'reasoning_start'> {}
/** A piece of a text; `offset` counts UTF-16 units, and what was shown before has exactly that length. */
export interface TextDelta extends Live<'text_delta' | 'reasoning_delta'> {
  offset: number
  text: string
  epoch?: number
  attempt?: number
}
/** What was shown of this step is void: it is repeated. */
export interface StepReset extends Live<'step_reset'> {}
/** The whole text, stored: it is what counts. */
export interface TextEnd extends Durable<'text_end' | 'reasoning_end', 'progress'> {
  text: string
  part: number
}
/** A tool is about to run; written before it does. */
export interface ToolStart extends Durable<'tool_start', 'progress'> {
  callId: string
  name: string
  input: unknown
  effect: ToolCallRecord['effect']
  attempt: number
}
/** The outcome of a tool call. */
export interface ToolEnd extends Durable<'tool_end', 'progress'> {
  call: ToolCallRecord
}
/** The one terminal event of a run. */
export interface Done extends Durable<'done', 'progress'> {
  state: RunState
  stopReason: string
  output?: string
  error?: { code: string; message: string; details?: Record<string, unknown> }
  usage: Usage
  costMicros: number
}
/** The agent or the run has changed its state. */
export interface StateChanged extends Durable<'state_changed', 'monitor'> {
  state: AgentState
  runState: RunState
  stopReason?: string
  /** What the run waits for, and when it goes on by itself. */
  waitKind?: string
  dueAt?: string
}
/** Somebody must decide about a call. */
export interface ApprovalRequired extends Durable<'approval_required', 'control'> {
  approvalId: string
  callId: string
  tool: string
  input: unknown
  kind: string
  reason?: string | null
  expiresAt: string
}
/** Somebody has decided, or the time was over, or the run has ended. */
export interface ApprovalDecided extends Durable<'approval_decided', 'control'> {
  approvalId: string
  callId: string
  tool: string
  decision: 'allow' | 'deny' | null
  state: 'allowed' | 'denied' | 'expired' | 'cancelled'
  decidedBy?: string | null
  note?: string | null
  edited?: boolean
}
/** The run waits behind one that is paused. Told once, on the stream that the message has opened. */
export interface Blocked extends Live<'blocked', 'control'> {
  blockedBy: 'approvals' | 'external' | 'hold'
  blockingRunId: string
  approvals: PendingApproval[]
}
/** What an operator watches; the fields of each type are in docs/events.md. */
export interface MonitorEvent extends Durable<
  | 'usage'
  | 'step_complete'
  | 'retry'
  | 'run_error'
  | 'hook_failed'
  | 'handed_off'
  | 'resumed'
  | 'message_entered'
  | 'killed'
  | 'held'
  | 'window_moved'
  | 'repaired'
  | 'budget'
  | 'custom',
  'monitor'
> {
  [field: string]: unknown
}

/** An event of an agent, told apart by `type`. Types and fields are only ever added: ignore what you do not know. */
export type BatonEvent =
  | TextStart
  | TextDelta
  | StepReset
  | TextEnd
  | ToolStart
  | ToolEnd
  | Done
  | StateChanged
  | ApprovalRequired
  | ApprovalDecided
  | Blocked
  | MonitorEvent

/** The name of an event. */
export type EventType = BatonEvent['type']
