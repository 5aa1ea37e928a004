import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import { deliver } from '#lib/webhooks/deliver'
import { nextAttemptMs } from '#lib/webhooks/schedule'
import { openSecret } from '#lib/webhooks/seal'

/** A worker holds a delivery for so long; then the sweeper gives it to another. */
const holdMs = 60_000

/** One attempt of one webhook delivery; the next one, where it is due, is a new outbox row (3-http-api, Webhooks). */
export async function deliverWebhook(
  services: Services,
  deliveryId: string,
): Promise<{ outcome: 'delivered' | 'retry' | 'failed' | 'nothing_to_do'; status?: number | null }> {
  const { clock, config, store, log, redact } = services
  const taken = await store.takeDelivery({ id: deliveryId, environment: config.environment, holdMs })
  if (!taken.ok) return { outcome: 'nothing_to_do' }
  const secrets = taken.secret === null ? [] : [openSecret(taken.secret, config.encryptionKey)]
  const result = await deliver({
    url: taken.url,
    secrets,
    id: taken.eventId,
    timestamp: clock.now(),
    body: JSON.stringify(redact(taken.payload)),
    local: config.local,
  })
  const retryInMs = result.ok
    ? null
    : nextAttemptMs({ attempts: taken.attempt, retryAfterMs: result.retryAfterMs, random: clock.random(), haste: config.haste })
  const recorded = await store.recordDelivery({
    id: taken.id,
    attempt: taken.attempt,
    delivered: result.ok,
    status: result.status,
    error: redact(result.error),
    durationMs: Math.round(result.durationMs),
    retryInMs,
  })
  if (!recorded.ok) throw refusalError(recorded)
  services.dispatch(recorded.outbox)
  await services.settled()
  log.info('webhook', {
    deliveryId,
    attempt: taken.attempt,
    status: result.status,
    ok: result.ok,
    duration_ms: Math.round(result.durationMs),
  })
  return { outcome: result.ok ? 'delivered' : retryInMs === null ? 'failed' : 'retry', status: result.status }
}
