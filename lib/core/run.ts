import type { ModelMessage } from 'ai'
import { z } from 'zod'
import type { Approved } from '#lib/core/approvals'
import type { AgentUid, CallId, CommitId, RunId, SliceId } from '#lib/core/ids'
import type { Narrowing } from '#lib/core/overrides'

/** Highest row format this build can read; `claim` leaves newer rows to newer code (2-run-contract, Templates and deploys). */
export const formatVersion = 1

/** All states of an agent. */
export const agentStates = ['ready', 'working', 'paused'] as const
/** The state of an agent. */
export const agentState = z.enum(agentStates)
export type AgentState = z.infer<typeof agentState>

/** The states of a run that has not ended. */
export const openRunStates = ['queued', 'running', 'awaiting_approval', 'waiting'] as const
/** The states of a run that has ended: each is final. */
export const endStates = ['completed', 'failed', 'cancelled', 'killed', 'budget_exceeded', 'expired'] as const
/** The state of a run (2-run-contract, States). */
export const runState = z.enum([...openRunStates, ...endStates])
export type RunState = z.infer<typeof runState>
/** The state of a run that has ended. */
export const endState = z.enum(endStates)
export type EndState = z.infer<typeof endState>

/** True when the state is an end: final, it never changes again. */
export function isEnd(state: RunState): state is EndState {
  return (endStates as readonly string[]).includes(state)
}

/** Why a run stopped: closed and documented (docs/errors.md). */
export const stopReason = z.enum([
  'end_turn',
  'max_tokens',
  'max_steps',
  'max_tool_calls',
  'max_time',
  'interrupted',
  'cancelled',
  'killed',
  'budget_exceeded',
  'expired',
  'unknown_outcome',
  'empty_response',
  'step_too_long',
  'step_crashed',
  'content_filtered',
  'context_too_long',
  'bad_request',
  'model_not_found',
  'price_unknown',
  'hook_stopped',
  'hook_failed',
  'provider_auth',
  'provider_quota',
  'provider_rate_limited',
  'provider_timeout',
  'provider_unavailable',
  'internal_error',
  'corrupted_data',
])
export type StopReason = z.infer<typeof stopReason>

/** What a waiting run waits for. */
export const waitKind = z.enum(['retry', 'sleep', 'hold', 'external', 'child', 'budget', 'template'])
export type WaitKind = z.infer<typeof waitKind>

/** The state of a tool call; completed, failed, denied and sealed are final. */
export const toolCallState = z.enum([
  'pending',
  'approval_required',
  'approved',
  'executing',
  'completed',
  'failed',
  'denied',
  'sealed',
  'waiting_external',
])
export type ToolCallState = z.infer<typeof toolCallState>
const finalCallStates: ReadonlySet<ToolCallState> = new Set(['completed', 'failed', 'denied', 'sealed'])
/** True when the call has its one result. */
export function isFinal(state: ToolCallState): boolean {
  return finalCallStates.has(state)
}

/** What a crash may do to a tool: `pure` and `idempotent` run again, `once` is never guessed at, `external` runs elsewhere. */
export const effect = z.enum(['pure', 'idempotent', 'once', 'external'])
export type Effect = z.infer<typeof effect>

/** What becomes of a message while the agent works (2-run-contract, A message while the agent works). */
export const onBusy = z.enum(['enqueue', 'steer', 'interrupt', 'reject'])
export type OnBusy = z.infer<typeof onBusy>

/** Tokens of one or several model calls. */
export const usage = z.object({
  inputTokens: z.int().nonnegative().default(0),
  outputTokens: z.int().nonnegative().default(0),
  cacheReadTokens: z.int().nonnegative().default(0),
  cacheWriteTokens: z.int().nonnegative().default(0),
  reasoningTokens: z.int().nonnegative().default(0),
})
export type Usage = z.infer<typeof usage>
/** No tokens at all. */
export const noUsage: Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 }

/** The limits of one run (2-run-contract, Limits). Money in integer micro-dollars, times in milliseconds of work. */
export const runLimits = z.object({
  maxSteps: z.int().nonnegative(),
  maxToolCalls: z.int().nonnegative(),
  maxCostMicros: z.int().nonnegative(),
  maxTokens: z.int().nonnegative(),
  maxWallMs: z.int().nonnegative(),
  sliceMs: z.int().positive(),
  /** What one model call may cost at most; comes from presets. */
  maxPerCallMicros: z.int().nonnegative().exactOptional(),
})
export type RunLimits = z.infer<typeof runLimits>

