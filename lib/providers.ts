import { dollars } from '#lib/core/prices'
import type { ProviderEntry } from '#lib/models/provider-entry'

/*
 * YOURS: the model providers of this deployment and what their models cost. `anthropic/claude-sonnet-5-5` in a template
 * means the model `claude-sonnet-5-5` of the entry `anthropic`. Add any provider of the AI SDK: import its package inside
 * `load`, never at the top of this file. A model without a price is refused; `free` (lib/core/prices) is a price.
 * Prices are dollars per million tokens, as published in November 2026: check them when you change models.
 */

const claude = {
  'claude-fable-5-1': dollars({ input: 10, output: 50, cacheRead: 0.25, cacheWrite: 12.5 }),
  'claude-opus-5-5': dollars({ input: 4, output: 20, cacheRead: 0.2, cacheWrite: 5 }),
  'claude-opus-5': dollars({ input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 }),
  'claude-opus-4-8': dollars({ input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 }),
  'claude-sonnet-5-5': dollars({ input: 2, output: 10, cacheRead: 0.1, cacheWrite: 2.5 }),
  'claude-sonnet-5': dollars({ input: 2, output: 10, cacheRead: 0.2, cacheWrite: 2.5 }),
  'claude-sonnet-4-6': dollars({ input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 }),
  'claude-sonnet-4-5': dollars({ input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 }),
  'claude-haiku-5-5': dollars(
    { input: 0.1, output: 0.5, cacheRead: 0.01, cacheWrite: 0.125 },
    { aboveInputTokens: 100_000, input: 0.5, output: 2.5, cacheRead: 0.05, cacheWrite: 0.625 },
  ),
  'claude-haiku-4-5': dollars({ input: 1, output: 5, cacheRead: 0.1, cacheWrite: 1.25 }),
}

const gpt = {
  'gpt-6-astra': dollars(
    { input: 10, output: 50, cacheRead: 1, cacheWrite: 12.5 },
    { aboveInputTokens: 272_000, input: 20, output: 75, cacheRead: 2, cacheWrite: 25 },
  ),
  'gpt-6.1-sol': dollars(
    { input: 2, output: 10, cacheRead: 0.1, cacheWrite: 2.5 },
    { aboveInputTokens: 272_000, input: 4, output: 15, cacheRead: 0.2, cacheWrite: 5 },
  ),
  'gpt-6-sol': dollars(
    { input: 2, output: 10, cacheRead: 0.2, cacheWrite: 2.5 },
    { aboveInputTokens: 272_000, input: 4, output: 15, cacheRead: 0.4, cacheWrite: 5 },
  ),
  'gpt-6-luna': dollars(
    { input: 0.1, output: 0.5, cacheRead: 0.01, cacheWrite: 0.125 },
    { aboveInputTokens: 272_000, input: 0.2, output: 0.75, cacheRead: 0.02, cacheWrite: 0.25 },
  ),
  'gpt-5.5': dollars({ input: 5, output: 30, cacheRead: 0.5 }, { aboveInputTokens: 272_000, input: 10, output: 45, cacheRead: 1 }),
  'gpt-5.4': dollars({ input: 2.5, output: 15, cacheRead: 0.25 }, { aboveInputTokens: 272_000, input: 5, output: 22.5, cacheRead: 0.5 }),
  'gpt-5.4-mini': dollars({ input: 0.75, output: 4.5, cacheRead: 0.075 }),
  'gpt-5-mini': dollars({ input: 0.25, output: 2, cacheRead: 0.025 }),
  'gpt-4.1': dollars({ input: 2, output: 8, cacheRead: 0.5 }),
  'gpt-4.1-mini': dollars({ input: 0.4, output: 1.6, cacheRead: 0.1 }),
}

/** The providers by the name that templates use before the first slash. */
export const providers: Record<string, ProviderEntry> = {
  anthropic: {
    keyVariable: 'ANTHROPIC_API_KEY',
    baseUrlVariable: 'ANTHROPIC_BASE_URL',
    // Pings tell a model that thinks in silence from a connection that is dead.
    providerOptions: { anthropic: { includePings: true } },
    anthropicCache: true,
    prices: claude,
    probe: ({ apiKey = '', baseUrl = 'https://api.anthropic.com/v1' }) => ({
      url: `${baseUrl}/models`,
      headers: { 'x-api-key': apiKey, 'anthropic-version': '2023-06-01' },
    }),
    load: async ({ apiKey, baseUrl }) => {
      const { createAnthropic } = await import('@ai-sdk/anthropic')
      return createAnthropic({ ...(apiKey && { apiKey }), ...(baseUrl && { baseURL: baseUrl }) })
    },
  },
  openai: {
    keyVariable: 'OPENAI_API_KEY',
    baseUrlVariable: 'OPENAI_BASE_URL',
    // A conversation outlives what OpenAI stores, so nothing may refer to it.
    providerOptions: { openai: { store: false } },
    prices: gpt,
    probe: ({ apiKey = '', baseUrl = 'https://api.openai.com/v1' }) => ({
      url: `${baseUrl}/models`,
      headers: { authorization: `Bearer ${apiKey}` },
    }),
    load: async ({ apiKey, baseUrl }) => {
      const { createOpenAI } = await import('@ai-sdk/openai')
      return createOpenAI({ ...(apiKey && { apiKey }), ...(baseUrl && { baseURL: baseUrl }) })
    },
  },
  /** Anything that speaks OpenAI's chat completions: Ollama, vLLM, DeepSeek, ... Add its models to `prices`. */
  compatible: {
    keyVariable: 'OPENAI_COMPATIBLE_API_KEY',
    needs: 'OPENAI_COMPATIBLE_BASE_URL',
    baseUrlVariable: 'OPENAI_COMPATIBLE_BASE_URL',
    prices: {},
    probe: ({ apiKey, baseUrl = '' }) => ({ url: `${baseUrl}/models`, headers: { ...(apiKey && { authorization: `Bearer ${apiKey}` }) } }),
    load: async ({ apiKey, baseUrl }) => {
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
      // Their shape has a place for the address of a picture: whether it is fetched is theirs to say, for Baton fetches none (lib/models/files.ts).
      const supportedUrls = () => ({ 'image/*': [/^https:\/\//] })
      return createOpenAICompatible({
        name: 'compatible',
        baseURL: baseUrl ?? '',
        includeUsage: true,
        supportedUrls,
        ...(apiKey && { apiKey }),
      })
    },
  },
  /** Vercel AI Gateway: `gateway/anthropic/claude-sonnet-5.5`. On Vercel it needs no key. */
  gateway: {
    keyVariable: 'AI_GATEWAY_API_KEY',
    keylessWhen: 'VERCEL',
    baseUrlVariable: 'AI_GATEWAY_BASE_URL',
    providerOptions: { openai: { store: false } },
    anthropicCache: true,
    prices: {
      'anthropic/claude-opus-5.5': claude['claude-opus-5-5'],
      'anthropic/claude-sonnet-5.5': claude['claude-sonnet-5-5'],
      'anthropic/claude-haiku-5.5': claude['claude-haiku-5-5'],
      'openai/gpt-6-astra': gpt['gpt-6-astra'],
      'openai/gpt-6.1-sol': gpt['gpt-6.1-sol'],
      'openai/gpt-6-luna': gpt['gpt-6-luna'],
    },
    load: async ({ apiKey, baseUrl }) => {
      const { createGateway } = await import('ai')
      return createGateway({ ...(apiKey && { apiKey }), ...(baseUrl && { baseURL: baseUrl }) })
    },
  },
}
