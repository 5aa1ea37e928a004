import { z } from 'zod'
import { agentNamePattern } from '#lib/core/ids'
import type { messageContent } from '#lib/api/schemas'

const onlyUsers = 'only messages of the user are taken: Baton keeps the conversation, continue it with previous_response_id'

const inputText = z.strictObject({ type: z.literal('input_text'), text: z.string().min(1) })
const inputImage = z.strictObject({
  type: z.literal('input_image'),
  /** https (the provider fetches it, Baton never does) or a data URL. */
  image_url: z.union([z.url({ protocol: /^https$/ }), z.string().startsWith('data:image/')]),
  detail: z.literal('auto', 'only "auto" is supported').nullish(),
  file_id: z.null('files have no ids here: send image_url').optional(),
})

const inputMessage = z.strictObject({
  type: z.literal('message', onlyUsers).optional(),
  role: z.literal('user', onlyUsers),
  content: z.union([
    z.string().min(1),
    z
      .array(z.discriminatedUnion('type', [inputText, inputImage]))
      .min(1)
      .max(100),
  ]),
})

const input = z.union([z.string().min(1), z.array(inputMessage).min(1).max(100)])

const conversationId = z.string().regex(agentNamePattern, 'is not an id that a conversation may have')

const createFields = z.strictObject({
  /** The template. */
  model: z.string().max(64).nullish(),
  input: input.optional(),
  stream: z.boolean().nullish(),
  background: z.boolean().nullish(),
  previous_response_id: z.string().max(200).nullish(),
  /** The agent's id; a first message makes it. */
  conversation: z.union([conversationId, z.strictObject({ id: conversationId })]).nullish(),
  /** As OpenAI has it: 16 pairs, keys of 64 and values of 512 characters. */
  metadata: z
    .record(z.string().min(1).max(64), z.string().max(512))
    .refine((given) => Object.keys(given).length <= 16, 'may have 16 pairs')
    .nullish(),
  store: z.literal(true, 'only true is supported: Baton keeps what it does').nullish(),
})

/**
 * The body of POST /v1/responses: what is not here is refused by name, never ignored. With OpenAI null is a field that was left out, and clients send
 * such: nothing is asked by it, also of a field that is not supported.
 */
export const createResponseBody = z.preprocess(withoutNulls, createFields)

/** The fields of the body that a signed-in user may set: all of them. */
export const responseFields = Object.keys(createFields.shape)

function withoutNulls(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
}

type Content = z.output<typeof messageContent>
type Part = Exclude<Content, string>[number]

/** The one message that an input is: several items of the user become parts of it. */
export function contentOf(given: z.output<typeof input>): Content {
  if (typeof given === 'string') return given
  const [only] = given
  if (given.length === 1 && only !== undefined && typeof only.content === 'string') return only.content
  return given.flatMap(({ content }): Part[] =>
    typeof content === 'string'
      ? [{ type: 'text', text: content }]
      : content.map((part) =>
          part.type === 'input_text'
            ? { type: 'text', text: part.text }
            : { type: 'image', image: part.image_url, ...mediaTypeOf(part.image_url) },
        ),
  )
}

function mediaTypeOf(url: string): { mediaType?: string } {
  const mediaType = /^data:(image\/[a-z0-9.+-]+)[;,]/i.exec(url)?.[1]
  return mediaType === undefined ? {} : { mediaType }
}
