import type { AgentState, RunState, ToolCallRecord, Usage } from '#client/events'

/** What a message may be: text, or AI SDK user content parts. Files are https addresses (the provider fetches them) or data URLs. */
export type MessageContent = string | MessagePart[]

/** A part of a message. */
export type MessagePart =
  | { type: 'text'; text: string }
  | { type: 'image'; image: string; mediaType?: string }
  | { type: 'file'; data: string; mediaType: string; filename?: string }

/** JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Rules for tools: deny > ask > allow > mode. `*` in a name stands for any characters. */
export interface PermissionRules {
  mode?: 'auto' | 'approval' | 'readonly' | 'custom'
  allow?: string[]
  ask?: string[]
  deny?: string[]
}

/** What narrows an agent or a message; nothing can be widened. */
export interface Overrides {
  model?: string
  permission?: PermissionRules
  preset?: 'restricted' | 'development' | 'production' | 'temporary'
  expiresAt?: string
}

/** Limits of one run; each may only lower the template's. Money in micro-dollars, times in milliseconds. */
export interface Limits {
  maxSteps?: number
  maxToolCalls?: number
  maxCostMicros?: number
  maxTokens?: number
  maxWallMs?: number
  sliceMs?: number
}

/** Where a run's ends are told. */
export interface WebhookTarget {
  url: string
  secret?: string
}

/** The fields of a message besides itself. */
export interface MessageFields {
  /** Needed where the agent does not exist yet. */
  template?: string
  metadata?: Record<string, Json>
  /** What becomes of it while the agent works (enqueue). */
  onBusy?: 'enqueue' | 'steer' | 'interrupt' | 'reject'
  webhook?: WebhookTarget
  limits?: Limits
  overrides?: Overrides
}

/** A durable conversation made from a template. */
export interface Agent {
  id: string
  agentUid: string
  template: string
  templateVersion: string
  model: string
  state: AgentState
  steps: number
  queued: number
  activeRunId: string | null
  metadata: Record<string, unknown>
  alwaysAllowed: string[]
  webhook: { url: string } | null
  userId: string | null
  messages: number
  lastSeq: number
  windowFrom: number
  windowTokens: number
  overrides: Overrides
  expiresAt: string | null
  createdAt: string
  updatedAt: string
}

/** An agent with what its runs have cost. */
export interface AgentDetails extends Agent {
  runs: number
  costMicros: number
  costUsd: number
  /** `events` carries a read-only token for 15 minutes, for readers that cannot send headers. */
  links: { agent: string; events: string }
}

/** The body of a new agent. */
export interface CreateAgent {
  /** Made by the client where it is left out. */
  id?: string
  template: string
  metadata?: Record<string, Json>
  webhook?: WebhookTarget
  overrides?: Overrides
}

/** What of an agent can be changed. */
export interface PatchAgent {
  metadata?: Record<string, Json>
  webhook?: WebhookTarget | null
  alwaysAllowed?: string[]
}

/** A row of a conversation; a queued message has no `seq` yet. */
export interface Message {
  seq?: number
  runId: string | null
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: unknown
  kind: string
  state: 'entered' | 'queued'
  at: string
}

/** A tool call with its record and audit trail. */
export interface ToolCall extends ToolCallRecord {
  runId: string
  step: number
  attempts: number
}

/** The work that one message starts. */
export interface Run {
  id: string
  agentId: string
  state: RunState
  /** Null until the run has ended; a closed list (docs/errors.md). */
  stopReason: string | null
  output: string | null
  error: { code: string; message: string; details?: Record<string, unknown> } | null
  retryOf: string | null
  wait: { kind: string; dueAt: string | null } | null
  step: number
  modelCalls: number
  toolCalls: number
  slices: number
  workMs: number
  metadata: Record<string, unknown>
  usage: Usage
  costMicros: number
  reservedMicros: number
  costUsd: number
  template: string
  firstSeq: number | null
  lastSeq: number
  createdAt: string
  startedAt: string | null
  endedAt: string | null
  updatedAt: string
}

/** A decision that a run waits for. */
export interface PendingApproval {
  id: string
  callId: string
  tool: string
  input: unknown
  kind: string
  reason: string | null
  expiresAt: string
}

/** A call that the outside must answer. */
export interface ExternalCall {
  callId: string
  tool: string
  input: unknown
  expiresAt: string
  /** Where its result is sent, once. */
  callbackUrl: string
}

/** A run with what explains where it stands. */
export interface RunDetails extends Run {
  /** One sentence why the run stands where it stands. */
  explain: string
  openCalls: { callId: string; name: string; state: string; startedAt: string | null }[]
  queuePosition?: number
  approvals?: PendingApproval[]
  externalCalls?: ExternalCall[]
  links: { run: string; events: string }
}

/** An approval: bound to exactly one call and its input. */
export interface Approval {
  id: string
  state: 'pending' | 'allowed' | 'denied' | 'expired' | 'cancelled'
  kind: 'permission' | 'unknown_outcome'
  agentId: string
  template: string
  userId: string | null
  runId: string
  callId: string
  tool: string
  input: unknown
  editedInput: unknown
  reason: string | null
  defaultDecision: 'allow' | 'deny'
  expiresAt: string
  decidedBy: string | null
  decidedAt: string | null
  note: string | null
  createdAt: string
}

/** A decision; `input` replaces the call's and `always` allows the tool for good, both with allow only. */
export interface Decision {
  decision: 'allow' | 'deny'
  input?: Json
  note?: string
  always?: boolean
}

/** The period that a budget counts by. */
export type BudgetPeriod = 'run' | 'day' | 'month' | 'lifetime'

/** What a budget allows: null and absent limit nothing, zero allows nothing. */
export interface BudgetLimits {
  limitMicros?: number | null
  limitTokens?: number | null
  limitCalls?: number | null
  maxPerCallMicros?: number | null
  period?: BudgetPeriod
}

/** A budget with what it has let through. */
export interface Budget {
  scope: string
  period: BudgetPeriod
  limitMicros: number | null
  limitTokens: number | null
  limitCalls: number | null
  maxPerCallMicros: number | null
  spentMicros: number | null
  reservedMicros: number | null
  remainingMicros: number | null
  tokens: number | null
  calls: number | null
  resetsAt: string | null
  source: 'set' | 'inherited' | 'default'
}

/** The budget of a scope with least left, and all of its periods. */
export interface BudgetOfScope extends Budget {
  periods: Budget[]
}

/** By what usage is summed. */
export type UsageGroup = 'agent' | 'user' | 'key' | 'model' | 'day'

/** What one group has spent; the group's own name stands in the field of that name. */
export interface UsageRow {
  agent?: string | null
  user?: string | null
  key?: string | null
  model?: string | null
  day?: string | null
  calls: number
  settledMicros: number
  estimatedMicros: number
  reservedMicros: number
  costMicros: number
  costUsd: number
  inputTokens: number
  outputTokens: number
}
