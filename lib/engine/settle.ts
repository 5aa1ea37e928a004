import { decide, isWaiting, narrowedModel, type Decision } from '#lib/core/decide'
import { defaultExternalMs } from '#lib/core/approvals'
import { applyCommit, project } from '#lib/core/project'
import { reservationOf } from '#lib/core/prices'
import { noUsage, type Opened, type ToolCall } from '#lib/core/run'
import type { CommitAnswer, Happened, Intends, Reservation, Settlement } from '#lib/core/commit'
import { modelMessages, movable, nextWindow } from '#lib/core/window'
import type { ModelRequest } from '#lib/core/ports'
import { defaultHookTimeoutMs } from '#lib/core/hooks'
import { defaultToolConcurrency } from '#lib/core/limits'
import { messageOf, withinTime } from '#lib/engine/hooks'
import { inHand, type Session } from '#lib/engine/session'
import { roomFor } from '#lib/engine/run-tool'
import { shownCommit } from '#lib/engine/shown'

/** What `decide` depends on beside the state. */
export function rulesOf(session: Session): Parameters<typeof decide>[1] {
  return {
    maxStepCrashes: session.services.config.maxStepCrashes,
    unknownOutcome: session.definition.unknownOutcome ?? 'seal',
    expired: session.expired(),
  }
}

/**
 * Commits what happened together with what comes next: the state is projected, `decide` looks at it, and its answer becomes the
 * intents of the same transaction. `running` calls are still at work in this process. What was reserved and is not settled by
 * `happened` is settled with it: nothing where its call was never made. Throws LeaseLost.
 */
export async function settle(session: Session, facts: Happened, running = 0, force: Intends = {}): Promise<CommitAnswer> {
  const happened: Happened = {
    ...facts,
    settle: allSettled(session, facts.settle ?? []),
    count: { ...facts.count, workMs: session.takeWorkMs() },
  }
  const next = project(session.opened, happened)
  const isOver = force.end !== undefined || force.wait !== undefined || force.release !== undefined
  const planned = await plan(session, next, { running, isOver })
  const intends = { ...planned, ...force }
  // An answer that was cut short is the last that the run can give, too.
  if (force.end?.state === 'completed' && planned.end?.last === true) intends.end = { ...force.end, last: true }
  if (intends.end !== undefined || intends.wait !== undefined || intends.release !== undefined) {
    delete intends.reserve
    delete intends.start
    delete intends.pause
  }
  const waiting = next.calls.filter((call) => isWaiting(call) || intends.external?.[call.callId] !== undefined)
  if (waiting.length > 0) intends.waiting = waiting.map((call) => call.callId)
  const shown = shownCommit(session.services.redact, happened, intends)
  const answer = await session.commit(shown.happened, shown.intends)
  applyCommit(session.opened, happened, intends, answer)
  session.released = answer.released
  session.stopReason = answer.stopReason
  if (intends.end !== undefined && answer.released) {
    session.output = intends.end.output
    session.error = shown.intends.end?.error ?? null
  }
  session.reservation = inHand(intends.reserve ?? null, answer, answer.steered)
  return answer
}

function allSettled(session: Session, settle: Settlement[]): Settlement[] {
  const open = unansweredSettlement(session, false)
  return open === null || settle.some(({ id }) => id === open.id) ? settle : [...settle, open]
}

/** `isOver`: the commit gives the lease back whatever comes next, so that nothing is made ready for a model call. */
async function plan(session: Session, next: Opened, { running, isOver }: { running: number; isOver: boolean }): Promise<Intends> {
  const decision = decide(next, rulesOf(session))
  switch (decision.kind) {
    case 'end': {
      const { kind: _end, ...end } = decision
      return running > 0 ? {} : { end }
    }
    case 'tools':
      return planTools(session, decision, running)
    case 'model':
      return planModel(session, next, isOver)
    case 'pause':
      return { pause: true }
  }
}

function planTools(session: Session, decision: Extract<Decision, { kind: 'tools' }>, running: number): Intends {
  if (session.pastSlice()) return running > 0 || decision.inHand.length > running ? {} : { release: 'slice_deadline' }
  const room = (session.definition.toolConcurrency ?? defaultToolConcurrency) - Math.max(running, decision.inHand.length)
  const rate = session.rate()
  if (rate.left <= 0 && decision.start.length > 0) {
    return running > 0 || decision.inHand.length > 0 ? {} : { wait: { kind: 'retry', ms: rate.resetInMs } }
  }
  // The outside takes no room here.
  const outside = decision.start.filter((call) => call.effect === 'external').slice(0, rate.left)
  const inside = decision.start.filter((call) => call.effect !== 'external')
  const start = inside.filter((call) => fits(session, call)).slice(0, Math.max(0, Math.min(room, rate.left - outside.length)))
  const idle = running === 0 && decision.inHand.length === 0
  if (start.length === 0 && outside.length === 0 && inside.length > 0 && idle) return { release: 'once_needs_room' }
  return {
    start: [...start, ...outside].map((call) => call.callId),
    ...(outside.length === 0 ? {} : { external: Object.fromEntries(outside.map((call) => [call.callId, externalMs(session, call)])) }),
    // Nothing is left to do here once the outside has been asked.
    ...(start.length + outside.length === decision.start.length && inside.length === 0 && idle ? { pause: true } : {}),
  }
}

