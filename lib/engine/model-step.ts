import { jitter, maxRetries, retryDelayMs } from '#lib/core/backoff'
import { isRetryable, ProviderError } from '#lib/core/errors'
import type { ModelAnswer, ModelRequest } from '#lib/core/ports'
import { budgetSentence, isWide, roomAfterMs, type BudgetRefusal } from '#lib/core/budget'
import { costMicros, outputWithin, priceUnknown } from '#lib/core/prices'
import type { StopReason, Usage } from '#lib/core/run'
import type { Happened, Intends, NewEvent, Settlement } from '#lib/core/commit'
import { movable, nextWindow } from '#lib/core/window'
import { answerEvents, assistantMessage, callRecords } from '#lib/engine/answer'
import { streamStep } from '#lib/engine/deltas'
import { LeaseLost } from '#lib/engine/lease'
import { coverChanges, postModel, preModel } from '#lib/engine/model-hooks'
import { takeModelCall } from '#lib/engine/rates'
import { inHand, type Session } from '#lib/engine/session'
import { answerAttributes, callSpan, tellAnswer, tellFailure } from '#lib/engine/traces'
import { currentModel, InstructionsFailed, modelsOf, requestFor, reservationFor, settle, unansweredSettlement } from '#lib/engine/settle'

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
  await coverChanges(session, plain, hooked.request)
  if (session.released || !(await reserved(session, hooked.request))) return
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

type ModelTold = NonNullable<Happened['model']>

