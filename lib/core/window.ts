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
