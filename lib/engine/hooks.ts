import {
  defaultHookTimeoutMs,
  type HookCall,
  type HookContext,
  type HookDefinition,
  type HookOutcome,
  type HookStage,
} from '#lib/core/hooks'
import type { AnyTool } from '#lib/core/define'
import { parseSafely } from '#lib/core/parse'
import { plain } from '#lib/core/plain'
import type { ToolCall, ToolOutput } from '#lib/core/run'
import type { NewEvent } from '#lib/core/commit'
import { outputOf } from '#lib/engine/output'
import type { Session } from '#lib/engine/session'

/** What the hooks before a tool have decided; `hook` names the one that did. */
export type BeforeTool =
  | { kind: 'run'; input: unknown; data: unknown; changedBy: string[] }
  | { kind: 'deny'; hook: string; reason: string }
  | { kind: 'result'; hook: string; output: ToolOutput }

/** The hooks of the template that have this function, in order. */
export function hooksAt(session: Session, stage: HookStage): HookDefinition[] {
  return (session.definition.hooks ?? []).filter((hook) => hook[stage] !== undefined)
}

/** Milliseconds that the hooks before a tool may take together: a `once` tool starts only if they fit before the hard limit too. */
export function preToolUseMs(session: Session): number {
  return hooksAt(session, 'preToolUse').reduce((sum, hook) => sum + (hook.timeoutMs ?? defaultHookTimeoutMs), 0)
}

/** Asks one function of a hook, at most for its time-out; rejects as {@link withinTime} does. */
export async function askHook<Answer>(
  session: Session,
  hook: HookDefinition,
  step: number,
  ask: (context: HookContext) => Answer | Promise<Answer>,
): Promise<Answer> {
  const { opened, services } = session
  const contextOf = (signal: AbortSignal): HookContext => ({
    tenantId: opened.tenantId,
    userId: opened.userId,
    agentId: opened.agentName,
    runId: opened.run.id,
    step,
    metadata: structuredClone(opened.metadata),
    signal,
    log: (message, fields) => services.log.info(message, { ...fields, runId: opened.run.id, hook: hook.name }),
  })
  return withinTime(session, hook.timeoutMs ?? defaultHookTimeoutMs, (signal) => ask(contextOf(signal)))
}

/**
 * Asks a function of the template. Rejects with what it throws, with an Error after `ms`, or with the reason of the slice's signal,
 * also where the function itself never answers.
 */
export async function withinTime<Answer>(
  session: Session,
  ms: number,
  ask: (signal: AbortSignal) => Answer | Promise<Answer>,
): Promise<Answer> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new Error(`it did not answer within ${ms} ms`)), ms)
  const signal = AbortSignal.any([session.signal, limit.signal])
  try {
    signal.throwIfAborted()
    const cut = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(asError(signal.reason)), { once: true })
    })
    // Asked within a promise: after a throw here nobody would look at what the signal rejects later.
    const answer = async (): Promise<Answer> => ask(signal)
    return await Promise.race([answer(), cut])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Asks the hooks before a tool, each with what the one before has made of the input. What fails or cannot be understood denies the
 * call. Rejects with the reason of the slice's signal alone.
 */
export async function preToolUse(session: Session, tool: AnyTool, call: ToolCall, data: unknown): Promise<BeforeTool> {
  const before: Extract<BeforeTool, { kind: 'run' }> = { kind: 'run', input: call.input, data, changedBy: [] }
  for (const hook of hooksAt(session, 'preToolUse')) {
    const deny = (reason: string): BeforeTool => ({ kind: 'deny', hook: hook.name, reason })
    try {
      const answer = await askHook(session, hook, call.step, (context) => hook.preToolUse?.(viewOf(call, before.input), context))
      if (answer === undefined || answer === null) continue
      if ('deny' in answer) return deny(String(answer.deny))
      if ('result' in answer) return { kind: 'result', hook: hook.name, output: outputOf(answer.result) }
      if (!('input' in answer)) return deny(`The hook ${hook.name} answered something that is none of deny, result and input.`)
      // As the model's would be: JSON, and nothing that the hook could still change.
      const input = plain(answer.input)
      const parsed = await parseSafely(tool.input, structuredClone(input))
      if (!parsed.success)
        return deny(`The hook ${hook.name} changed the arguments to what the tool does not take: ${parsed.error.message}`)
      before.input = input
      before.data = parsed.data
      before.changedBy.push(hook.name)
    } catch (thrown) {
      session.signal.throwIfAborted()
      return deny(`The hook ${hook.name} failed, so the call was not executed: ${messageOf(thrown)}`)
    }
  }
  return before
}

/** The outcome as the hooks after a tool leave it; one that fails leaves it as it is and is told by an event. Never rejects. */
export async function postToolUse(
  session: Session,
  call: ToolCall,
  input: unknown,
  first: HookOutcome,
): Promise<{ output: ToolOutput; replacedBy: string[]; events: NewEvent[] }> {
  const result = { output: first.output, replacedBy: [] as string[], events: [] as NewEvent[] }
  for (const hook of hooksAt(session, 'postToolUse')) {
    try {
      const outcome = { ...first, output: structuredClone(result.output) }
      const answer = await askHook(session, hook, call.step, (context) => hook.postToolUse?.(viewOf(call, input), outcome, context))
      if (answer === undefined || answer === null) continue
      const output = outputOf(answer.replace)
      // What failed stays an error for the model, whatever is said about it.
      const type = output.type === 'json' ? 'error-json' : 'error-text'
      result.output = first.state === 'failed' ? ({ type, value: output.value } as ToolOutput) : output
      result.replacedBy.push(hook.name)
    } catch (thrown) {
      result.events.push(hookFailed(session, hook, 'postToolUse', call.step, thrown, { callId: call.callId }))
    }
  }
  return result
}

/** The event that tells of a hook that failed without changing what it was asked about. */
export function hookFailed(
  session: Session,
  hook: HookDefinition,
  stage: HookStage,
  step: number,
  thrown: unknown,
  more: Record<string, unknown> = {},
): NewEvent {
  const message = messageOf(thrown)
  session.services.log.warn('a hook failed', { runId: session.opened.run.id, hook: hook.name, stage, error: message })
  return { channel: 'monitor', type: 'hook_failed', step, data: { hook: hook.name, stage, message, ...more } }
}

/** What a hook threw, in words. */
export function messageOf(thrown: unknown): string {
  return asError(thrown).message
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** With a copy of the input: a hook changes it by its answer alone, which is noted and checked against what a person has approved. */
function viewOf(call: ToolCall, input: unknown): HookCall {
  const { callId, name, effect, attempts } = call
  return { callId, name, effect, input: structuredClone(input), attempt: attempts }
}
