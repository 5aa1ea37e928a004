import type { LanguageModel } from 'ai'
import { ProviderError } from '#lib/core/errors'
import type { ModelPrice } from '#lib/core/prices'
import type { ModelFactory, ProviderEntry, ProviderEnv } from '#lib/models/provider-entry'

type Providers = Readonly<Record<string, ProviderEntry>>

/** Splits `provider/model` at the first slash; the model id may have slashes of its own (`gateway/anthropic/claude-...`). */
export function splitModel(model: string): { provider: string; modelId: string } {
  const slash = model.indexOf('/')
  return slash < 0 ? { provider: model, modelId: '' } : { provider: model.slice(0, slash), modelId: model.slice(slash + 1) }
}

function entryOf(providers: Providers, provider: string): ProviderEntry | undefined {
  return Object.hasOwn(providers, provider) ? providers[provider] : undefined
}

/** The price of a `provider/model`, or null when none is known: such a call is refused (invariant 9). */
export function priceOf(providers: Providers, model: string): ModelPrice | null {
  const { provider, modelId } = splitModel(model)
  const prices = entryOf(providers, provider)?.prices ?? {}
  const undated = modelId.replace(/-(?:\d{8}|\d{4}-\d{2}-\d{2})$/, '')
  const known = [modelId, undated, '*'].find((id) => Object.hasOwn(prices, id))
  return known === undefined ? null : (prices[known] ?? null)
}

/** The variable to set before the provider of this model can be called, or null when it can be. */
export function missingKey(providers: Providers, env: ProviderEnv, model: string): string | null {
  const entry = entryOf(providers, splitModel(model).provider)
  if (entry === undefined) return null
  const needed = entry.needs ?? entry.keyVariable
  return present(env, needed) !== undefined || present(env, entry.keylessWhen) !== undefined ? null : needed
}

function present(env: ProviderEnv, variable: string | undefined): string | undefined {
  const value = variable === undefined ? undefined : env(variable)
  return value === '' ? undefined : value
}

/** A model that is ready to be called, and the entry it was made from. */
export interface OpenedModel {
  entry: ProviderEntry
  provider: string
  model: LanguageModel
}

/**
 * Opens models by name; each provider is loaded once. The returned function throws ProviderError `model_not_found` for a
 * provider that is not registered and `provider_auth` where its key is missing.
 */
export function modelOpener(providers: Providers, env: ProviderEnv): (model: string) => Promise<OpenedModel> {
  const loaded = new Map<string, Promise<ModelFactory>>()
  return async (name) => {
    const { provider, modelId } = splitModel(name)
    const entry = entryOf(providers, provider)
    if (entry === undefined || modelId === '') {
      throw new ProviderError('model_not_found', `The model "${name}" names no provider of lib/providers.ts: register "${provider}" there.`)
    }
    const missing = missingKey(providers, env, name)
    if (missing !== null) throw new ProviderError('provider_auth', `The model "${name}" cannot be called: set ${missing}.`)
    let factory = loaded.get(provider)
    if (factory === undefined) {
      factory = load(entry, env)
      loaded.set(provider, factory)
      // A failed import must not stay: the next call tries again. The failure itself reaches the caller below.
      factory.catch(() => loaded.delete(provider))
    }
    return { entry, provider, model: (await factory)(modelId) }
  }
}

async function load(entry: ProviderEntry, env: ProviderEnv): Promise<ModelFactory> {
  const apiKey = present(env, entry.keyVariable)
  const baseUrl = present(env, entry.baseUrlVariable)
  return entry.load({ ...(apiKey === undefined ? {} : { apiKey }), ...(baseUrl === undefined ? {} : { baseUrl }) })
}