/** True when the call in hand is reserved; otherwise the run has been ended, or is about to be because of its flags. */
async function reserved(session: Session, request: ModelRequest): Promise<boolean> {
  const { opened, services } = session
  if (session.reservation.stale && session.reservation.entry !== null) {
    // Settles what was reserved for less and reserves anew; the next turn finds it.
    await settle(session, { progress: false })
    return false
  }
  if (session.reservation.state === 'none') {
    const reserve = reservationFor(session, request)
    if (reserve === null) {
      await end(session, {}, 'price_unknown', priceUnknown(request.model))
      return false
    }
    session.reservation = inHand(reserve, await session.reserve(reserve))
    if (opened.flags.stop !== null || opened.flags.hold || session.expired()) return false
    const { refusal } = session.reservation
    // Accepted and not begun: it waits as the queue behind it does. In the middle of its work a run is told at once.
    if (refusal !== null && isWide(refusal) && opened.run.modelCalls === 0 && opened.run.attempt === 0) {
      const ms = Math.ceil(roomAfterMs(refusal, opened.run.slices - 1, services.config.haste))
      await settle(session, { progress: false, events: [refused(refusal)] }, 0, { wait: { kind: 'budget', ms, refusal } })
      return false
    }
  }
  if (session.reservation.state === 'granted') return true
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

/** A call that failed: retried here, retried later, repeated with a smaller window, given to the next model, or the end of the run. */
async function failed(session: Session, request: ModelRequest, error: ProviderError, model: ModelTold): Promise<void> {
  const { opened, services } = session
  const { run } = opened
  const settlement = unansweredSettlement(session, wasRefused(error))
  const happened: Happened = {
    progress: false,
    model,
    lastError: { code: error.code, message: error.message },
    ...(settlement === null ? {} : { settle: [settlement] }),
  }
  const code = isTooLong(session, request, error) ? 'context_too_long' : error.code
  if (code === 'context_too_long' && run.windowRetries === 0) {
    const from = nextWindow(movable(opened.window, opened.windowFrom), opened.settings.window, true)
    if (from !== null) return void (await settle(session, { ...happened, count: { windowRetries: 1 } }, 0, { window: { from } }))
  }
  const retry = run.attempt + 1
  const ms = retryDelayMs(retry, services.clock.random(), error.retryAfterMs, services.config.haste)
  // A 429 closes the gate of the model for all processes.
  if (error.code === 'provider_rate_limited') happened.gate = { model: request.model, ms }
  const again = isRetryable(error.code) && retry <= maxRetries
  tellFailure(session, request, { error, ms: model.ms, delayMs: again ? ms : null })
  if (again) {
    happened.count = { attempt: retry }
    happened.events = [
      {
        channel: 'monitor',
        type: 'retry',
        step: request.step,
        data: { attempt: retry, delayMs: ms, code: error.code, model: request.model },
      },
    ]
    return pause(session, happened, ms)
  }
  const hasFallback = run.modelIndex < modelsOf(session).length - 1
  if (hasFallback && code !== 'bad_request' && code !== 'content_filtered') {
    happened.count = { attempt: 0, modelIndex: run.modelIndex + 1 }
    const to = currentModel(session, run.modelIndex + 1)
    happened.events = [
      {
        channel: 'monitor',
        type: 'retry',
        step: request.step,
        data: { attempt: 0, delayMs: 0, code: error.code, model: to, fallback: true },
      },
    ]
    return void (await settle(session, happened))
  }
  await end(session, happened, code, error.message)
}

/** True where the provider did no work for the call: it refused it, or was never asked. A stream that broke off had status 200. */
function wasRefused(error: ProviderError): boolean {
  return error.unsent || (error.status ?? 0) >= 400 || error.code === 'provider_auth' || error.code === 'model_not_found'
}

/**
 * A provider may refuse a prompt that is too long with nothing but a plain 400 (Anthropic does, and words in messages are never
 * looked at): then the estimate tells, which is an upper bound, so that a prompt well below the window is no suspect.
 */
function isTooLong(session: Session, request: ModelRequest, error: ProviderError): boolean {
  const { maxTokens } = session.opened.settings.window
  return (
    error.code === 'bad_request' && error.status === 400 && session.services.model.estimate(request).inputTokens >= maxTokens * nearLimit
  )
}
const nearLimit = 0.8

/** What is reserved has been counted already: only a call that nothing is reserved for waits for the agent's rate. */
function rateInMs(session: Session): number {
  const { left, resetInMs } = session.rate()
  return left > 0 || session.reservation.state === 'granted' ? 0 : resetInMs
}

/** Time at a gate that somebody's 429 or a limit has closed is no retry. Spread, so that not all come when it opens. */
async function atGate(session: Session, gateMs: number, code: 'provider_rate_limited' | 'rate_limited'): Promise<void> {
  const { clock } = session.services
  const ms = Math.ceil(gateMs * (1 + jitter * clock.random()))
  if (ms < session.deadlines.sliceAt - clock.monotonic()) return clock.sleep(ms, session.signal)
  const { run } = session.opened
  const model = currentModel(session, run.modelIndex)
  const data = { attempt: run.attempt, delayMs: ms, code, model, gate: true }
  const events = [{ channel: 'monitor' as const, type: 'retry', step: run.step + 1, data }]
  await settle(session, { progress: false, events }, 0, { wait: { kind: 'retry', ms } })
}

/** Waits in the process where the wait fits into the slice, else hands it over: no function runs meanwhile. */
async function pause(session: Session, happened: Happened, ms: number): Promise<void> {
  const { clock } = session.services
  const leftOfSlice = session.deadlines.sliceAt - clock.monotonic()
  if (ms >= leftOfSlice) return void (await settle(session, happened, 0, { wait: { kind: 'retry', ms } }))
  const answer = await settle(session, happened)
  if (answer.released) return
  await clock.sleep(ms, session.signal)
}

async function end(
  session: Session,
  happened: Happened,
  stopReason: StopReason,
  message: string,
  details?: Record<string, unknown>,
): Promise<void> {
  const error = { code: stopReason, message, ...(details === undefined ? {} : { details }) }
  const state = stopReason === 'budget_exceeded' ? 'budget_exceeded' : 'failed'
  const { lastError: _replaced, ...rest } = happened
  await settle(session, rest, 0, { end: { state, stopReason, output: null, error } })
}
