import type { ModelPrice } from '#lib/core/prices'
import { dollars } from '#lib/core/prices'
import { ProviderError } from '#lib/core/errors'
import type { Clock, Estimate, ModelAnswer, ModelDelta, ModelPort, ModelRequest } from '#lib/core/ports'
import { noUsage } from '#lib/core/run'
import { classify } from '#lib/models/classify'
import { estimateCall, tokensOfText } from '#lib/models/estimate'
import { readInput, requestedCall } from '#lib/models/tools'
import { passGate } from '#local/scripted/gate'
import type { ScriptedAnswer } from '#local/scripted/script'
import { answerAt, piecesOf } from '#local/scripted/script'

/** The model of the scripted template. */
export const scriptedModelName = 'local/scripted'

/** A million input tokens $3, output $15 (6-quality, The scripted template). */
export const scriptedPrice: ModelPrice = dollars({ input: 3, output: 15 })

type Estimable = Parameters<ModelPort['estimate']>[0]

/** What the answer will use: the script's word, else from its text, the same before the call and after it. */
function usageOf(answer: ScriptedAnswer, request: Estimable): Estimate {
  if (answer.usage !== undefined) return { inputTokens: answer.usage.input, outputTokens: answer.usage.output, fixed: true }
  const calls = answer.tools.length === 0 ? '' : JSON.stringify(answer.tools)
  return { inputTokens: estimateCall(request).inputTokens, outputTokens: Math.max(1, tokensOfText(piecesOf(answer).join('') + calls)) }
}

/** Throws the scripted error while this try of the step still has to fail. */
function failIfScripted(answer: ScriptedAnswer, attempt: number, now: number): void {
  const error = answer.error
  if (error === undefined || attempt >= (error.times ?? Number.POSITIVE_INFINITY)) return
  const responseHeaders = error.retryAfter === undefined ? {} : { 'retry-after': String(error.retryAfter) }
  throw classify({ statusCode: error.status, message: 'scripted error', responseHeaders }, scriptedModelName, now)
}

/** Waits on the clock that tests move; throws the signal's reason as soon as it aborts. */
async function pause(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds > 0) await clock.sleep(milliseconds, signal)
  signal.throwIfAborted()
}

/**
 * The model behind every name that starts with `local/`: it plays the script in the message that opened the run and keeps
 * nothing between calls, so any process plays the same answer. A cut happens only on the first try of a step.
 */
export function createScriptedModel(options: { clock: Clock }): ModelPort {
  const { clock } = options

  async function stream(
    answer: ScriptedAnswer,
    request: ModelRequest,
    onDelta: (delta: ModelDelta) => void,
    signal: AbortSignal,
  ): Promise<string> {
    const pieces = piecesOf(answer)
    const cutAt = request.attempt === 0 ? answer.cutAfterChunks : undefined
    await pause(clock, answer.delayMs, signal)
    if (answer.error !== undefined || pieces.length === 0) await passGate(answer.gate, signal)
    failIfScripted(answer, request.attempt, clock.now())
    for (const [index, text] of pieces.entries()) {
      if (index > 0) await pause(clock, answer.chunkDelayMs, signal)
      if (index === cutAt) break
      if (index > 0) await passGate(answer.pieceGates?.[index - 1], signal)
      if (index === pieces.length - 1) await passGate(answer.gate, signal)
      onDelta({ kind: 'text', part: 0, text })
      // Lets the event loop turn, as a real stream does, so that aborts and readers get their chance.
      await new Promise((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
    }
    if (cutAt !== undefined) throw new ProviderError('provider_unavailable', `${scriptedModelName}: the scripted stream was cut`)
    return pieces.join('')
  }

  return {
    estimate: (request) => usageOf(answerAt(request.opening, request.modelCall), request),

    async call(request, onDelta, signal): Promise<ModelAnswer> {
      signal.throwIfAborted()
      const answer = answerAt(request.opening, request.modelCall)
      const text = await stream(answer, request, onDelta, signal)
      const content: ModelAnswer['content'] = text === '' ? [] : [{ type: 'text', text }]
      const calls: ModelAnswer['calls'] = []
      // As with real providers, an answer that was cut by length has no calls.
      for (const [index, tool] of answer.finish === 'length' ? [] : answer.tools.entries()) {
        const toolCallId = `scripted_${index}`
        const input = tool.input ?? {}
        content.push({ type: 'tool-call', toolCallId, toolName: tool.name, input: readInput(input).input })
        calls.push(await requestedCall({ toolCallId, toolName: tool.name, input }, request.tools))
      }
      const { inputTokens, outputTokens } = usageOf(answer, request)
      const usage = { ...noUsage, inputTokens, outputTokens }
      const finish = answer.finish ?? (calls.length > 0 ? 'tool-calls' : 'stop')
      return { content, text, reasoning: '', calls, usage, finish, provider: 'local', model: scriptedModelName }
    },
  }
}
