import { BatonError, isErrorCode } from '#lib/core/errors'
import type { RunId, SliceId } from '#lib/core/ids'
import { agentNamePattern } from '#lib/core/ids'
import type { ModelMessage } from 'ai'
import type { Narrowed } from '#lib/core/overrides'
import { budgetSentence } from '#lib/core/budget'
import { reservationOf } from '#lib/core/prices'
import type { Reservation } from '#lib/core/commit'
import type { Authority, OpenAnswer, OpenRequest, Refusal } from '#lib/core/store'
import { estimateContent, jsonBytes } from '#lib/core/window'
import type { LeaseStamp } from '#lib/engine/lease'
import type { EngineServices } from '#lib/engine/services'

/** What a caller asks for with a message, checked by the HTTP layer. */
export interface MessageRequest {
  authority: Authority
  agentName: string
  template: string | null
  mustExist: boolean
  /** Accepted only while this is the agent's last run; null where the caller names none. */
  after?: string | null
  content: Extract<ModelMessage, { role: 'user' }>['content']
  kind: string
  metadata: Record<string, unknown>
  onBusy: string | null
  limits: Record<string, number> | null
  narrowed: Narrowed | null
  webhook: OpenRequest['run']['webhook']
  traceparent: string | null
  idempotency: OpenRequest['idempotency']
  /** False: accept only; nothing runs in this process. */
  execute: boolean
}

/** An accepted message with what the slice needs: when its lease was asked for and what was reserved with it. */
export interface OpenedMessage {
  answer: OpenAnswer
  asked: LeaseStamp
  reserve: Reservation | null
  /** The run that the message gets if the one that it steers ends before it could enter; null where it steers none. */
  ownRun: RunId | null
}

/** Makes the tenant if it is the deployment's own and does not exist yet. Answers false when it may not. */
export type EnsureTenant = (tenant: string) => Promise<boolean>

/**
 * Accepts a message: one round trip (two once per agent and deploy when its template has changed). Throws BatonError for every
 * refusal: queue_full, agent_busy, template_missing, limit_above_template, idempotency_mismatch, ...
 */
export async function openMessage(services: EngineServices, message: MessageRequest, ensureTenant: EnsureTenant): Promise<OpenedMessage> {
  const { config, templates, ids, clock, store } = services
  if (!agentNamePattern.test(message.agentName)) {
    throw new BatonError('invalid_agent_id', 'An agent id has 1 to 128 of A-Z a-z 0-9 _ . : - and begins with a letter or digit.')
  }
  const template = message.template ?? templates.fallback
  const bytes = jsonBytes(message.content)
  const runId: RunId = ids.make('run')
  // The price on the agent's row is that of its template's model: for another one the executor asks, before the call.
  const firstReserve = (of: string | null): Reservation | null =>
    message.narrowed?.narrowing?.model === undefined ? firstReservation(services, of, message) : null
  const reserve = firstReserve(template)
  const request: OpenRequest = {
    ...message.authority,
    agent: {
      name: message.agentName,
      uid: ids.uuid(),
      mustExist: message.mustExist,
      template: message.template,
      ...(message.after == null ? {} : { after: message.after }),
    },
    versions: templates.versions,
    settings: template === null ? null : templates.settings(template),
    run: {
      id: runId,
      limits: message.limits,
      metadata: message.metadata,
      webhook: message.webhook,
      traceparent: message.traceparent,
      ...message.narrowed,
    },
    onBusy: message.onBusy,
    message: { role: 'user', content: message.content, kind: message.kind, bytes, estTokens: estimateContent(message.content) },
    idempotency: message.idempotency,
    execute: message.execute ? { sliceId: ids.make('slice') satisfies SliceId, leaseMs: config.leaseMs, reserve } : null,
  }
  // Each turn of this loop mends one cause; there are two that can be mended.
  for (let turn = 0; turn < 4; turn++) {
    const asked = { monotonic: clock.monotonic(), wall: clock.now() }
    const answer = await store.open(request)
    if (answer.ok) {
      services.dispatch(answer.outbox)
      const ownRun = answer.replayed || answer.run.id === runId ? null : runId
      return { answer, asked, reserve: request.execute?.reserve ?? null, ownRun }
    }
    if (answer.code === 'template_changed') {
      const changed = String(answer['template'])
      request.settings = templates.settings(changed)
      if (request.execute !== null) request.execute.reserve = firstReserve(changed)
      continue
    }
    if (answer.code === 'tenant_missing' && (await ensureTenant(String(answer['tenant'])))) continue
    // Only the database knows whether the agent exists: to one whose template is gone the answer is template_missing.
    if (answer.code === 'template_required' && message.template !== null) throw unknownTemplate(message.template, templates.ids())
    throw refusalError(answer)
  }
  throw new BatonError('internal_error', 'The message could not be accepted; nothing was kept. Send it again.')
}

/** What the first call may cost at most, where the message alone says it (scripted models do); else the database computes it. */
function firstReservation(services: EngineServices, template: string | null, message: MessageRequest): Reservation {
  const definition = template === null ? undefined : services.templates.get(template)
  const model = definition?.model ?? ''
  const base = { id: services.ids.make('res'), step: 1, attempt: 0, model, micros: null, tokens: null }
  if (definition === undefined || !model.startsWith('local/') || typeof definition.instructions !== 'string') return base
  const opening: ModelMessage = { role: 'user', content: message.content }
  const estimate = services.model.estimate({
    model,
    definition,
    instructions: definition.instructions,
    messages: [opening],
    opening,
    modelCall: 0,
    maxOutputTokens: 0,
  })
  return estimate.fixed === true ? { ...base, ...reservationOf(estimate, services.price(model)) } : base
}

