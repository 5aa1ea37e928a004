import type { AnyTool, ToolContext } from '#lib/core/define'
import { parseSafely } from '#lib/core/parse'
import type { ToolCall, ToolOutput } from '#lib/core/run'
import type { CallWrite } from '#lib/core/commit'
import { fingerprintOf, inputHash } from '#lib/engine/fingerprint'
import { postToolUse, preToolUse, preToolUseMs, type BeforeTool } from '#lib/engine/hooks'
import { LeaseLost } from '#lib/engine/lease'
import { cut, errorOutput, errorText, outputOf } from '#lib/engine/output'
import { askedAgain } from '#lib/engine/permission'
import { toolRefusal } from '#lib/engine/rates'
import type { Session } from '#lib/engine/session'
import { cutBy } from '#lib/engine/stopped'
import { writingContext, type ToolWrites } from '#lib/engine/tool-writes'
import { toolSpan } from '#lib/engine/traces'

/** A tool that ignores its signal is given up after so long (invariant 6). */
const giveUpMs = 1_000

/** What became of one execution: its record, the values and events that go with it, and whether it must stay open. */
export interface ToolOutcome extends ToolWrites {
  call: CallWrite | null
}

/** Of a whole slice a tool may take so much: a longer time-out would fit into no slice, and a `once` tool would never start. */
const mostOfSlice = 0.8

/** The tool's own time-out or the default, in milliseconds, cut to what fits into a fresh slice. */
export function toolTimeout(session: Session, name: string): number {
  const { toolTimeoutMs, maxDurationMs, hardMarginMs } = session.services.config
  const asked = session.definition.tools?.find((tool) => tool.name === name)?.timeoutMs ?? toolTimeoutMs
  return Math.min(asked, Math.floor((maxDurationMs - hardMarginMs) * mostOfSlice))
}

/** Milliseconds that must be left before the hard limit for a `once` call to start: its time-out and that of the hooks before it. */
export function roomFor(session: Session, name: string): number {
  const { maxDurationMs, hardMarginMs } = session.services.config
  const timeoutMs = toolTimeout(session, name)
  return Math.max(timeoutMs, Math.min(timeoutMs + preToolUseMs(session), Math.floor((maxDurationMs - hardMarginMs) * mostOfSlice)))
}

/** What became of a call, before its output is cut for the record. */
interface Done extends Pick<CallWrite, 'state' | 'note' | 'hook' | 'approval' | 'unbegun'> {
  output: ToolOutput | null
}
type Runnable = AnyTool & Required<Pick<AnyTool, 'run'>>

/**
 * Does one call that the database has marked as executing: the hooks before it, the tool, the hooks after it. Never throws: a failure
 * is an outcome the model sees. `call` null leaves the record executing, for a later slice: only where an effect that may be repeated
 * was cut at the hard limit.
 */
export async function runTool(session: Session, call: ToolCall): Promise<ToolOutcome> {
  const outcome: ToolOutcome = { call: null, values: {}, events: [] }
  const done = perhapsBefore(call, await hooked(session, call, outcome))
  if (done === null) return { call: null, values: {}, events: [] }
  const { callId, step, index, name, input, effect, idempotencyKey } = call
  const output = done.output === null ? null : cut(done.output, session.services.config.maxResultBytes)
  outcome.call = { callId, step, index, name, input, effect, idempotencyKey, ...done, output }
  return outcome
}

/** Of a call whose earlier attempt may have happened nobody says that it was not executed, nor asks for another one. */
function perhapsBefore(call: ToolCall, done: Done | null): Done | null {
  if (done?.unbegun !== true || done.state === 'completed' || call.attempts <= 1) return done
  const { note = 'its input' } = done
  const text = `An earlier attempt of this call may have happened; this one was not made (${note}). Check before repeating it.`
  return { ...done, output: errorText(text) }
}

