import type { Authority, Refusal } from '#lib/core/store'
import type { DeliveryRecord, RecordedDelivery, TakenDelivery, WebhookEndpoint } from '#lib/core/webhooks'
import { answered, authority, commit, completed, hold, ids, ok, openRequest, type StoreKit } from '#tests/store/kit'

/** Tenant two lives in the same environment as tenant one; each has its own endpoints. */
export const tenantTwo: Authority = { environment: 'test', credential: { operator: { tenant: 'two', name: 'tester' } }, requestId: null }

/** An attempt that failed with 500, as a worker of environment test records it; the test adds id and attempt. */
export const failure: Omit<DeliveryRecord, 'id' | 'attempt'> = {
  environment: 'test',
  delivered: false,
  gone: false,
  refused: false,
  blame: true,
  status: 500,
  error: 'no',
  snippet: '',
  durationMs: 3,
  retryInMs: 1_000,
  disableAfterMs: 72 * 3_600_000,
  disableAfterFailures: 10,
}

/** What a test says of an endpoint. */
export interface EndpointOptions {
  url?: string
  events?: string[]
  sealed?: string
  as?: Authority
}

/** Registers an endpoint. */
export async function register(kit: StoreKit, options: EndpointOptions = {}): Promise<WebhookEndpoint> {
  const { url = 'https://example.com/hook', events = null, sealed = 'sealed-1', as = authority } = options
  const request = { webhook: ids.make('whe'), url, events, description: null, sealed, most: 20 }
  return ok(await kit.store.createWebhook(as, request)).webhook
}

/** A run that ends at once; its id, and the delivery ids that its last commit put out. */
export async function endedRun(
  kit: StoreKit,
  agent: string,
  options: { as?: Authority; webhook?: { url: string; secret: string | null } } = {},
): Promise<{ runId: string; deliveries: string[] }> {
  const run = { ...openRequest(agent).run, webhook: options.webhook ?? null }
  const held = await hold(kit, agent, { ...options.as, run })
  const { outbox } = await commit(kit, held, answered(), completed)
  return { runId: held.runId, deliveries: outbox.flatMap((row) => (row.kind === 'webhook' ? [row.data.deliveryId ?? ''] : [])) }
}

export const takeDelivery = (kit: StoreKit, id: string): Promise<TakenDelivery | Refusal> =>
  kit.store.takeDelivery({ id, environment: 'test', holdMs: 60_000 })

/** One attempt that comes to `outcome` (a failure unless it says otherwise). */
export async function attempt(kit: StoreKit, id: string, outcome: Partial<DeliveryRecord> = {}): Promise<RecordedDelivery> {
  const taken = ok(await takeDelivery(kit, id))
  return ok(await kit.store.recordDelivery({ ...failure, id, attempt: taken.attempt, ...outcome }))
}

export const success: Partial<DeliveryRecord> = { delivered: true, status: 204, error: null, retryInMs: null }
