import type { ModelMessage, SystemModelMessage } from 'ai'

/** Anthropic's mark for "cache the prompt up to here"; a call may carry four, other providers ignore them. */
const cacheHere = { cacheControl: { type: 'ephemeral' as const } }

/** Two ends of the conversation are marked: this call's, and the one before it, where the last call has written its cache. */
const markedMessages = 2

function marked<Message extends ModelMessage>(message: Message): Message {
  const anthropic = { ...message.providerOptions?.['anthropic'], ...cacheHere }
  return { ...message, providerOptions: { ...message.providerOptions, anthropic } }
}

/** The instructions as a message that ends the part of the prompt which is the same for every run: tools and instructions. */
export function cachedInstructions(instructions: string): SystemModelMessage {
  return marked({ role: 'system', content: instructions })
}

/** The messages, the last user or tool messages marked. */
export function cachedMessages(messages: readonly ModelMessage[]): ModelMessage[] {
  const ends = messages.flatMap((message, index) => (message.role === 'assistant' ? [] : [index])).slice(-markedMessages)
  return messages.map((message, index) => (ends.includes(index) ? marked(message) : message))
}
