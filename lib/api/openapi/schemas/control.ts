import { z } from 'zod'
import { keyScope } from '#lib/core/keys'
import { switchModes } from '#lib/core/switches'
import { exampleIds, instant, micros } from '#lib/api/openapi/schemas/words'

const switchShape = { scope: z.string(), mode: z.enum(switchModes), reason: z.string(), actor: z.string(), createdAt: instant }

/** A kill or hold as it is set. */
export const killSwitch = z.object(switchShape).meta({ id: 'KillSwitch' })
/** A kill or hold that was set, with what ended at once. */
export const switchSet = z
  .object({
    ...switchShape,
    ended: z.int().meta({ description: 'Runs that ended in the same transaction; a wide kill ends the rest beside the answer' }),
  })
  .meta({ id: 'KillSwitchSet' })
/** A kill or hold that was lifted. */
export const switchLifted = z.object({ ...switchShape, lifted: z.literal(true), resumed: z.int() }).meta({ id: 'KillSwitchLifted' })

const rates = {
  requestsPerMinute: z.int().optional(),
  messagesPerMinute: z.int().optional(),
  tokensPerMinute: z.int().optional(),
  concurrentRuns: z.int().optional(),
  queuedMessages: z.int().optional(),
  agents: z.int().optional(),
}
/** Limits of a scope as they were set. */
export const limit = z.object({ ...rates, scope: z.string(), updatedBy: z.string(), updatedAt: instant }).meta({ id: 'Limit' })
/** What has been set, and what holds where nothing has. */
export const limitList = z.object({ data: z.array(limit), defaults: z.record(z.string(), z.object(rates)) }).meta({ id: 'LimitList' })

const keyShape = {
  id: z.string(),
  name: z.string(),
  prefix: z.string().meta({ description: 'The beginning of the key, to tell keys apart by' }),
  scopes: z.array(keyScope),
  active: z.boolean(),
  expiresAt: instant.nullable(),
  revokedAt: instant.nullable(),
  lastUsedAt: instant.nullable().meta({ description: 'To the minute' }),
  createdBy: z.string(),
  rotatedFrom: z.string().nullable(),
  createdAt: instant,
}
const plainKey = z.string().meta({ description: 'The key itself: in this answer and in none after it' })
/** An API key, without the key itself. */
export const apiKey = z.object(keyShape).meta({ id: 'ApiKey' })
/** An API key that was made: the only answer with the key itself. */
export const newApiKey = z.object({ ...keyShape, key: plainKey }).meta({ id: 'NewApiKey' })
/** The successor of an API key, and the old one with the end of its overlap. */
export const rotatedApiKey = z.object({ ...keyShape, key: plainKey, old: apiKey }).meta({ id: 'RotatedApiKey' })

/** One decision: who asked for what, what became of it and why. */
export const auditEntry = z
  .object({
    id: z.int(),
    at: instant,
    actor: z.string(),
    action: z.string().meta({ description: 'noun.verb, such as message.accept' }),
    decision: z.enum(['allowed', 'refused', 'recorded']),
    code: z.string().nullable(),
    reason: z.string().nullable(),
    scope: z.string().nullable(),
    agentId: z.string().nullable(),
    agentUid: z.string().nullable(),
    runId: z.string().nullable(),
    callId: z.string().nullable(),
    estimateMicros: micros.nullable(),
    costMicros: micros.nullable(),
    totalMicros: micros.nullable(),
    requestId: z.string().nullable(),
    traceId: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: 'AuditEntry' })

const { agentId, agentUid, at, later, runId } = exampleIds

/** The switch of the examples. */
export const exampleSwitch: z.input<typeof killSwitch> = {
  scope: `agent:${agentId}`,
  mode: 'hold',
  reason: 'looking into a wrong refund',
  actor: 'key:key_01936f1e',
  createdAt: at,
}
/** The API key of the examples. */
export const exampleKey: z.input<typeof apiKey> = {
  id: 'key_01936f1e5a7d7e61b2d0c4a9f8e79999',
  name: 'shop backend',
  prefix: 'bt_7Qk2',
  scopes: ['agents:read', 'agents:run'],
  active: true,
  expiresAt: null,
  revokedAt: null,
  lastUsedAt: null,
  createdBy: 'admin',
  rotatedFrom: null,
  createdAt: at,
}
/** The limits of the examples. */
export const exampleLimit: z.input<typeof limit> = { scope: 'user:*', messagesPerMinute: 20, updatedBy: 'admin', updatedAt: at }
/** The audit entry of the examples. */
export const exampleEntry: z.input<typeof auditEntry> = {
  id: 4_211,
  at: later,
  actor: 'key:key_01936f1e',
  action: 'message.accept',
  decision: 'allowed',
  code: null,
  reason: null,
  scope: null,
  agentId,
  agentUid,
  runId,
  callId: null,
  estimateMicros: null,
  costMicros: null,
  totalMicros: null,
  requestId: 'req_01936f1e',
  traceId: null,
  data: null,
}