function externalMs(session: Session, call: ToolCall): number {
  return session.definition.tools?.find((tool) => tool.name === call.name)?.expiresMs ?? defaultExternalMs
}

/** A `once` tool starts only if its whole time-out, and that of the hooks before it, fits before the hard limit (invariant 4). */
function fits(session: Session, call: ToolCall): boolean {
  return call.effect !== 'once' || roomFor(session, call.name) <= session.leftMs()
}

async function planModel(session: Session, next: Opened, isOver: boolean): Promise<Intends> {
  const moved = nextWindow(movable(next.window, next.windowFrom), next.settings.window)
  const window = moved === null || moved === 0 ? {} : { window: { from: moved } }
  if (session.pastSlice()) return { ...window, release: 'slice_deadline' }
  // Set aside before the call, when the window of the rate is a new one.
  if (isOver || session.rate().left <= 0) return window
  const visible = moved === null ? next : { ...next, window: movable(next.window, moved) }
  const request = await requestFor(session, visible)
  // What has happened is stored whatever the template's functions do; the next turn asks again, and tells it.
  if (request instanceof InstructionsFailed) return window
  const reserve = reservationFor(session, request)
  return reserve === null ? window : { ...window, reserve }
}

/** The models of the run in the order in which they are tried: an override names the only one. */
export function modelsOf(session: Session): readonly [string, ...string[]] {
  const only = narrowedModel(session.opened)
  return only === null ? [session.definition.model, ...(session.definition.fallback ?? [])] : [only]
}

/** The model that is used now: the first or, when its retries were used up, one of the others. */
export function currentModel(session: Session, modelIndex: number): string {
  const models = modelsOf(session)
  return models[modelIndex] ?? models[0]
}

/** Why there is no request: what the template's own function has thrown, or that it was given up. Told in words for the run's caller. */
export class InstructionsFailed extends Error {
  override name = 'InstructionsFailed'
}

/** The instructions as the template has them, or as its function makes them, at most for the time of a hook. */
async function instructionsFor(session: Session, opened: Opened): Promise<string | InstructionsFailed> {
  const { definition } = session
  const { instructions } = definition
  if (typeof instructions === 'string') return instructions
  const { tenantId, userId, agentName: agentId } = opened
  try {
    const metadata = structuredClone(opened.metadata)
    const given: unknown = await withinTime(session, defaultHookTimeoutMs, () => instructions({ tenantId, userId, agentId, metadata }))
    if (typeof given === 'string') return given
    throw new TypeError(`it gave ${given === null ? 'null' : typeof given} and no text`)
  } catch (thrown) {
    const message = `The function \`instructions\` of template ${definition.id} failed, so the model was not asked: ${messageOf(thrown)}`
    return new InstructionsFailed(message, { cause: thrown })
  }
}

/** The request of the next model call over the state as given, or why there is none. Never rejects. */
export async function requestFor(session: Session, opened: Opened): Promise<ModelRequest | InstructionsFailed> {
  const { definition } = session
  const instructions = await instructionsFor(session, opened)
  if (instructions instanceof InstructionsFailed) return instructions
  const { modelSilenceMs } = session.services.config
  return {
    definition,
    model: currentModel(session, opened.run.modelIndex),
    agentUid: opened.agentUid,
    agentName: opened.agentName,
    runId: opened.run.id,
    step: opened.run.step + 1,
    modelCall: opened.run.modelCalls,
    attempt: opened.run.attempt,
    instructions,
    messages: modelMessages(opened.window),
    opening: session.opening,
    tools: definition.tools ?? [],
    maxOutputTokens: opened.settings.maxOutputTokens,
    timeouts: { firstChunkMs: modelSilenceMs, chunkMs: modelSilenceMs },
  }
}

/**
 * What a call without an answer is booked at: nothing where it was never made or the provider refused it with a status, else its
 * whole reservation, whose amount the database knows.
 */
export function unansweredSettlement(session: Session, refused: boolean): Settlement | null {
  const { entry } = session.reservation
  if (entry === null) return null
  const free = refused || !session.reservation.spent
  return { id: entry.id, usage: noUsage, costMicros: free ? 0 : null, estimated: !free }
}

/** The worst case of the call as a reservation, or null when its model has no price. */
export function reservationFor(session: Session, request: ModelRequest): Reservation | null {
  const worst = reservationOf(session.services.model.estimate(request), session.services.price(request.model))
  if (worst === null) return null
  return { id: session.services.ids.make('res'), step: request.step, attempt: request.attempt, model: request.model, ...worst }
}
