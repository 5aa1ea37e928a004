import type { LanguageModelUsage, ModelMessage, TextStreamPart, ToolSet } from 'ai'
import { ProviderError } from '#lib/core/errors'
import type { Estimate, Log, ModelAnswer, ModelDelta, ModelPort, ModelRequest } from '#lib/core/ports'
import { cachedInstructions, cachedMessages } from '#lib/models/caching'
import { classify } from '#lib/models/classify'
import { collector } from '#lib/models/collect'
import { estimateCall, tokensOfText } from '#lib/models/estimate'
import { leftToProvider } from '#lib/models/files'
import type { ProviderEntry, ProviderEnv, ProviderOptions } from '#lib/models/provider-entry'
import type { OpenedModel } from '#lib/models/registry'
import { modelOpener } from '#lib/models/registry'
import type { SilenceGuard } from '#lib/models/silence'
import { silenceGuard } from '#lib/models/silence'
import { toolSet } from '#lib/models/tools'
import { normaliseUsage } from '#lib/models/usage'

type Ai = typeof import('ai')

/** What createModels needs; `now` (milliseconds since the epoch) is read only to understand `retry-after` dates. */
export interface ModelsOptions {
  providers: Readonly<Record<string, ProviderEntry>>
  env: ProviderEnv
  log: Log
  now?: () => number
}

/** The end of a stream, as its provider has told it. */
interface Ending {
  finish: string
  usage: LanguageModelUsage | null
  modelId: string | null
}

/** Below the template's options, the provider entry's; merged per provider, one level deep. */
function mergedOptions(below: ProviderOptions = {}, above: ProviderOptions = {}): ProviderOptions {
  const names = new Set([...Object.keys(below), ...Object.keys(above)])
  return Object.fromEntries([...names].map((name) => [name, { ...below[name], ...above[name] }]))
}

/** Blank text beside a call says nothing, and some providers refuse a history that holds it; its own provider may want it back. */
function withoutBlanks(message: ModelMessage, provider: string): ModelMessage {
  if (message.role !== 'assistant' || typeof message.content === 'string') return message
  const content = message.content.filter(
    (part) => part.type !== 'text' || part.text.trim() !== '' || part.providerOptions?.[provider] !== undefined,
  )
  return content.length === message.content.length ? message : { ...message, content }
}

function promptOf(
  request: ModelRequest,
  opened: OpenedModel,
): { instructions?: string | ReturnType<typeof cachedInstructions>; messages: ModelMessage[] } {
  const cache = opened.entry.anthropicCache === true
  const messages = request.messages.map((message) => withoutBlanks(message, opened.provider))
  return {
    // Providers refuse an empty system prompt.
    ...(request.instructions === '' ? {} : { instructions: cache ? cachedInstructions(request.instructions) : request.instructions }),
    messages: cache ? cachedMessages(messages) : messages,
  }
}

/** The tools of the request. A tool that cannot be described is no fault of the provider, which has not been asked. */
function toolsOf(ai: Ai, { tools, model }: ModelRequest): ToolSet | undefined {
  try {
    return toolSet(ai, tools)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : typeof thrown
    throw new ProviderError('bad_request', `${model} was not asked: ${why}`, { unsent: true }, { cause: thrown })
  }
}

/** Reads the stream to its end; throws what the provider reports. */
async function read(
  stream: AsyncIterable<TextStreamPart<ToolSet>>,
  take: (part: TextStreamPart<ToolSet>) => void,
  guard: SilenceGuard,
): Promise<Ending> {
  const ending: Ending = { finish: 'unfinished', usage: null, modelId: null }
  for await (const part of stream) {
    if (part.type === 'error') throw part.error
    // The SDK says 'start' before it asks the provider.
    if (part.type !== 'start') guard.heard()
    if (part.type === 'finish-step') {
      // A gateway's stream that breaks off is told as 'other', but then no provider has named a reason.
      ending.finish = part.finishReason === 'other' && part.rawFinishReason === undefined ? 'unfinished' : part.finishReason
      ending.usage = part.usage
      ending.modelId = part.response.modelId
    }
    take(part)
  }
  return ending
}

function finishOf(ending: Ending, provider: string): ModelAnswer['finish'] {
  switch (ending.finish) {
    case 'stop':
    case 'length':
    case 'tool-calls':
    case 'content-filter':
    case 'other':
      return ending.finish
    default:
      throw new ProviderError('provider_unavailable', `${provider}: the stream ended before the answer did (${ending.finish})`)
  }
}

/**
 * The models of lib/providers.ts as a ModelPort: one streamText per call, nothing executed, nothing retried. `call` throws
 * ProviderError for everything a provider may do wrong, and the signal's reason when the caller has aborted.
 */
export function createModels(options: ModelsOptions): ModelPort {
  const now = options.now ?? Date.now
  const open = modelOpener(options.providers, options.env)
  let loading: Promise<Ai> | null = null

  function loadAi(): Promise<Ai> {
    loading ??= import('ai').then((ai) => {
      globalThis.AI_SDK_LOG_WARNINGS = ({ warnings, model }) => {
        for (const warning of warnings) options.log.warn('the model provider ignores a setting', { model, warning })
      }
      return ai
    })
    return loading
  }

  async function answer(
    request: ModelRequest,
    opened: OpenedModel,
    onDelta: (delta: ModelDelta) => void,
    signal: AbortSignal,
  ): Promise<ModelAnswer> {
    const ai = await loadAi()
    const tools = toolsOf(ai, request)
    const settings = request.definition.settings
    const guard = silenceGuard(request.timeouts, request.model)
    const collected = collector(onDelta)
    try {
      const result = ai.streamText({
        ...promptOf(request, opened),
        model: opened.model,
        ...(tools === undefined ? {} : { tools }),
        maxOutputTokens: request.maxOutputTokens,
        ...(settings?.temperature === undefined ? {} : { temperature: settings.temperature }),
        providerOptions: mergedOptions(opened.entry.providerOptions, settings?.providerOptions),
        experimental_download: leftToProvider(opened.provider),
        maxRetries: 0,
        // A provider's signs of life that are no part of an answer: a model that thinks in silence is not dead.
        include: { rawChunks: true },
        abortSignal: AbortSignal.any([signal, guard.signal]),
        // The error comes as a part of the stream; without this the SDK also writes it to the console.
        onError: () => {},
      })
      const ending = await read(result.stream, (part) => collected.take(part), guard)
      // An abort ends the stream without an error.
      signal.throwIfAborted()
      guard.signal.throwIfAborted()
      const finish = finishOf(ending, opened.provider)
      const content = await collected.answer(request.tools, finish !== 'length' && finish !== 'content-filter')
      const spoken = (): Estimate => ({
        inputTokens: estimateCall(request).inputTokens,
        outputTokens: tokensOfText(JSON.stringify(content.content)),
      })
      const usage = normaliseUsage(ending.usage, spoken)
      return { ...content, usage, finish, provider: opened.provider, model: ending.modelId ?? request.model }
    } catch (error) {
      signal.throwIfAborted()
      guard.signal.throwIfAborted()
      throw error
    } finally {
      guard.stop()
    }
  }

  return {
    estimate: estimateCall,
    async call(request, onDelta, signal) {
      signal.throwIfAborted()
      try {
        return await answer(request, await open(request.model), onDelta, signal)
      } catch (error) {
        signal.throwIfAborted()
        throw classify(error, request.model, now())
      }
    },
  }
}
