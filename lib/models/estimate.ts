import type { ModelMessage } from 'ai'
import { z } from 'zod'
import type { AnyTool } from '#lib/core/define'
import { leastOutputTokens, thinkingTokens } from '#lib/core/limits'
import type { Estimate, ModelRequest } from '#lib/core/ports'

/** Providers charge a hidden prompt for the use of tools: the largest published one, rounded up. */
const toolPreambleTokens = 700
/** An image costs by its pixels, not by its bytes: the largest published price of one, rounded up. */
const imageTokens = 5_000

/** An upper bound for a text: tokenizers make 3 to 4 bytes of prose and code a token. */
export function tokensOfText(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 3)
}

const sizes = new WeakMap<AnyTool, number>()

function tokensOfTool(tool: AnyTool): number {
  const known = sizes.get(tool)
  if (known !== undefined) return known
  const schema = z.toJSONSchema(tool.input, { io: 'input', unrepresentable: 'any' })
  const size = tokensOfText(JSON.stringify({ name: tool.name, description: tool.description, schema }))
  sizes.set(tool, size)
  return size
}

/** An upper bound for a message as it is sent. Inputs and outputs of tools go out as text, whatever their JSON says of itself. */
export function tokensOfMessage({ content }: ModelMessage): number {
  if (typeof content === 'string') return tokensOfText(content) + 8
  const texts = content.filter((part) => !isPicture(part))
  return tokensOfText(JSON.stringify(texts)) + (content.length - texts.length) * imageTokens + 8
}

/** A part that the provider is sent as a picture: what a data URL says of itself goes before what stands beside it. */
function isPicture(part: Exclude<ModelMessage['content'], string>[number]): boolean {
  if (part.type === 'image') return !isOther(part.image)
  return part.type === 'file' && part.mediaType.startsWith('image/') && !isOther(part.data)
}

function isOther(data: unknown): boolean {
  return typeof data === 'string' && data.startsWith('data:') && !data.startsWith('data:image/')
}

/** What a call may use at most, from its bytes: instructions, messages, tool schemas and the longest answer allowed. */
export function estimateCall(request: Pick<ModelRequest, 'definition' | 'instructions' | 'messages' | 'maxOutputTokens'>): Estimate {
  const tools = request.definition.tools ?? []
  const toolTokens = tools.length === 0 ? 0 : toolPreambleTokens + tools.reduce((sum, tool) => sum + tokensOfTool(tool), 0)
  const messageTokens = request.messages.reduce((sum, message) => sum + tokensOfMessage(message), 0)
  return {
    inputTokens: tokensOfText(request.instructions) + toolTokens + messageTokens + 16,
    outputTokens: request.maxOutputTokens + thinkingTokens(request.definition),
    leastOutputTokens: Math.min(leastOutputTokens, request.maxOutputTokens) + thinkingTokens(request.definition),
  }
}
