import type { LanguageModel } from 'ai'
import type { AgentDefinition } from '#lib/core/define'
import type { ModelPrice } from '#lib/core/prices'

/** Reads one environment variable; given by lib/env, the only reader of process.env. Empty counts as not set. */
export type ProviderEnv = (variable: string) => string | undefined

/** Options by provider name, as the AI SDK takes them. */
export type ProviderOptions = NonNullable<NonNullable<AgentDefinition['settings']>['providerOptions']>

/** Makes the AI SDK's model for a model id of the provider. */
export type ModelFactory = (modelId: string) => LanguageModel

/** One provider of lib/providers.ts: `name/model` in a template means `model` at the provider registered as `name`. */
export interface ProviderEntry {
  /** The variable that holds the API key. */
  keyVariable: string
  /** The variable without which the provider cannot be called; the key's own when not given. */
  needs?: string
  /** Nothing is needed when this variable is set. */
  keylessWhen?: string
  /** The variable that may hold another base URL. */
  baseUrlVariable?: string
  /** Imports the provider's package and makes its model factory: called once, before the first call of a model. */
  load(settings: { apiKey?: string; baseUrl?: string }): Promise<ModelFactory>
  /** A free request that shows whether the provider is reachable and takes the key: the doctor makes it. */
  probe?(settings: { apiKey?: string; baseUrl?: string }): { url: string; headers: Record<string, string> }
  /** Options of every call, below those of the template. */
  providerOptions?: ProviderOptions
  /** Marks the instructions and the last messages for Anthropic's prompt cache. */
  anthropicCache?: boolean
  /** By model id; a dated id (`-20251001`, `-2026-03-05`) has the price of the undated one; `*` is the price of all others. */
  prices: Readonly<Record<string, ModelPrice>>
}
