import type { StoredMessage } from '#lib/core/run'

/** A part as it came out of a row: anything may be missing. */
type Part = Readonly<Record<string, unknown>> | null

/**
 * Whether the content of a stored message has the form of its role: text, or parts that each have a type, and calls and results their ids. The
 * same rule finds such rows in the database (baton.readable): a provider would refuse them, or this process fall over them.
 */
export function isReadable({ role, content }: { role: StoredMessage['role']; content: unknown }): boolean {
  if (typeof content === 'string') return role !== 'tool'
  return Array.isArray(content) && content.every((part: Part) => isPart(role, part))
}

function isPart(role: string, part: Part): boolean {
  if (typeof part !== 'object' || part === null || typeof part['type'] !== 'string') return false
  const { type, toolCallId, toolName, output, text } = part
  if (type === 'tool-call' || type === 'tool-result') {
    const isNamed = typeof toolCallId === 'string' && typeof toolName === 'string'
    return isNamed && (type === 'tool-call' || (typeof output === 'object' && output !== null && !Array.isArray(output)))
  }
  return type === 'text' ? typeof text === 'string' : role !== 'tool'
}
