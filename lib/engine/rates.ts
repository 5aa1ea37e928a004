import type { ModelRequest } from '#lib/core/ports'
import type { TokensTaken } from '#lib/core/rate'
import type { ToolOutput } from '#lib/core/run'
import type { Session } from '#lib/engine/session'

/** Null where the tool may run now. Else what the model is told: only this call is refused, and the run goes on. */
export async function toolRefusal(session: Session, name: string): Promise<ToolOutput | null> {
  const { allowed, which, resetMs } = await session.services.rates.tool(session.opened.tenantId, name)
  if (allowed) return null
  const limit = which?.limit ?? 0
  const message = `The tool ${name} may be called ${limit} times a minute; this call was not executed.`
  return { type: 'error-json', value: { ok: false, errorType: 'rate_limited', message, retryable: limit > 0, retryAfterMs: resetMs } }
}

/** Whether a model call may be made now: the tokens it was taken for, or the milliseconds to wait, or why it never may. */
export type ModelTaken = { kind: 'taken'; tokens: TokensTaken | null } | { kind: 'wait'; ms: number } | { kind: 'never'; message: string }

/** Takes the call from its model's limits, with its worst case, beside the database and immediately before it is made. */
export async function takeModelCall(session: Session, request: ModelRequest): Promise<ModelTaken> {
  const { rates, model } = session.services
  const { inputTokens, outputTokens } = model.estimate(request)
  const { allowed, which, resetMs, tokens } = await rates.model(session.opened.tenantId, request.model, inputTokens + outputTokens)
  if (allowed) return { kind: 'taken', tokens }
  if (which?.limit === 0) return { kind: 'never', message: `The limit ${which.name} of ${request.model} is 0: no call may be made.` }
  return { kind: 'wait', ms: resetMs }
}
