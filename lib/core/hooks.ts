import type { ModelMessage } from 'ai'
import type { Effect, ToolOutput, Usage } from '#lib/core/run'
import { checkFields } from '#lib/core/words'

/** Milliseconds that one hook may take where it says nothing. */
export const defaultHookTimeoutMs = 5_000

/** What every hook is given. `signal` aborts at the hook's time-out and whenever the step is cut. */
export interface HookContext {
  tenantId: string
  userId: string | null
  agentId: string
  runId: string
  step: number
  metadata: Record<string, unknown>
  signal: AbortSignal
  log(message: string, fields?: Record<string, unknown>): void
}

/** A tool call as hooks see it: `input` as the model wrote it, or as a hook before this one has changed it. */
export interface HookCall {
  callId: string
  name: string
  effect: Effect
  input: unknown
  /** 1, or more when a crash or the hard limit has cut an earlier attempt. */
  attempt: number
}

/** What became of a call. `executed` is false where a hook gave the result. */
export interface HookOutcome {
  state: 'completed' | 'failed'
  output: ToolOutput
  executed: boolean
}

/** What the model is about to be asked. */
export interface HookRequest {
  model: string
  instructions: string
  messages: readonly ModelMessage[]
  tools: readonly string[]
}

/** What the model has answered; its tool calls have not begun. */
export interface HookAnswer {
  model: string
  text: string
  reasoning: string
  calls: readonly { name: string; input: unknown }[]
  finish: string
  usage: Usage
}

/** Goes on, refuses the call, answers in the tool's place, or changes the input (validated again). */
export type PreToolUse = { deny: string } | { result: unknown } | { input: unknown } | undefined | void
/** Leaves the outcome, or puts another value in its place. */
export type PostToolUse = { replace: unknown } | undefined | void
/** Goes on, asks something else (for this call only; the history stays), or ends the run. */
export type PreModel = { messages?: readonly ModelMessage[]; instructions?: string } | { stop: string } | undefined | void
/** Leaves the answer, or puts another text in place of its text. */
export type PostModel = { replaceText: string } | undefined | void

/** The hook that decided a call in the tool's place, for the audit log. */
export interface HookDecided {
  hook?: { name: string; decision: 'refused' | 'recorded'; reason: string }
}

type Answer<Value> = Value | Promise<Value>

/**
 * A hook as its author writes it. Hooks of a template run in their order. A process that dies runs them again: what they do outside
 * must be repeatable.
 */
export interface HookDefinition {
  name: string
  /** Milliseconds for each of its functions (default 5,000). */
  timeoutMs?: number
  /** Just before a tool is executed. A throw or a time-out denies the call. */
  preToolUse?(call: HookCall, context: HookContext): Answer<PreToolUse>
  /** After a call that was not denied. A throw or a time-out leaves the outcome and is told by an event. */
  postToolUse?(call: HookCall, outcome: HookOutcome, context: HookContext): Answer<PostToolUse>
  /** Just before the model is asked. A throw or a time-out ends the run as `hook_failed`. */
  preModel?(request: HookRequest, context: HookContext): Answer<PreModel>
  /** Before the answer is stored. A throw or a time-out leaves the answer and is told by an event. */
  postModel?(answer: HookAnswer, context: HookContext): Answer<PostModel>
}

/** The functions that a hook may have. */
export const hookStages = ['preToolUse', 'postToolUse', 'preModel', 'postModel'] as const
/** One of the functions of a hook. */
export type HookStage = (typeof hookStages)[number]

const hookFields: Readonly<Record<keyof HookDefinition, true>> = {
  name: true,
  timeoutMs: true,
  preToolUse: true,
  postToolUse: true,
  preModel: true,
  postModel: true,
}

/**
 * Describes a hook. Throws a TypeError for a name outside `[A-Za-z0-9_-]{1,64}`, an unknown field, a hook without functions, or a time-out that is
 * not 1 to 60,000 ms.
 */
export function defineHook(hook: HookDefinition): HookDefinition {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(hook.name)) throw new TypeError(`hook name "${hook.name}": use 1 to 64 of A-Z a-z 0-9 _ -`)
  checkFields(`hook ${hook.name}`, hook, Object.keys(hookFields))
  if (!hookStages.some((stage) => hook[stage] !== undefined)) {
    throw new TypeError(`hook ${hook.name}: it has none of ${hookStages.join(', ')}`)
  }
  const ms = hook.timeoutMs ?? defaultHookTimeoutMs
  if (!(ms >= 1 && ms <= 60_000)) throw new TypeError(`hook ${hook.name}: timeoutMs ${ms} is not 1 to 60000`)
  return hook
}
