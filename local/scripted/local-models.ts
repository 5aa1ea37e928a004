import type { Log, ModelPort } from '#lib/core/ports'
import type { ProviderEntry, ProviderEnv } from '#lib/models/provider-entry'
import { missingKey, splitModel } from '#lib/models/registry'

/** What localModels needs. */
export interface LocalModelsOptions {
  /** The models of lib/providers.ts. */
  models: ModelPort
  scripted: ModelPort
  providers: Readonly<Record<string, ProviderEntry>>
  env: ProviderEnv
  log: Log
}

/**
 * The models of local mode: names that start with `local/` and models whose provider has no key are answered by the
 * scripted model, the latter with one warning per provider; all others by their provider.
 */
export function localModels(options: LocalModelsOptions): ModelPort {
  const warned = new Set<string>()

  function portOf(model: string): ModelPort {
    const { provider } = splitModel(model)
    if (provider === 'local') return options.scripted
    const missing = missingKey(options.providers, options.env, model)
    if (missing === null) return options.models
    if (!warned.has(provider)) {
      warned.add(provider)
      options.log.warn(`${model} is answered by local/scripted because ${missing} is not set`, { model, variable: missing })
    }
    return options.scripted
  }

  return {
    estimate: (request) => portOf(request.model).estimate(request),
    call: (request, onDelta, signal) => portOf(request.model).call(request, onDelta, signal),
  }
}