const { maxSteps, maxToolCalls, maxCostMicros, maxTokens, maxWallMs, sliceMs } = runLimits.shape
/** Limits that a message brings: each may only lower the template's (the database refuses more). */
export const lowerLimits = z.strictObject({
  maxSteps: maxSteps.exactOptional(),
  maxToolCalls: maxToolCalls.exactOptional(),
  maxCostMicros: maxCostMicros.exactOptional(),
  maxTokens: maxTokens.exactOptional(),
  maxWallMs: maxWallMs.exactOptional(),
  sliceMs: sliceMs.exactOptional(),
})
export type LowerLimits = z.infer<typeof lowerLimits>

/** A row of the conversation, in AI SDK `ModelMessage` form, numbered when it enters the conversation. */
export interface StoredMessage {
  seq: number
  runId: RunId | null
  role: ModelMessage['role']
  content: ModelMessage['content']
  estTokens: number
}

/** The output of a tool call in the AI SDK's form: what the model sees. */
export const toolOutput = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), value: z.string() }),
  z.object({ type: z.literal('json'), value: z.json() }),
  z.object({ type: z.literal('error-text'), value: z.string() }),
  z.object({ type: z.literal('error-json'), value: z.json() }),
])
export type ToolOutput = z.infer<typeof toolOutput>

/** One tool call with its record; `epoch` is that of the lease under which it was last started. */
export interface ToolCall {
  callId: CallId
  runId: RunId
  step: number
  index: number
  name: string
  input: unknown
  effect: Effect
  state: ToolCallState
  output: ToolOutput | null
  attempts: number
  epoch: number | null
  idempotencyKey: string
  /** Of a call that a person has allowed: what exactly. */
  approval?: Approved | null
}

/** What somebody outside has asked of the run; read by every commit, claim and heartbeat. */
export interface Flags {
  stop: 'cancelled' | 'interrupted' | 'killed' | null
  hold: boolean
  /** Milliseconds until the authority of the run ends, 0 or less when it has; null when it does not. */
  expiresInMs?: number | null
  /** How many model and tool calls the agent may still make, and in how many milliseconds its window ends; null without a rate. */
  rate?: { left: number; resetInMs: number } | null
}

/** What the agent row carries of its template so that `open` can decide alone (2-run-contract, One engine). */
export const agentSettings = z.object({
  template: z.string(),
  templateVersion: z.string(),
  model: z.string(),
  price: z.object({ inputMicrosPerMillion: z.int(), outputMicrosPerMillion: z.int() }).nullable(),
  limits: runLimits,
  maxQueued: z.int().nonnegative(),
  onBusy,
  window: z.object({ maxTokens: z.int().positive(), maxMessages: z.int().positive(), keepFirst: z.int().nonnegative() }),
  maxOutputTokens: z.int().positive(),
  instructionTokens: z.int().nonnegative(),
  /** True where signed-in users may use the template. */
  public: z.boolean().exactOptional(),
  /** Who may decide beside keys with the right: the agent's owner, or nobody. */
  approvers: z.array(z.literal('owner')).exactOptional(),
  /** What the provider's settings let the model think beside its answer. */
  thinkingTokens: z.int().nonnegative().optional(),
})
export type AgentSettings = z.infer<typeof agentSettings>

/** The run as the engine needs it. */
export interface Run {
  id: RunId
  state: RunState
  step: number
  modelCalls: number
  toolCalls: number
  attempt: number
  crashes: number
  cuts: number
  emptyAnswers: number
  windowRetries: number
  modelIndex: number
  /** How often an executor has taken the run up. */
  slices: number
  limits: RunLimits
  costMicros: number
  reservedMicros: number
  usage: Usage
  workMs: number
  metadata: Record<string, unknown>
  /** What the message has narrowed. */
  narrowing?: Narrowing
  /** Where the run stands in the trace that opened it (W3C). */
  traceparent?: string | null
}

/** The right to write: each write names the slice and the epoch. */
export interface Lease {
  sliceId: SliceId
  epoch: number
  leaseMs: number
}

/** Everything `decide` looks at: made by `open` or `claim`, kept true by `apply` and the answers of `commit`. */
export interface Opened {
  tenantId: string
  agentUid: AgentUid
  agentName: string
  userId: string | null
  metadata: Record<string, unknown>
  /** Tools that a person has allowed for this agent for good. */
  alwaysAllowed: string[]
  settings: AgentSettings
  /** What the agent was made with. */
  narrowing?: Narrowing
  run: Run
  lease: Lease
  window: StoredMessage[]
  windowFrom: number
  calls: ToolCall[]
  state: Record<string, unknown>
  flags: Flags
  lastSeq: number
  /** The agent's last commit: the next one names it. */
  lastCommit: CommitId | null
}
