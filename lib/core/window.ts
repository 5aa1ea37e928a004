import type { ModelMessage } from 'ai'
import type { AgentSettings, StoredMessage } from '#lib/core/run'

/** Upper bound of the tokens of a text or JSON of that many bytes. */
export function estimateTokens(bytes: number): number {
  return Math.floor(bytes / 3) + 1
}

/** Bytes of the value's JSON in UTF-8. */
export function jsonBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value) ?? '').byteLength
}

/** Providers charge a hidden prompt for the use of tools: the largest published one, rounded up. */
export const toolPreambleTokens = 700
/** A picture costs by its pixels, not by its bytes: the largest published price of one, rounded up. */
export const pictureTokens = 5_000
/** A document at an address: nobody here knows its pages. What a dozen of them cost; what it really costs is booked in full. */
export const documentTokens = 30_000

type Part = Exclude<ModelMessage['content'], string>[number]

/** Tokens of a part that its bytes do not tell, or null where they do. What a data URL says of itself goes before what stands beside it. */
export function tokensOfFile(part: Part): number | null {
  if (part.type !== 'image' && part.type !== 'file') return null
  const data: unknown = part.type === 'image' ? part.image : part.data
  // Neither schemes nor media types know upper case from lower.
  const begins = typeof data === 'string' || data instanceof URL ? String(data).slice(0, 100).toLowerCase() : ''
  const isPicture = part.type === 'image' || part.mediaType.toLowerCase().startsWith('image/')
  if (isPicture && (!begins.startsWith('data:') || begins.startsWith('data:image/'))) return pictureTokens
  return /^https?:/.test(begins) ? documentTokens : null
}

/** Upper bound of the tokens of a message's content: its files by what they are, the rest by its bytes. */
export function estimateContent(content: ModelMessage['content']): number {
  if (typeof content === 'string') return estimateTokens(jsonBytes(content))
  const files = content.map(tokensOfFile)
  const rest = content.filter((_, index) => files[index] === null)
  return estimateTokens(jsonBytes(rest)) + files.reduce<number>((sum, tokens) => sum + (tokens ?? 0), 0)
}

/**
 * Where the window must begin so that it fits, or null when it fits as it is. It begins at a user message, so never between a
 * tool call and its result; the last user message always stays (2-run-contract, The window). `force` moves it once in any case.
 */
export function nextWindow(window: readonly StoredMessage[], limits: AgentSettings['window'], force = false): number | null {
  const total = window.reduce((sum, message) => sum + message.estTokens, 0)
  if (!force && total <= limits.maxTokens && window.length <= limits.maxMessages) return null
  const starts = window.flatMap((message, index) => (message.role === 'user' && index > 0 ? [index] : []))
  // Half the limit leaves room, so that the window (and with it the provider's prompt cache) does not move at every step.
  const tokenGoal = force ? total / 2 : limits.maxTokens / 2
  const messageGoal = force ? window.length : Math.ceil(limits.maxMessages / 2)
  let tokens = total
  let dropped = 0
  for (const start of starts) {
    while (dropped < start) {
      tokens -= window[dropped]?.estTokens ?? 0
      dropped++
    }
    if (tokens <= tokenGoal && window.length - dropped <= messageGoal) return window[start]?.seq ?? null
  }
  const last = starts.at(-1)
  return last === undefined ? null : (window[last]?.seq ?? null)
}

/** The messages that the window may move over: what `keepFirst` keeps before it stays; a number of 0 has not been given yet. */
export function movable(window: readonly StoredMessage[], windowFrom: number): StoredMessage[] {
  return window.filter((message) => message.seq === 0 || message.seq >= windowFrom)
}

/** The window as the model sees it: from the first user message on, so that it never begins with an answer or a result. */
export function modelMessages(window: readonly StoredMessage[]): ModelMessage[] {
  const first = window.findIndex((message) => message.role === 'user')
  return window.slice(Math.max(first, 0)).map(toModelMessage)
}

/** A row as the AI SDK takes it. */
export function toModelMessage(message: StoredMessage): ModelMessage {
  // Rows are written by this code alone (append-only, formats numbered), so role and content belong together.
  return { role: message.role, content: message.content } as ModelMessage
}