async function hooked(session: Session, call: ToolCall, outcome: ToolOutcome): Promise<Done | null> {
  const tool = session.definition.tools?.find((candidate) => candidate.name === call.name)
  if (tool?.run === undefined) {
    const message = 'This tool is no longer deployed; the call was not executed. (tool_removed)'
    return { state: 'sealed', output: errorText(message), note: 'tool_removed', unbegun: true }
  }
  // The record may be older than this code: what is stored is validated again before it is used.
  // A copy: what a schema hands on as it is would else be the record and the history, and a tool may write into it.
  const input = await parseSafely(tool.input, structuredClone(call.input))
  const broken = brokenApproval(call, tool, input.success)
  if (broken !== null) return { state: 'failed', output: errorOutput('approval_void', broken), note: 'approval void', unbegun: true }
  if (!input.success) {
    return {
      state: 'failed',
      output: errorOutput('validation', `The arguments do not match the tool: ${input.error.message}`),
      unbegun: true,
    }
  }
  let before: BeforeTool
  try {
    before = await preToolUse(session, tool, call, input.data)
  } catch {
    return notBegun(session, call)
  }
  if (before.kind === 'deny') {
    const { hook, reason } = before
    return {
      state: 'denied',
      output: errorOutput('denied', reason),
      note: reason,
      hook: { name: hook, decision: 'refused', reason },
      unbegun: true,
    }
  }
  if (before.kind === 'result') {
    const reason = `hook ${before.hook} gave the result; the tool was not executed`
    const given = {
      state: 'completed',
      output: before.output,
      note: reason,
      hook: { name: before.hook, decision: 'recorded', reason },
      unbegun: true,
    } as const
    return afterwards(session, call, call.input, given, outcome, false)
  }
  if (before.changedBy.length > 0 && call.approval != null) {
    const hook = before.changedBy.join(', ')
    const reason = `The hook ${hook} changed the arguments that a person had approved; the call was not executed.`
    return {
      state: 'denied',
      output: errorOutput('denied', reason),
      note: reason,
      hook: { name: hook, decision: 'refused', reason },
      unbegun: true,
    }
  }
  // What a hook has waited is missing now: a `once` tool starts only if its whole time-out fits before the hard limit (invariant 4).
  const late = call.effect === 'once' && preToolUseMs(session) > 0 && toolTimeout(session, call.name) > session.leftMs()
  if (late) return notBegun(session, call)
  if (session.expired()) {
    return {
      state: 'denied',
      output: errorOutput('authority_expired', 'The authority of the run has expired.'),
      note: 'authority_expired',
      unbegun: true,
    }
  }
  const limited = await toolRefusal(session, tool.name)
  if (limited !== null) return { state: 'failed', output: limited, note: 'rate_limited', unbegun: true }
  const done = await execute(session, call, tool as Runnable, before, outcome)
  const output = done?.output ?? null
  if (done === null || output === null || done.state === 'sealed' || (done.state === 'failed' && session.signal.aborted)) return done
  const changes = before.changedBy.map((name) => `hook ${name} changed the arguments`)
  return afterwards(session, call, before.input, noted({ ...done, output }, changes), outcome, true)
}

async function afterwards(
  session: Session,
  call: ToolCall,
  input: unknown,
  done: Done & { output: ToolOutput },
  outcome: ToolOutcome,
  executed: boolean,
): Promise<Done> {
  const state = done.state === 'failed' ? 'failed' : 'completed'
  const after = await postToolUse(session, call, input, { state, output: done.output, executed })
  outcome.events.push(...after.events)
  const changes = after.replacedBy.map((name) => `hook ${name} replaced the output`)
  return noted({ ...done, output: after.output }, changes)
}

function noted<Ended extends Done>(done: Ended, more: readonly string[]): Ended {
  return more.length === 0 ? done : { ...done, note: [...(done.note === undefined ? [] : [done.note]), ...more].join('; ') }
}

/** The slice was cut, or has too little time left, before the tool began: what may be repeated is, the rest is told as not done. */
function notBegun(session: Session, call: ToolCall): Done | null {
  if (cutBy(session.signal) !== null && call.effect !== 'once') return null
  // An earlier attempt has begun, perhaps: nobody can say that nothing has happened.
  if (call.attempts > 1) return aborted(session, call, new AbortController().signal, false)
  return {
    state: 'sealed',
    output: errorText('The call was stopped before it began; it was not executed.'),
    note: 'not_begun',
    unbegun: true,
  }
}

