import { jitter, maxRetries, maxRetryMs, retryDelayMs } from '#lib/core/backoff'
import { isRetryable, type ProviderError } from '#lib/core/errors'
import type { ModelRequest } from '#lib/core/ports'
import type { StopReason } from '#lib/core/run'
import type { Happened, NewEvent } from '#lib/core/commit'
import { movable, nextWindow } from '#lib/core/window'
import { tellFailure } from '#lib/engine/traces'
import type { Session } from '#lib/engine/session'
import { currentModel, modelsOf, settle, unansweredSettlement } from '#lib/engine/settle'

/** What the commit of a step keeps of its model call. */
export type ModelTold = NonNullable<Happened['model']>

/** A call that failed: retried here, retried later, repeated with a smaller window, given to the next model, or the end of the run. */
export async function failed(session: Session, request: ModelRequest, error: ProviderError, model: ModelTold): Promise<void> {
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
  const hasFallback = nextModel(session) !== null
  const isFar = isSooner(session, error.retryAfterMs ?? 0)
  const again = isRetryable(error.code) && retry <= maxRetries && !isFar
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
  if (hasFallback && code !== 'bad_request' && code !== 'content_filtered') return fallBack(session, happened, error.code)
  await end(session, happened, code, error.message)
}

/** The model after the one in use, or null where that is the last. */
function nextModel(session: Session): string | null {
  return modelsOf(session)[session.opened.run.modelIndex + 1] ?? null
}

/** True where a provider is away for longer than any retry waits, also as its gate is spread, and the next model may be asked before it is back. */
function isSooner(session: Session, awayMs: number): boolean {
  const next = nextModel(session)
  return next !== null && awayMs > maxRetryMs * (1 + jitter) && session.gateMs(next) < awayMs
}

/** The next model is asked in place of this one. */
async function fallBack(session: Session, happened: Happened, code: StopReason | 'rate_limited'): Promise<void> {
  const { run } = session.opened
  const data = { attempt: 0, delayMs: 0, code, model: nextModel(session), fallback: true }
  const events: NewEvent[] = [{ channel: 'monitor', type: 'retry', step: run.step + 1, data }]
  await settle(session, { ...happened, count: { attempt: 0, modelIndex: run.modelIndex + 1 }, events })
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
export function rateInMs(session: Session): number {
  const { left, resetInMs } = session.rate()
  return left > 0 || session.reservation.state === 'granted' ? 0 : resetInMs
}

/**
 * Time at a gate that somebody's 429 or a limit has closed is no retry. Spread, so that not all come when it opens. A provider that
 * is away for longer than any retry waits is left to its fallback.
 */
export async function atGate(session: Session, gateMs: number, code: 'provider_rate_limited' | 'rate_limited'): Promise<void> {
  const { clock } = session.services
  if (code === 'provider_rate_limited' && isSooner(session, gateMs)) return fallBack(session, { progress: false }, code)
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

/** Ends the run in the commit of what has happened, for a reason that has a name. Throws LeaseLost. */
export async function end(
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
