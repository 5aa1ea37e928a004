import { decide } from '#lib/core/decide'
import { BatonError } from '#lib/core/errors'
import { isReadable } from '#lib/core/readable'
import type { RunState, StopReason, Usage } from '#lib/core/run'
import { LeaseLost } from '#lib/engine/lease'
import { modelStep } from '#lib/engine/model-step'
import type { Session } from '#lib/engine/session'
import { rulesOf, settle } from '#lib/engine/settle'
import { cutBy, whyStopped } from '#lib/engine/stopped'
import { toolStep } from '#lib/engine/tool-step'

/** What became of a slice. `ended` and the others are as the last commit left them; `lease_lost` says nothing about the run. */
export type Advanced =
  | {
      kind: 'ended' | 'handed_over' | 'waiting' | 'paused'
      state: RunState
      stopReason: StopReason | null
      output: string | null
      usage: Usage
      costMicros: number
      lastSeq: number
    }
  | { kind: 'lease_lost' }

/**
 * Runs steps of one run until it ends, pauses, or the time is up (2-run-contract, One engine). The route handler and the Inngest
 * function call this and nothing else runs agents. Closes the session. Throws only for faults of Baton itself; the lease then
 * runs out and the sweeper finds the run.
 */
export async function advance(session: Session): Promise<Advanced> {
  try {
    const corrupted = session.opened.window.find((message) => !isReadable(message))
    if (corrupted !== undefined) {
      await endCorrupted(session, corrupted.seq)
      return result(session)
    }
    // Bounded by the run's own limits of steps and calls; the constant only guards against a fault in decide.
    for (let turn = 0; turn < 10_000; turn++) {
      const more = await oneStep(session)
      if (!more) return result(session)
    }
    throw new Error(`run ${session.opened.run.id} took 10000 turns in one slice`)
  } catch (error) {
    if (error instanceof LeaseLost || session.guard.signal.aborted) return { kind: 'lease_lost' }
    throw error
  } finally {
    await session.close()
  }
}

/** True while the lease is still held and there is more to do. */
async function oneStep(session: Session): Promise<boolean> {
  const { opened } = session
  try {
    const decision = decide(opened, rulesOf(session))
    if (decision.kind === 'end') {
      const { state, stopReason, output, error } = decision
      await settle(session, { progress: false }, 0, { end: { state, stopReason, output, error } })
    } else if (opened.flags.hold && !(decision.kind === 'tools' && decision.inHand.length > 0)) {
      // The commit gives the lease back, or finds that the hold has been lifted.
      await settle(session, { progress: false })
    } else if (decision.kind === 'pause') {
      await settle(session, { progress: false })
    } else if (session.pastSlice() && !(decision.kind === 'tools' && decision.inHand.length > 0)) {
      await settle(session, { progress: false }, 0, { release: 'slice_deadline' })
    } else if (decision.kind === 'tools') {
      await toolStep(session, decision)
    } else {
      await modelStep(session)
    }
  } catch (error) {
    const why = whyStopped(session.signal)
    if (error instanceof BatonError && error.code === 'internal_error') await endRefused(session, error)
    else if (why === null || why === 'broken_off' || session.guard.signal.aborted) throw error
    else await cutShort(session)
  }
  return session.guard.held() && !session.released
}

/**
 * The step in hand was aborted: by a stop, whose end the next turn commits, or by the hard limit or SIGTERM, which release for a fresh
 * slice. Only the hard limit says that the step is too long; a deploy may come at any moment, and again at the next one (invariant 12).
 */
async function cutShort(session: Session): Promise<void> {
  const { flags, run } = session.opened
  const release = cutBy(session.signal)
  if (release !== null) {
    const count = release === 'hard_limit' ? { cuts: run.cuts + 1 } : {}
    await settle(session, { progress: false, count }, 0, { release })
    return
  }
  // A heartbeat that was overtaken may have left older flags behind: a stop that was told once stands in the database.
  if (flags.stop === null) await session.lookAtFlags()
}

/** The database has refused a commit, and would again: the run ends with what had been committed before, instead of crashing its step. */
async function endRefused(session: Session, refusal: BatonError): Promise<void> {
  const { run } = session.opened
  session.services.log.error('the database refused a step', { runId: run.id, step: run.step + 1, cause: String(refusal.cause) })
  const message = `The database refused to store step ${run.step + 1}; what had been committed before is kept. The cause is in the server's log.`
  const error = { code: 'internal_error', message }
  await settle(session, { progress: false }, 0, { end: { state: 'failed', stopReason: 'internal_error', output: null, error } })
}

/** A row of the window cannot be read: the runs of this one agent end by name until it is repaired, and nobody else notices. */
async function endCorrupted(session: Session, seq: number): Promise<void> {
  const { run, agentName } = session.opened
  session.services.log.error('a stored message cannot be read', { runId: run.id, agentId: agentName, seq })
  const message = `Message ${seq} of agent ${agentName} cannot be read; everything is kept. See GET /api/agents/${agentName}/consistency, and repair it.`
  const error = { code: 'corrupted_data', message }
  await settle(session, { progress: false }, 0, { end: { state: 'failed', stopReason: 'corrupted_data', output: null, error } })
}

function result(session: Session): Advanced {
  const { run, lastSeq } = session.opened
  if (!session.released) return { kind: 'lease_lost' }
  const facts = {
    state: run.state,
    stopReason: session.stopReason,
    output: session.output,
    usage: run.usage,
    costMicros: run.costMicros,
    lastSeq,
  }
  if (run.state === 'awaiting_approval') return { kind: 'paused', ...facts }
  if (run.state === 'waiting') return { kind: 'waiting', ...facts }
  return { kind: run.state === 'running' ? 'handed_over' : 'ended', ...facts }
}