/** The effect itself, with its time-out; null where it must stay open. Never throws. */
async function execute(
  session: Session,
  call: ToolCall,
  tool: Runnable,
  { input, data }: { input: unknown; data: unknown },
  outcome: ToolOutcome,
): Promise<Done | null> {
  const { services, opened } = session
  // Stopped while its limit was asked: of this one it is known that it has not happened.
  if (session.signal.aborted) return notBegun(session, call)
  // The hard limit has a signal of its own: what it cuts has not timed out, and may run again in a fresh slice.
  const timeoutMs = toolTimeout(session, call.name)
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(new Error(`the tool did not end within ${timeoutMs} ms`)), timeoutMs)
  const signal = AbortSignal.any([session.signal, timeout.signal])
  const writing = writingContext(opened.state, call, outcome)
  const context: ToolContext = {
    tenantId: opened.tenantId,
    userId: opened.userId,
    agentId: opened.agentName,
    runId: opened.run.id,
    step: call.step,
    callId: call.callId,
    idempotencyKey: call.idempotencyKey,
    attempt: call.attempts,
    metadata: structuredClone(opened.metadata),
    signal,
    deadline: services.clock.now() + Math.min(timeoutMs, session.leftMs()),
    state: writing.state,
    emit: writing.emit,
    log: (message, fields) => services.log.info(message, { ...fields, runId: opened.run.id, callId: call.callId, tool: call.name }),
  }

  try {
    if (!session.guard.held()) throw new LeaseLost()
    await services.onEffect({
      kind: 'tool',
      agentId: opened.agentName,
      runId: opened.run.id,
      epoch: opened.lease.epoch,
      step: call.step,
      callId: call.callId,
      name: call.name,
      idempotencyKey: call.idempotencyKey,
      input,
    })
    const work = services.telemetry.span(toolSpan(call), async () => tool.run(data as never, context))
    const result = await endsOrIsGivenUp(session, work, signal)
    if (result === givenUp) {
      writing.end('drop')
      return aborted(session, call, timeout.signal, true)
    }
    return { state: 'completed', output: outputOf(result) }
  } catch (thrown) {
    writing.end('drop')
    if (signal.aborted) return aborted(session, call, timeout.signal, false)
    return { state: 'failed', output: errorOutput('tool_error', thrown instanceof Error ? thrown.message : String(thrown)) }
  } finally {
    writing.end('keep')
    clearTimeout(timer)
  }
}

/** Why what a person has allowed is not what would run now, or null. */
function brokenApproval(call: ToolCall, tool: AnyTool, fits: boolean): string | null {
  const { approval } = call
  if (approval === undefined || approval === null) return null
  if (approval.inputHash !== inputHash(call.input)) return 'The input is not the one that was approved; the call was not executed.'
  if (!fits && approval.fingerprint !== fingerprintOf(tool)) {
    return `The tool ${call.name} has changed since the call was approved, and the input no longer fits it; the call was not executed.`
  }
  return null
}

const givenUp = Symbol('given up')

async function endsOrIsGivenUp(session: Session, work: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  const done = new AbortController()
  const limit = new Promise<typeof givenUp>((resolve) => {
    const wait = (): void => void session.services.clock.sleep(giveUpMs, done.signal).then(() => resolve(givenUp))
    if (signal.aborted) wait()
    else signal.addEventListener('abort', wait, { once: true, signal: done.signal })
  })
  try {
    const result = await Promise.race([work, limit])
    // A late result of a tool that was given up is dropped; its late failure is told here alone.
    if (result === givenUp)
      work.catch((late: unknown) =>
        session.services.log.warn('a tool failed after it was given up', { error: late instanceof Error ? String(late) : typeof late }),
      )
    return result
  } finally {
    done.abort()
  }
}

function aborted(session: Session, call: ToolCall, timeout: AbortSignal, running: boolean): Done | null {
  const still = running ? ' It ignored its signal and may still be running.' : ''
  const unknown = call.effect === 'once' ? ' Its outcome is unknown: check before repeating it.' : ''
  const state = call.effect === 'once' ? 'sealed' : 'failed'
  if (timeout.aborted && !session.signal.aborted) {
    if (asks(session, call)) return unknownOutcome(session, call, `The tool did not end in time.${still}`)
    return { state, output: errorText(`The tool did not end in time.${still}${unknown}`), note: 'timeout' }
  }
  const cut = cutBy(session.signal)
  // Cut at the hard limit, an effect that may be repeated stays open and runs again in a fresh slice.
  if (cut !== null && call.effect !== 'once' && !running) return null
  // A run that was stopped ends: there is nobody to ask for it.
  if (cut !== null && asks(session, call)) return unknownOutcome(session, call, `The call was cut at the limit of its slice.${still}`)
  return { state, output: errorText(`The call was stopped before it ended.${still}${unknown}`), note: 'aborted' }
}

/** True where the template wants a person to say what becomes of a call that may have happened. */
function asks(session: Session, call: ToolCall): boolean {
  return call.effect === 'once' && session.definition.unknownOutcome === 'pause'
}

function unknownOutcome(session: Session, call: ToolCall, why: string): Done {
  const { state, output, note, approval } = askedAgain(session, call, why)
  return { state, output, ...(note === undefined ? {} : { note }), ...(approval === undefined ? {} : { approval }) }
}
