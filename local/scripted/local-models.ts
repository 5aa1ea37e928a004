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
  /** True with `--real models`: providers with a key answer for themselves. */
  real: boolean
  log: Log
}

/**
 * The models of local mode: all are answered by the scripted model, whatever keys the environment holds, with one warning per
 * provider; with `real` those whose provider has a key are answered by it (5-data, Local mode).
 */
export function localModels(options: LocalModelsOptions): ModelPort {
  const warned = new Set<string>()

  function portOf(model: string): ModelPort {
    const { provider } = splitModel(model)
    if (provider === 'local') return options.scripted
    const missing = missingKey(options.providers, options.env, model)
    if (options.real && missing === null) return options.models
    if (!warned.has(provider)) {
      warned.add(provider)
      options.log.warn(
        `${model} is answered by local/scripted because ${missing === null ? '`--real models` was not asked for' : `${missing} is not set`}`,
        { model },
      )
    }
    return options.scripted
  }

  return {
    estimate: (request) => portOf(request.model).estimate(request),
    call: (request, onDelta, signal) => portOf(request.model).call(request, onDelta, signal),
  }
}
