import type { CallId } from '#lib/core/ids'
import type { Decision } from '#lib/core/decide'
import type { ToolCall } from '#lib/core/run'
import type { CallWrite, Happened } from '#lib/core/commit'
import { errorText } from '#lib/engine/output'
import { askedAgain, recordOf } from '#lib/engine/permission'
import { runTool, type ToolOutcome } from '#lib/engine/run-tool'
import type { Session } from '#lib/engine/session'
import { settle } from '#lib/engine/settle'

/**
 * Runs the calls of an answer: those that the database has marked as executing are launched, each outcome is committed when it is
 * known (those that wait together go together), and that commit starts the next ones (invariant 4). Returns when none is at work.
 * Throws LeaseLost, or the reason of the slice's signal when calls were cut.
 */
export async function toolStep(session: Session, decision: Extract<Decision, { kind: 'tools' }>): Promise<void> {
  const { opened } = session
  const running = new Map<CallId, Promise<{ callId: CallId; outcome: ToolOutcome }>>()
  const finished: { callId: CallId; outcome: ToolOutcome }[] = []
  /** Cut before they had an outcome. */
  const left = new Set<CallId>()
  let wake: (() => void) | null = null

  const launch = (): void => {
    for (const call of opened.calls) {
      const isHere = running.has(call.callId) || left.has(call.callId)
      if (call.state !== 'executing' || call.epoch !== opened.lease.epoch || isHere) continue
      const work = runTool(session, call)
        .catch((thrown: unknown) => brokenOff(session, call, thrown))
        .then((outcome) => {
          const entry = { callId: call.callId, outcome }
          finished.push(entry)
          wake?.()
          return entry
        })
      running.set(call.callId, work)
    }
  }

  if (decision.inHand.length === 0 || decision.seal.length > 0 || decision.ask.length > 0) {
    const calls = [
      ...decision.seal.map(sealed),
      ...decision.ask.map((call) => askedAgain(session, call, 'The process died while this call ran.')),
    ]
    const answer = await settle(session, { calls, progress: calls.length > 0 }, decision.inHand.length)
    if (answer.released) return
  }
  const untilAllEnded = async (): Promise<void> => {
    while (running.size > 0) {
      if (finished.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      wake = null
      const outcomes = finished.splice(0)
      for (const { callId, outcome } of outcomes) {
        running.delete(callId)
        if (outcome.call === null) left.add(callId)
      }
      const known = outcomes.flatMap(({ outcome }) => (outcome.call === null ? [] : [outcome]))
      if (known.length === 0) continue
      const answer = await settle(session, factsOf(known), running.size + left.size)
      if (!answer.released) launch()
    }
  }

  launch()
  try {
    await untilAllEnded()
  } catch (error) {
    // Nobody will store what the others still do. While the lease is held nobody else goes on either: they have the time to stop.
    session.abandon()
    if (session.guard.held()) await Promise.all(running.values())
    throw error
  }
  // Calls that were cut are left: the slice ends here, and a fresh one runs them again.
  if (left.size > 0 && !session.released) session.signal.throwIfAborted()
}

function factsOf(outcomes: readonly ToolOutcome[]): Happened {
  const calls = outcomes.flatMap(({ call }) => (call === null ? [] : [call]))
  const values: Record<string, unknown> = Object.assign({}, ...outcomes.map((outcome) => outcome.values))
  // JSON has no undefined: what is taken away is named beside.
  const removed = Object.keys(values).filter((key) => values[key] === undefined)
  return {
    calls,
    events: outcomes.flatMap(({ events }) => events),
    values,
    ...(removed.length === 0 ? {} : { removed }),
    count: { cuts: 0 },
    progress: calls.length > 0,
  }
}

/** What `runTool` has not foreseen must end the call all the same, or its run would wait for it for ever. */
function brokenOff(session: Session, call: ToolCall, thrown: unknown): ToolOutcome {
  const error = thrown instanceof Error ? thrown.message : typeof thrown
  session.services.log.error('a tool call broke off', { runId: session.opened.run.id, callId: call.callId, tool: call.name, error })
  const isOnce = call.effect === 'once'
  const value = `The call broke off.${isOnce ? ' Its outcome is unknown: check before repeating it.' : ''}`
  const ended: CallWrite = { ...recordOf(call), state: isOnce ? 'sealed' : 'failed', output: errorText(value), note: 'broke off' }
  return { call: ended, values: {}, events: [] }
}

function sealed(call: ToolCall): CallWrite {
  const value = 'The outcome of this call is unknown: the process died while it ran, and it may have happened. Check before repeating it.'
  return { ...recordOf(call), state: 'sealed', output: { type: 'error-text', value }, note: 'unknown outcome after a crash' }
}
