import { ProviderError } from '#lib/core/errors'
import type { ModelAnswer, ModelRequest } from '#lib/core/ports'
import { budgetSentence, isWide, roomAfterMs, type BudgetRefusal } from '#lib/core/budget'
import { costMicros, outputWithin, priceUnknown } from '#lib/core/prices'
import type { Usage } from '#lib/core/run'
import type { Happened, Intends, NewEvent, Settlement } from '#lib/core/commit'
import { movable, nextWindow } from '#lib/core/window'
import { answerEvents, assistantMessage, callRecords } from '#lib/engine/answer'
import { streamStep } from '#lib/engine/deltas'
import { LeaseLost } from '#lib/engine/lease'
import { atGate, end, failed, rateInMs, type ModelTold } from '#lib/engine/model-failure'
import { coverChanges, postModel, preModel } from '#lib/engine/model-hooks'
import { takeModelCall } from '#lib/engine/rates'
import { inHand, type Session } from '#lib/engine/session'
import { answerAttributes, callSpan, tellAnswer } from '#lib/engine/traces'
import { currentModel, InstructionsFailed, requestFor, reservationFor, settle } from '#lib/engine/settle'

/**
 * One model call and the commit of its answer or of its failure. Leaves `session.opened` as the database has it.
 * Throws LeaseLost, or the reason of the slice's signal when the call was cut.
 */
export async function modelStep(session: Session): Promise<void> {
  const { opened, services } = session
  const gateMs = session.gateMs(currentModel(session, opened.run.modelIndex))
  const rateMs = rateInMs(session)
  if (gateMs > 0 || rateMs > 0) return atGate(session, Math.max(gateMs, rateMs), gateMs > 0 ? 'provider_rate_limited' : 'rate_limited')
  // Only a message that has just entered can have made the window too large: the commits before have looked ahead.
  if (nextWindow(movable(opened.window, opened.windowFrom), opened.settings.window) !== null)
    return void (await settle(session, { progress: false }))
  const plain = await requestFor(session, opened)
  if (plain instanceof InstructionsFailed) {
    session.signal.throwIfAborted()
    return end(session, {}, 'hook_failed', `${plain.message}. What had been committed is kept; mend the function, then retry the run.`)
  }
  const hooked = await preModel(session, plain)
  if (hooked.kind === 'end') return end(session, {}, hooked.code, hooked.message)
  const isCovered = await coverChanges(session, plain, hooked.request)
  if (session.released || !(await reserved(session, hooked.request, isCovered))) return
  const request = withinGrant(session, hooked.request)
  const taken = await takeModelCall(session, request)
  if (taken.kind === 'never') return end(session, {}, 'provider_rate_limited', taken.message)
  if (taken.kind === 'wait') return atGate(session, taken.ms, 'rate_limited')

  // Hooks may have taken their time; the next turn ends the run.
  if (session.expired()) return
  session.signal.throwIfAborted()
  if (!session.guard.held()) throw new LeaseLost()
  const { agentName: agentId, lease } = opened
  await services.onEffect({ kind: 'model', agentId, runId: opened.run.id, epoch: lease.epoch, step: request.step, name: request.model })
  session.reservation.spent = true
  const stream = streamStep(session, request)
  const from = services.clock.monotonic()
  const told = (outcome: string): ModelTold => ({ name: request.model, outcome, ms: Math.round(services.clock.monotonic() - from) })
  let answer: ModelAnswer
  try {
    answer = await services.telemetry.span(callSpan(request), async (span) => {
      const given = await services.model.call(request, (delta) => stream.take(delta), session.signal)
      span.set(answerAttributes(given))
      return given
    })
  } catch (error) {
    stream.reset()
    if (session.signal.aborted || !(error instanceof ProviderError)) throw error
    return await failed(session, request, error, told(error.code))
  } finally {
    stream.close()
  }
  const model = told('ok')
  tellAnswer(session, request, answer, model.ms)
  services.rates.unused(taken.tokens, answer.usage.inputTokens + answer.usage.outputTokens)
  const final = await postModel(session, request, answer, () => stream.reset())
  await answered(session, request, final.answer, { model, events: final.events })
}

/**
 * True when the call in hand is reserved; otherwise the run has been ended, or is about to be because of its flags. `isCovered`: more than
 * the run was opened with has just been asked for.
 */
