import { z } from 'zod'
import { webhookEvents } from '#lib/core/webhooks'
import { exampleIds, instant } from '#lib/api/openapi/schemas/words'

const shape = {
  id: z.string(),
  url: z.string(),
  description: z.string().nullable(),
  events: z.array(z.enum(webhookEvents)).nullable().meta({ description: 'Null: every event that need not be asked for' }),
  enabled: z.boolean(),
  disabledReason: z.enum(['caller', 'gone', 'failing']).nullable(),
  disabledAt: instant.nullable(),
  failingSince: instant.nullable(),
  failures: z.int().meta({ description: 'Failed attempts in a row' }),
  lastError: z.string().nullable(),
  secrets: z
    .array(z.object({ createdAt: instant, expiresAt: instant.nullable() }))
    .meta({ description: 'Those that sign now, never told again' }),
  createdBy: z.string().nullable(),
  createdAt: instant,
  updatedAt: instant,
}

/** A webhook endpoint as its administrators see it. */
export const webhook = z.object(shape).meta({ id: 'WebhookEndpoint' })
/** An endpoint with its secret: the only answer that shows it. */
export const webhookWithSecret = z
  .object({ ...shape, secret: z.string().meta({ description: 'In this answer and in none after it' }) })
  .meta({ id: 'WebhookEndpointWithSecret' })

const attempt = z
  .object({
    at: instant,
    attempt: z.int(),
    status: z.int().nullable().meta({ description: 'Null without an answer' }),
    error: z.string().nullable(),
    durationMs: z.int().optional(),
    response: z.string().nullable().optional(),
  })
  .meta({ id: 'DeliveryAttempt' })

const deliveryShape = {
  id: z.string(),
  eventId: z.string().meta({ description: '`webhook-id`: the same in every attempt and for every receiver' }),
  webhookId: z.string().nullable(),
  runId: z.string().nullable(),
  type: z.string(),
  url: z.string(),
  state: z.enum(['pending', 'delivered', 'failed']),
  attempts: z.int(),
  nextAt: instant.nullable(),
  log: z.array(attempt),
  createdAt: instant,
  endedAt: instant.nullable(),
}
/** One event on its way to one receiver. */
export const delivery = z.object(deliveryShape).meta({ id: 'Delivery' })
/** One delivery with what it carries. */
export const deliveryWithPayload = z
  .object({ ...deliveryShape, payload: z.record(z.string(), z.unknown()) })
  .meta({ id: 'DeliveryWithPayload' })
/** A test event that is on its way. */
export const testSent = z.object({ eventId: z.string(), deliveryId: z.string() }).meta({ id: 'TestDelivery' })

const { at, later, runId } = exampleIds

/** The endpoint of the examples. */
export const exampleWebhook: z.input<typeof webhook> = {
  id: 'whe_01936f1e5a7d7e61b2d0c4a9f8e70001',
  url: 'https://shop.example/hooks/baton',
  description: null,
  events: null,
  enabled: true,
  disabledReason: null,
  disabledAt: null,
  failingSince: null,
  failures: 0,
  lastError: null,
  secrets: [{ createdAt: at, expiresAt: null }],
  createdBy: 'key:key_01936f1e',
  createdAt: at,
  updatedAt: at,
}
/** The delivery of the examples. */
export const exampleDelivery: z.input<typeof delivery> = {
  id: 'whd_01936f1e5a7d7e61b2d0c4a9f8e70002',
  eventId: 'evt_01936f1e5a7d7e61b2d0c4a9f8e70003',
  webhookId: exampleWebhook.id,
  runId,
  type: 'run.completed',
  url: exampleWebhook.url,
  state: 'delivered',
  attempts: 1,
  nextAt: null,
  log: [{ at: later, attempt: 1, status: 200, error: null, durationMs: 84 }],
  createdAt: later,
  endedAt: later,
}
