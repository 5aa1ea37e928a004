import { ProviderError } from '#lib/core/errors'

/** Aborts a model call that says nothing for too long. */
export interface SilenceGuard {
  signal: AbortSignal
  /** The provider has been heard: the wait for the next piece begins. */
  heard(): void
  stop(): void
}

/**
 * Waits `firstChunkMs` from now for the first piece and `chunkMs` for each later one, then aborts with ProviderError
 * `provider_timeout`. The AI SDK's own `timeout` begins only when the provider's first bytes are there, so it never ends
 * a call whose provider takes the request and says nothing.
 */
export function silenceGuard(timeouts: { firstChunkMs: number; chunkMs: number }, model: string): SilenceGuard {
  const controller = new AbortController()
  let timer = arm(timeouts.firstChunkMs, 'no answer')
  function arm(milliseconds: number, what: string): NodeJS.Timeout {
    return setTimeout(
      () => controller.abort(new ProviderError('provider_timeout', `${model}: ${what} for ${milliseconds} ms`)),
      milliseconds,
    )
  }
  return {
    signal: controller.signal,
    heard() {
      clearTimeout(timer)
      timer = arm(timeouts.chunkMs, 'nothing more')
    },
    stop() {
      clearTimeout(timer)
    },
  }
}
