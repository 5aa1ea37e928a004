import { ProviderError, type ProviderCode } from '#lib/core/errors'
import type { ModelAnswer, ModelPort, ModelRequest } from '#lib/core/ports'
import { noUsage } from '#lib/core/run'
import { estimateCall, tokensOfText } from '#lib/models/estimate'
import { readInput, requestedCall } from '#lib/models/tools'

/** One answer of the model, or the failure of its call. */
export interface ScriptedAnswer {
  text?: string
  tools?: readonly { name: string; input?: unknown }[]
  finish?: 'length' | 'content-filter'
  /** The call fails so; the next answer of the script is for the next call. */
  error?: ProviderCode
}

/**
 * A model that gives the answers of `script` in order, one for each call, and keeps the requests. Calls are checked against the
 * tools as those of a real model are. Throws an Error when it is called more often than the script has answers.
 */
export function scriptedAnswers(script: readonly ScriptedAnswer[]): { model: ModelPort; requests: ModelRequest[] } {
  const requests: ModelRequest[] = []

  async function call(request: ModelRequest): Promise<ModelAnswer> {
    const answer = script[requests.length]
    requests.push({ ...request, messages: structuredClone(request.messages) })
    if (answer === undefined) throw new Error(`the script has ${script.length} answers and the model was called once more`)
    if (answer.error !== undefined) throw new ProviderError(answer.error, `scripted ${answer.error}`, { status: 400 })
    const text = answer.text ?? ''
    const content: ModelAnswer['content'] = text === '' ? [] : [{ type: 'text', text }]
    const calls: ModelAnswer['calls'] = []
    // As with real providers, an answer that was cut has no calls.
    for (const [index, tool] of (answer.finish === undefined ? (answer.tools ?? []) : []).entries()) {
      const part = { toolCallId: `scripted_${index}`, toolName: tool.name, input: tool.input ?? {} }
      content.push({ type: 'tool-call', ...part, input: readInput(part.input).input })
      calls.push(await requestedCall(part, request.tools))
    }
    const usage = { ...noUsage, inputTokens: estimateCall(request).inputTokens, outputTokens: tokensOfText(JSON.stringify(content)) }
    return {
      content,
      text,
      reasoning: '',
      calls,
      usage,
      finish: answer.finish ?? (calls.length > 0 ? 'tool-calls' : 'stop'),
      provider: 'test',
      model: request.model,
    }
  }

  return { model: { estimate: estimateCall, call }, requests }
}