async function reserved(session: Session, request: ModelRequest, isCovered: boolean): Promise<boolean> {
  const { opened, services } = session
  if (session.reservation.stale && session.reservation.entry !== null) {
    // Settles what was reserved for less and reserves anew; the next turn finds it.
    await settle(session, { progress: false })
    return false
  }
  const isOpened = session.reservation.state !== 'none' && !isCovered
  if (session.reservation.state === 'none') {
    const reserve = reservationFor(session, request)
    if (reserve === null) {
      await end(session, {}, 'price_unknown', priceUnknown(request.model))
      return false
    }
    session.reservation = inHand(reserve, await session.reserve(reserve))
  }
  if (!isOpened && (opened.flags.stop !== null || opened.flags.hold || session.expired())) return false
  const { refusal, state } = session.reservation
  if (state === 'granted') return true
  // Accepted and not begun: it waits as the queue behind it does. In the middle of its work a run is told at once.
  if (!isOpened && refusal !== null && isWide(refusal) && opened.run.modelCalls === 0 && opened.run.attempt === 0) {
    const ms = Math.ceil(roomAfterMs(refusal, opened.run.slices - 1, services.config.haste))
    await settle(session, { progress: false, events: [refused(refusal)] }, 0, { wait: { kind: 'budget', ms, refusal } })
    return false
  }
  await overBudget(session)
  return false
}

const refused = (refusal: BudgetRefusal): NewEvent => ({ channel: 'monitor', type: 'budget', data: { refused: true, ...refusal } })

async function overBudget(session: Session): Promise<void> {
  const { refusal } = session.reservation
  if (refusal === null) return end(session, {}, 'budget_exceeded', 'A budget has no room for the next model call.')
  const message = `${budgetSentence({ ...refusal })} What had been committed is kept.`
  await end(session, { events: [refused(refusal)] }, 'budget_exceeded', message, { ...refusal })
}

/** What was granted may be less than was asked for: the answer is cut to it, so that the call cannot cost more. */
function withinGrant(session: Session, request: ModelRequest): ModelRequest {
  const { granted } = session.reservation
  if (granted === null) return request
  const { model, price } = session.services
  const maxOutputTokens = outputWithin(granted, model.estimate(request), price(request.model), request.maxOutputTokens)
  return { ...request, maxOutputTokens }
}

async function answered(
  session: Session,
  request: ModelRequest,
  answer: ModelAnswer,
  { model, events }: { model: ModelTold; events: NewEvent[] },
): Promise<void> {
  const { run } = session.opened
  const settlement = settlementFor(session, request, answer.usage)
  const calls = await callRecords(session, request.step, answer)
  const happened: Happened = {
    usage: answer.usage,
    model,
    events: [...cutEvents(session, request), ...answerEvents(answer, request, settlement?.costMicros ?? 0), ...events],
    count: { step: request.step, steps: 1, modelCalls: 1, attempt: 0, cuts: 0, emptyAnswers: 0, windowRetries: 0 },
    lastError: null,
    ...(settlement === null ? {} : { settle: [settlement] }),
  }
  if (answer.finish === 'content-filter') return end(session, happened, 'content_filtered', 'The provider refused to answer this content.')
  if (answer.text.trim() === '' && calls.length === 0) {
    // Made again it would be cut again: reasoning, or a call's arguments, took all that it may say.
    if (answer.finish === 'length') return end(session, happened, 'max_tokens', cutBeforeText(request.maxOutputTokens))
    // Retried once, then named (invariant 11). An empty answer does not enter the history.
    if (run.emptyAnswers > 0) return end(session, happened, 'empty_response', 'The model answered twice with neither text nor a tool call.')
    await settle(session, {
      ...happened,
      count: { ...happened.count, step: run.step, steps: 0, emptyAnswers: 1, attempt: run.attempt + 1 },
    })
    return
  }
  happened.messages = [assistantMessage(answer, calls)]
  happened.calls = calls
  const cutShort: Intends =
    answer.finish === 'length' && calls.length === 0
      ? { end: { state: 'completed', stopReason: 'max_tokens', output: answer.text, error: null } }
      : {}
  await settle(session, happened, 0, cutShort)
}

function cutBeforeText(most: number): string {
  return (
    `The answer was cut at ${most} output tokens, before there was text or a whole tool call; what a model thinks counts too. ` +
    'Raise settings.maxOutputTokens of the template, or the budget where it left no room for more.'
  )
}

/** Tells that a budget left room for a short answer only. */
function cutEvents(session: Session, request: ModelRequest): NewEvent[] {
  const { granted } = session.reservation
  if (granted === null) return []
  const data = { lowered: true, maxOutputTokens: request.maxOutputTokens, reservedMicros: granted.micros }
  return [{ channel: 'monitor', type: 'budget', step: request.step, data }]
}

function settlementFor(session: Session, request: ModelRequest, usage: Usage): Settlement | null {
  const entry = session.reservation.entry
  if (entry === null) return null
  return { id: entry.id, usage, costMicros: costMicros(usage, session.services.price(request.model)) ?? 0, estimated: false }
}
