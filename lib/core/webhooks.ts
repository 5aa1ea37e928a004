import type { OutboxRow } from '#lib/core/ports'
import type { Authority, Refusal } from '#lib/core/store'

/** What an endpoint may ask for. All but `run.handed_off` are told to an endpoint that names nothing. */
export const webhookEvents = [
  'run.completed',
  'run.failed',
  'run.cancelled',
  'run.awaiting_approval',
  'run.handed_off',
  'budget.threshold',
  'agent.killed',
  'webhook.disabled',
] as const
/** The name of an event that endpoints may ask for. */
export type WebhookEvent = (typeof webhookEvents)[number]

/** How many endpoints a tenant may have. */
export const mostWebhooks = 20

/** An endpoint as its administrators see it; secrets are never told again. */
export interface WebhookEndpoint {
  id: string
  url: string
  description: string | null
  /** Null: every event that need not be asked for. */
  events: WebhookEvent[] | null
  enabled: boolean
  /** `caller`: by PATCH; `gone`: it answered 410; `failing`: nothing was accepted for days. */
  disabledReason: 'caller' | 'gone' | 'failing' | null
  disabledAt: string | null
  failingSince: string | null
  /** Failed attempts in a row. */
  failures: number
  lastError: string | null
  secrets: { createdAt: string; expiresAt: string | null }[]
  createdBy: string | null
  createdAt: string
  updatedAt: string
}

/** One attempt of a delivery; `status` null without an answer. */
export interface DeliveryAttempt {
  at: string
  attempt: number
  status: number | null
  error: string | null
  durationMs?: number
  response?: string | null
}

/** One event on its way to one receiver. */
export interface WebhookDelivery {
  id: string
  /** Counts all deliveries; pages go by it. */
  number: number
  /** `webhook-id`: shared by all deliveries of the event, the same in every attempt. */
  eventId: string
  webhookId: string | null
  runId: string | null
  type: string
  url: string
  state: 'pending' | 'delivered' | 'failed'
  attempts: number
  /** Null once it has ended, and while its endpoint is disabled. */
  nextAt: string | null
  log: DeliveryAttempt[]
  createdAt: string
  endedAt: string | null
  /** Only where one delivery is read. */
  payload?: Record<string, unknown>
}

/** A delivery that this process has taken and must record the outcome of. */
export interface TakenDelivery {
  ok: true
  id: string
  eventId: string
  endpointId: string | null
  url: string
  /** Sealed, the newest first; each signs. */
  secrets: string[]
  payload: Record<string, unknown>
  /** Counts all attempts. */
  attempt: number
  /** Counts attempts since the schedule began: a redelivery begins it anew. */
  tries: number
  /** Of the run that it tells of. */
  traceparent?: string | null
}

/** What became of an attempt. */
export interface DeliveryRecord {
  id: string
  environment: string
  attempt: number
  delivered: boolean
  /** The receiver answered 410: it wants nothing any more. */
  gone: boolean
  /** The address was not called because it is not public. */
  refused: boolean
  /** False: the failure is Baton's own and says nothing about the endpoint. */
  blame: boolean
  status: number | null
  error: string | null
  snippet: string
  durationMs: number
  /** Null: there is no further attempt. */
  retryInMs: number | null
  /** An endpoint that has failed for so long, and so often in a row, is disabled. */
  disableAfterMs: number
  disableAfterFailures: number
}

/** Why an endpoint was disabled by an attempt, null when it was not. */
export interface RecordedDelivery {
  ok: true
  outbox: OutboxRow[]
  disabled: 'gone' | 'failing' | null
  failures: number | null
  failingSince: string | null
}

/** Which deliveries of an endpoint to read, newest first. */
export interface DeliveriesQuery {
  webhook: string
  limit: number
  after: string | null
  state?: string | undefined
  type?: string | undefined
  runId?: string | undefined
  from?: string | undefined
  to?: string | undefined
}

type Answer<Fields> = Promise<({ ok: true } & Fields) | Refusal>

/** The part of the store for webhooks: administration, and the two calls of whoever delivers. */
export interface WebhookStore {
  /** `webhook` is the id, made by the caller, so that a repeat finds its first result. */
  createWebhook(
    authority: Authority,
    request: { webhook: string; url: string; events: readonly string[] | null; description: string | null; sealed: string; most: number },
  ): Answer<{ webhook: WebhookEndpoint }>
  /** Notes in the audit log that an address was refused. */
  refuseWebhook(authority: Authority, request: { action: string; webhook: string | null; reason: string }): Answer<object>
  listWebhooks(authority: Authority, query: { limit: number; after: string | null }): Answer<{ data: WebhookEndpoint[] }>
  getWebhook(authority: Authority, webhook: string): Answer<{ webhook: WebhookEndpoint }>
  patchWebhook(
    authority: Authority,
    webhook: string,
    patch: { url?: string; events?: readonly string[] | null; description?: string | null; enabled?: boolean },
  ): Answer<{ webhook: WebhookEndpoint; outbox: OutboxRow[] }>
  rotateWebhook(authority: Authority, request: { webhook: string; sealed: string; overlapMs: number }): Answer<{ webhook: WebhookEndpoint }>
  deleteWebhook(authority: Authority, webhook: string): Answer<object>
  testWebhook(authority: Authority, webhook: string): Answer<{ eventId: string; deliveryId: string; outbox: OutboxRow[] }>
  listDeliveries(authority: Authority, query: DeliveriesQuery): Answer<{ data: WebhookDelivery[] }>
  getDelivery(authority: Authority, of: { webhook: string; delivery: string }): Answer<{ delivery: WebhookDelivery }>
  redeliver(
    authority: Authority,
    of: { webhook: string; delivery: string } | { runId: string; delivery: string },
  ): Answer<{ delivery: WebhookDelivery; outbox: OutboxRow[] }>
  takeDelivery(request: { id: string; environment: string; holdMs: number }): Promise<TakenDelivery | Refusal>
  recordDelivery(record: DeliveryRecord): Promise<RecordedDelivery | Refusal>
}