function unknownTemplate(id: string, known: readonly string[]): BatonError {
  return new BatonError('template_unknown', `There is no template ${id}. Deployed: ${known.join(', ') || 'none'}.`, {
    template: id,
    templates: known,
  })
}

const refusals: Record<string, string> = {
  precondition_failed: 'The agent does not exist and If-Match: * asked for one that does; nothing was kept.',
  template_required: 'The agent does not exist yet: name its template.',
  template_missing: 'The template of this agent is not deployed; nothing was kept. Deploy it again, or use another agent.',
  conflict: 'The request contradicts what exists; nothing was changed.',
  agent_busy:
    'The agent works, or waits for somebody to act, and this message may not queue behind that (onBusy: reject); nothing was kept.',
  queue_full: 'As many runs are at work or messages queued as the limit allows; nothing was kept. Send the message again later.',
  limit_above_template: 'A message may only lower the limits of its template; nothing was kept.',
  override_refused: 'Overrides may only narrow what the agent was made with; nothing was kept.',
  authority_expired: 'The authority of this agent, or of this message, has expired; nothing was kept.',
  rate_limited: 'The calls that this agent may make in its window are used up; nothing was kept. Send the message again later.',
  idempotency_mismatch: 'This Idempotency-Key was used for another request; use a new key.',
  unauthorized: 'The credential is not valid here: it is unknown, expired or revoked. Nothing was done.',
  forbidden: 'The credential is valid, but it may not do this. Nothing was done.',
  tenant_missing:
    'The tenant of this credential does not exist in this environment, or belongs to another one: run npm run bootstrap, or give this environment a BATON_TENANT of its own.',
  key_not_found: 'There is no key of this id.',
  too_many_keys: 'The tenant has as many active keys as it may: revoke some first. Nothing was made.',
  agent_not_found: 'There is no agent of this id.',
  run_not_found: 'There is no run of this id.',
  webhook_not_found: 'There is no webhook endpoint of this id.',
  delivery_not_found: 'There is no delivery of this id here; deliveries are kept for 7 days.',
  webhook_disabled: 'The webhook endpoint is disabled; nothing was sent. Enable it first (PATCH {"enabled": true}).',
  webhook_limit: 'This tenant has as many webhook endpoints as it may have; delete one first.',
  nothing_to_retry: "The agent's history ends with an answer, so there is nothing to go on from; send a message instead.",
  killed: 'A kill switch covers this: an admin must lift it first. Nothing was kept.',
  switch_not_found: 'No kill or hold of this scope is set; nothing was changed.',
  approval_not_found: 'There is no approval of this id.',
  call_not_found: 'There is no tool call of this id.',
  already_decided: 'It has been decided already; what stands there is final and nothing was changed.',
  too_late: 'The time for an answer is over; what the template says for that case has been done.',
  not_last_run: 'The conversation has gone on since that run, so that nothing can follow it; nothing was kept.',
  run_open: 'The run has not ended yet; wait for its end or cancel it.',
}

/** Where one code has several causes: the sentence of each `reason`, and what to do about it. */
const causes: Record<string, Record<string, string>> = {
  conflict: {
    other_template: 'The agent exists with another template; nothing was kept. Leave `template` away, or use another id.',
    other_body:
      'The agent exists with other metadata, other overrides or another webhook (its secret counts); nothing was changed. Metadata and webhook are changed by PATCH.',
    never_begun: 'The run ended before its message entered the conversation, so there is nothing to go on from: send the message again.',
    not_active: 'The key is revoked or expired, so that it can neither be changed nor rotated: make another one.',
    already_rotated: 'The key was rotated already and its successor is active: rotate that one, or revoke it first.',
    expired_already: '`expiresAt` lies in the past; nothing was made. Name a later instant, or none.',
    confirm: 'The whole tenant is deleted only where `confirm` is its id; nothing was deleted.',
    too_many_agents:
      'You have as many agents as you may have: delete one first, or ask an administrator for more (PUT /api/limits/user:ID with `agents`). Nothing was kept.',
    too_many_limits: 'The tenant has as many limits as it may have: take some back first (PUT with {}). Nothing was set.',
  },
  forbidden: {
    webhook_reads:
      'The webhook of an agent is sent the outputs of all its runs, so that changing it takes the right agents:read beside agents:run. Nothing was changed.',
  },
  agent_not_found: {
    deleted: 'The agent to which this Idempotency-Key has sent was deleted since; nothing was kept. Use a new key for a new agent.',
  },
}

/** The error of a refused call of the store. */
export function refusalError(refusal: Refusal): BatonError {
  const { ok: _ok, code, ...details } = refusal
  if (!isErrorCode(code))
    return new BatonError('internal_error', 'The database answered in a way this build does not know.', {}, { cause: new Error(code) })
  const cause = causes[code]?.[String(details['reason'])]
  const sentence = cause ?? (code === 'budget_exceeded' ? `${budgetSentence(details)} Nothing was kept.` : refusals[code])
  return new BatonError(code, sentence ?? 'The request was refused; nothing was kept.', details)
}
