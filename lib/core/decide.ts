import { priceUnknown } from '#lib/core/prices'
import { isFinal, type EndState, type Opened, type StopReason, type ToolCall } from '#lib/core/run'
import type { RunError } from '#lib/core/commit'

/** What an executor does next. The same state gives the same decision in any process. */
export type Decision =
  | { kind: 'model' }
  | { kind: 'tools'; inHand: ToolCall[]; start: ToolCall[]; seal: ToolCall[]; ask: ToolCall[] }
  /** Only calls that somebody outside must answer are left. */
  | { kind: 'pause' }
  /** `last`: nothing that comes now could be answered by this run. */
  | { kind: 'end'; state: EndState; stopReason: StopReason; output: string | null; error: RunError | null; last?: true }

const failed = (stopReason: StopReason, message: string): Decision => ({
  kind: 'end',
  state: 'failed',
  stopReason,
  output: null,
  error: { code: stopReason, message },
})

const authorityExpired: Decision = {
  kind: 'end',
  state: 'expired',
  stopReason: 'expired',
  output: null,
  error: { code: 'authority_expired', message: 'The authority of the run has expired; what had been committed is kept.' },
}

/** The settings that a decision depends on beside the state. */
export interface Rules {
  /** So many take-overs without a commit between them are borne; one more ends the run (invariant 12). */
  maxStepCrashes: number
  unknownOutcome: 'seal' | 'fail' | 'pause'
  /** The authority of the run has ended: what is in hand is finished, and nothing more is begun. */
  expired?: boolean
}

/** Decides the next step of a run from the loaded state alone: no clock, no I/O (2-run-contract, One engine). */
export function decide(opened: Opened, rules: Rules): Decision {
  const { run, flags, lease } = opened
  if (flags.stop !== null) {
    return {
      kind: 'end',
      state: flags.stop === 'killed' ? 'killed' : 'cancelled',
      stopReason: flags.stop,
      output: null,
      error: { code: flags.stop, message: `The run was ${flags.stop}; what had been committed is kept.` },
    }
  }
  if (run.crashes > rules.maxStepCrashes) {
    return failed('step_crashed', `Step ${run.step + 1} took its process down ${run.crashes} times; what had been committed is kept.`)
  }
  if (run.cuts >= 2)
    return failed('step_too_long', `Step ${run.step + 1} did not fit into a slice twice; split the work or raise maxDuration.`)
  const most = mostSlices(run.limits.maxSteps)
  if (run.slices > most)
    return failed('step_too_long', `The run was handed over ${most} times without coming to its end; see its events for what it waits for.`)
  const outOfTime = run.workMs >= run.limits.maxWallMs ? failed('max_time', `The run has worked for its ${run.limits.maxWallMs} ms.`) : null

  const open = opened.calls.filter((call) => !isFinal(call.state))
  if (open.length > 0) {
    if (outOfTime !== null) return outOfTime
    // A call that an earlier epoch left executing may have happened: only the author's effect class says what to do.
    const orphaned = open.filter((call) => call.state === 'executing' && call.epoch !== lease.epoch)
    const unknown = orphaned.filter((call) => call.effect === 'once')
    if (unknown.length > 0 && rules.unknownOutcome === 'fail') {
      return failed('unknown_outcome', `The outcome of ${unknown.map((call) => call.name).join(', ')} is unknown: check before you retry.`)
    }
    const again = orphaned.filter((call) => call.effect !== 'once')
    const inHand = open.filter((call) => call.state === 'executing' && call.epoch === lease.epoch)
    const fresh = open.filter((call) => call.state === 'pending' || call.state === 'approved')
    // One that a person has allowed again was counted when it first began.
    if (run.toolCalls + fresh.filter((call) => call.attempts === 0).length > run.limits.maxToolCalls) {
      return failed('max_tool_calls', `The run may make ${run.limits.maxToolCalls} tool calls.`)
    }
    const [seal, ask] = rules.unknownOutcome === 'pause' ? [[], unknown] : [unknown, []]
    if (rules.expired === true) {
      return inHand.length > 0 ? { kind: 'tools', inHand, start: [], seal, ask } : authorityExpired
    }
    if (open.every((call) => isWaiting(call))) return { kind: 'pause' }
    return { kind: 'tools', inHand, start: [...again, ...fresh], seal, ask }
  }
  const last = opened.window.at(-1)
  const over = modelCallForbidden(opened, rules, outOfTime)
  // Before the limits: an answer that is there is not thrown away. A retry may find the history complete; it has nothing left to ask.
  if (last?.role === 'assistant') {
    const output = textOf(last.content)
    return { kind: 'end', state: 'completed', stopReason: 'end_turn', output, error: null, ...(over === null ? {} : { last: true }) }
  }
  return over ?? { kind: 'model' }
}

/** Why the run may make no further model call; null where it may. */
function modelCallForbidden(opened: Opened, rules: Rules, outOfTime: Decision | null): Decision | null {
  const { run } = opened
  if (rules.expired === true) return authorityExpired
  if (outOfTime !== null) return outOfTime
  if (run.step >= run.limits.maxSteps) return failed('max_steps', `The run may take ${run.limits.maxSteps} steps.`)
  if (run.usage.inputTokens + run.usage.outputTokens >= run.limits.maxTokens) {
    return failed('max_tokens', `The run may use ${run.limits.maxTokens} tokens.`)
  }
  if (opened.settings.price === null && narrowedModel(opened) === null) {
    return failed('price_unknown', priceUnknown(opened.settings.model))
  }
  return null
}

/** The only model of the run where its message or its agent names one; null where the template's are used. */
export function narrowedModel(opened: Opened): string | null {
  return opened.run.narrowing?.model ?? opened.narrowing?.model ?? null
}

/** True for a call that a person or the outside must answer. */
export function isWaiting(call: Pick<ToolCall, 'state'>): boolean {
  return call.state === 'approval_required' || call.state === 'waiting_external'
}

/**
 * So often a run may be taken up: far above what its steps need with retries, take-overs and cuts for each, and only there so that
 * one that is handed over again and again without getting on has an end.
 */
export function mostSlices(maxSteps: number): number {
  return 20 * (maxSteps + 5)
}

/** The text of a message's content, parts joined. */
export function textOf(content: Opened['window'][number]['content']): string {
  if (typeof content === 'string') return content
  return content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')
}
