import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { messageContent, sendMessageBody } from '#lib/api/schemas'
import { refuse } from '#lib/http/validate'

const looseParts = z.array(z.looseObject({ type: z.string() })).max(5_000)
/** A UIMessage as clients send it; only the last one is looked at. */
const uiMessage = z.looseObject({ id: z.string().max(200).optional(), role: z.enum(['system', 'user', 'assistant']), parts: looseParts })
type UiMessage = z.output<typeof uiMessage>

const { template, metadata, onBusy, limits } = sendMessageBody.shape
/** The body of POST /api/chat, as `DefaultChatTransport` sends it, with what Baton takes beside it (`body` of the transport or of the message). */
export const chatBody = z.strictObject({
  id: z.string().max(200).optional(),
  messages: z.array(uiMessage).min(1).max(10_000),
  trigger: z.enum(['submit-message', 'regenerate-message']).optional(),
  messageId: z.string().max(200).nullish(),
  template,
  metadata,
  onBusy,
  limits,
})
/** What a signed-in user may set in it. */
export const chatUserFields = ['id', 'messages', 'trigger', 'messageId', 'template', 'metadata', 'onBusy', 'limits']

const textPart = z.looseObject({ type: z.literal('text'), text: z.string() })
const filePart = z.looseObject({
  type: z.literal('file'),
  url: z.string(),
  mediaType: z.string(),
  filename: z.string().optional(),
})
const userPart = z.discriminatedUnion('type', [textPart, filePart])

type UserPart = { type: 'text'; text: string } | { type: 'file'; data: string; mediaType: string; filename?: string }

/** The content of a user's message: text, and files as https or data URLs. Throws BatonError validation for anything else. */
export function contentOf(message: UiMessage, index: number): z.output<typeof messageContent> {
  const parts = message.parts.flatMap((part, at): UserPart[] => {
    const parsed = userPart.safeParse(part)
    if (!parsed.success) return wrong(index, at, 'a user message has text parts and file parts with url and mediaType')
    if (parsed.data.type === 'text') return parsed.data.text === '' ? [] : [{ type: 'text' as const, text: parsed.data.text }]
    const { url, mediaType, filename } = parsed.data
    return [{ type: 'file' as const, data: url, mediaType, ...(filename === undefined ? {} : { filename }) }]
  })
  const [only] = parts
  const checked = messageContent.safeParse(parts.length === 1 && only?.type === 'text' ? only.text : parts)
  if (checked.success) return checked.data
  return wrong(index, null, 'a message has text or files, and files come as https URLs or data URLs')
}

/** What a chat cannot be asked for. */
export function notTaken(why: string): BatonError {
  return new BatonError('validation', `The request is not valid: ${why}. Nothing was kept.`)
}

function wrong(index: number, part: number | null, message: string): never {
  return refuse([{ in: 'body', path: `/messages/${index}/parts${part === null ? '' : `/${part}`}`, message }])
}

/** What the parts of an assistant message say in answer to what the chat waits for: claims, each to be checked against the rows. */
export interface Answers {
  approvals: { id: string; approved: boolean; reason: string | undefined }[]
  outputs: Map<string, { output: unknown } | { error: string }>
}

const responded = z.looseObject({
  state: z.literal('approval-responded'),
  approval: z.looseObject({ id: z.string().max(200), approved: z.boolean(), reason: z.string().max(2_000).optional() }),
})
const given = z.discriminatedUnion('state', [
  z.looseObject({ state: z.literal('output-available'), toolCallId: z.string(), output: z.unknown() }),
  z.looseObject({ state: z.literal('output-error'), toolCallId: z.string(), errorText: z.string() }),
])

/** The answers in the parts of a message. */
export function answersOf({ parts }: UiMessage): Answers {
  const answers: Answers = { approvals: [], outputs: new Map() }
  for (const part of parts) {
    const decision = responded.safeParse(part)
    if (decision.success) {
      const { id, approved, reason } = decision.data.approval
      answers.approvals.push({ id, approved, reason })
    }
    const result = given.safeParse(part)
    if (!result.success) continue
    const { data } = result
    answers.outputs.set(data.toolCallId, data.state === 'output-error' ? { error: data.errorText } : { output: data.output ?? null })
  }
  return answers
}
