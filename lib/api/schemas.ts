import { z } from 'zod'
import { agentNamePattern } from '#lib/core/ids'
import { instant } from '#lib/core/instant'
import { overrides } from '#lib/core/overrides'
import { permissionRules } from '#lib/core/policy'
import { lowerLimits, onBusy } from '#lib/core/run'
import { commaList, pageQuery, wholeNumber } from '#lib/http/query'

/** 256 KB a message (2-run-contract, Limits); bodies have a limit of their own above it. */
const textPart = z.strictObject({ type: z.literal('text'), text: z.string().min(1) })
const filePart = z.strictObject({
  type: z.literal('file'),
  data: z.union([z.url({ protocol: /^https$/ }), z.string().startsWith('data:')]),
  mediaType: z.string().max(100),
  filename: z.string().max(255).exactOptional(),
})
const imagePart = z.strictObject({
  type: z.literal('image'),
  image: z.union([z.url({ protocol: /^https$/ }), z.string().startsWith('data:')]),
  mediaType: z.string().max(100).exactOptional(),
})

/** Text or AI SDK user content parts; files as https URLs (the provider fetches them, Baton never does) or data URLs. */
export const messageContent = z.union([
  z.string().min(1),
  z
    .array(z.discriminatedUnion('type', [textPart, filePart, imagePart]))
    .min(1)
    .max(100),
])

/** The path of everything below one agent; the id is the name that the caller chose. */
export const agentParams = z.object({
  id: z.string().regex(agentNamePattern, 'an agent id has 1 to 128 of A-Z a-z 0-9 _ . : - and begins with a letter or digit'),
})
/** The path of everything below a run or another thing with an id of ours. */
export const idParams = z.object({ id: z.string().min(1).max(200) })

const key = z.string().min(1).max(64)
/** Small facts of the caller's, at most 16 KB as JSON. */
export const metadata = z.record(key, z.json()).refine((value) => JSON.stringify(value).length <= 16_384, 'metadata may have 16 KB')

/** Where an end is told; `secret` is sealed before it is stored. */
export const webhook = z.strictObject({ url: z.string().max(2_048), secret: z.string().min(8).max(256).optional() })

/** The body of POST /api/agents/{id}/messages; an unknown field is refused, never ignored. */
export const sendMessageBody = z.strictObject({
  message: messageContent,
  template: z.string().max(64).optional(),
  metadata: metadata.optional(),
  onBusy: onBusy.optional(),
  webhook: webhook.optional(),
  limits: lowerLimits.optional(),
  kind: z.literal('message', 'only "message" is known here; reminders come with a later release').optional(),
  overrides: overrides.optional(),
})

/** The body of POST /api/agents. */
export const createAgentBody = z.strictObject({
  id: agentParams.shape.id.optional(),
  template: z.string().max(64),
  metadata: metadata.optional(),
  webhook: webhook.optional(),
  overrides: overrides.optional(),
  /** The same as overrides.permission. */
  permission: permissionRules.optional(),
})

/** The body of PATCH /api/agents/{id}: what is absent stays as it is. */
export const patchAgentBody = z.strictObject({
  metadata: metadata.optional(),
  webhook: webhook.nullable().optional(),
  /** The tools that stay allowed for good: what is not named is asked about again. Nothing can be added here. */
  alwaysAllowed: z.array(z.string().max(64)).max(200).optional(),
})

/** The parameters every list takes: `{data, nextCursor}` is the answer. */
export const page = pageQuery
/** Lists where time matters: from (inclusive) and to (exclusive), ISO 8601 with an offset. */
export const range = { from: instant.optional(), to: instant.optional() }
/** Where time matters: the oldest or the newest first. */
export const order = z.enum(['asc', 'desc'])
/** A number of a message or event. */
export const seq = wholeNumber({ min: 0, max: Number.MAX_SAFE_INTEGER })
/** A comma list or a repeated parameter. */
export const words = commaList(z.string().trim())
