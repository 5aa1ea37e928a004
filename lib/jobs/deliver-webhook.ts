import { BatonError } from '#lib/core/errors'
import type { TakenDelivery } from '#lib/core/webhooks'
import type { Services } from '#lib/services'
import { deliver, failedWithoutCall, type DeliveryOutcome } from '#lib/webhooks/deliver'
import { disableAfterFailures, disableAfterMs, nextAttemptMs } from '#lib/webhooks/schedule'
import { openSecret } from '#lib/webhooks/seal'

/** A worker holds a delivery for so long; then the sweeper gives it to another. */
const holdMs = 60_000
const goneStatus = 410

/** What one attempt came to. */
export interface AttemptReport {
  outcome: 'delivered' | 'retry' | 'failed' | 'nothing_to_do'
  status?: number | null
}

/** One attempt of one webhook delivery; the next one, where it is due, is a new outbox row (3-http-api, Webhooks). */
export async function deliverWebhook(
  services: Pick<Services, 'clock' | 'config' | 'store' | 'log' | 'redact' | 'dispatch' | 'settled' | 'telemetry'>,
  deliveryId: string,
): Promise<AttemptReport> {
  const { clock, config, store, log, redact } = services
  const { environment, haste } = config
  const taken = await store.takeDelivery({ id: deliveryId, environment, holdMs })
  if (!taken.ok) return { outcome: 'nothing_to_do' }
  const about = { deliveryId, eventId: taken.eventId, webhookId: taken.endpointId, attempt: taken.attempt }
  const { secrets, unreadable } = open(taken, config.encryptionKey)
  if (unreadable !== null) log.error('a webhook secret cannot be opened', { ...about, error: unreadable })
  // Never unsigned because of it: the receiver would refuse the delivery for a reason that is ours.
  const ours = unreadable !== null && secrets.length === 0
  const result = ours ? failedWithoutCall(unreadable) : await attempt(taken, secrets, services)
  const gone = result.status === goneStatus
  const retryInMs =
    result.ok || gone ? null : nextAttemptMs({ attempts: taken.tries, retryAfterMs: result.retryAfterMs, random: clock.random(), haste })
  const recorded = await store.recordDelivery({
    id: taken.id,
    environment,
    attempt: taken.attempt,
    delivered: result.ok,
    gone,
    refused: result.refused,
    blame: !ours,
    status: result.status,
    error: redact(result.error),
    snippet: redact(result.responseSnippet),
    durationMs: Math.round(result.durationMs),
    retryInMs,
    disableAfterMs: disableAfterMs / haste,
    disableAfterFailures,
  })
  if (!recorded.ok) {
    log.warn('the outcome of a webhook came too late', { ...about, ok: result.ok, status: result.status })
    return { outcome: 'nothing_to_do', status: result.status }
  }
  services.dispatch(recorded.outbox)
  if (recorded.disabled !== null) {
    const { disabled: reason, failures, failingSince } = recorded
    log.warn('a webhook endpoint is disabled', { ...about, reason, failures, failingSince })
  }
  await services.settled()
  log.info('webhook', { ...about, status: result.status, ok: result.ok, duration_ms: Math.round(result.durationMs) })
  return { outcome: result.ok ? 'delivered' : retryInMs === null ? 'failed' : 'retry', status: result.status }
}

/** One attempt, a span of the trace of the run that it tells of; what the receiver does stands below it. */
function attempt(
  taken: TakenDelivery,
  secrets: readonly string[],
  { clock, config, redact, telemetry }: Pick<Services, 'clock' | 'config' | 'redact' | 'telemetry'>,
): Promise<DeliveryOutcome> {
  const { url, eventId: id, payload, traceparent = null } = taken
  const attributes = {
    'http.request.method': 'POST',
    'server.address': new URL(url).hostname,
    'baton.delivery.id': taken.id,
    'baton.attempt': taken.attempt,
  }
  return telemetry.span({ name: 'webhook', kind: 'client', parent: traceparent, attributes }, async (span) => {
    const place = traceparent === null ? null : telemetry.traceparent()
    const body = JSON.stringify(redact(payload))
    const outcome = await deliver({ url, secrets, id, timestamp: clock.now(), body, traceparent: place, local: config.local })
    if (outcome.status !== null) span.set({ 'http.response.status_code': outcome.status })
    if (!outcome.ok) span.fail(outcome.status === null ? 'unreachable' : String(outcome.status))
    return outcome
  })
}

/** The secrets that open. After a change of BATON_ENCRYPTION_KEY an older one may not, while the newest does. */
function open(taken: TakenDelivery, key: Uint8Array): { secrets: string[]; unreadable: string | null } {
  const secrets: string[] = []
  let unreadable: string | null = null
  for (const sealed of taken.secrets) {
    try {
      secrets.push(openSecret(sealed, key))
    } catch (error) {
      if (!(error instanceof BatonError) || error.code !== 'corrupted_data') throw error
      unreadable = error.message
    }
  }
  return { secrets, unreadable }
}
