import { z } from 'zod'

/** The names of Baton's events in Inngest (5-data, Inngest). */
export const eventNames = { continue: 'agent/continue', webhook: 'webhook/deliver', probe: 'baton/probe' } as const
/** The name of an Inngest event of Baton's. */
export type EventName = (typeof eventNames)[keyof typeof eventNames]

/** Somebody should look whether the agent is due. Ids and numbers only; `epoch` is for the log and never a guard. */
export const continueData = z.object({
  tenantId: z.string().min(1),
  agentUid: z.string().min(1),
  runId: z.string().min(1),
  epoch: z.int().nonnegative(),
})
export type ContinueData = z.infer<typeof continueData>

/** A webhook delivery row is due; `lane`, of which a tenant has two, bounds how many are made at a time. */
export const webhookData = z.object({ tenantId: z.string().min(1), deliveryId: z.string().min(1), lane: z.string().min(1).optional() })
export type WebhookData = z.infer<typeof webhookData>

/** The doctor asks whether events make the round trip; the function writes the id back to the database. */
export const probeData = z.object({ probe: z.string().min(1).max(100) })

/** What each event carries, by the kind of its outbox row. */
export const eventData = { continue: continueData, webhook: webhookData } as const
