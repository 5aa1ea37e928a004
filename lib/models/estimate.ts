import type { ModelMessage } from 'ai'
import { z } from 'zod'
import type { AnyTool } from '#lib/core/define'
import { leastOutputTokens, thinkingTokens } from '#lib/core/limits'
import type { Estimate, ModelRequest } from '#lib/core/ports'
import { tokensOfFile, toolPreambleTokens } from '#lib/core/window'

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
  const files = content.map(tokensOfFile)
  const texts = content.filter((_, index) => files[index] === null)
  return tokensOfText(JSON.stringify(texts)) + files.reduce<number>((sum, tokens) => sum + (tokens ?? 0), 0) + 8
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
