import type { Experimental_DownloadFunction } from 'ai'
import { ProviderError } from '#lib/core/errors'

/**
 * What the AI SDK asks for the files of one call that lie at an address: nothing is fetched by this process (3-http-api). Those of the
 * prompt are left to the provider; rejects with ProviderError bad_request where it does not fetch their kind.
 */
export function leftToProvider(provider: string): Experimental_DownloadFunction {
  let isPromptAsked = false
  return async (files) => {
    // Once about the prompt, before the provider is asked. After that only about files that the model has made, which Baton drops.
    if (isPromptAsked) return files.map(() => ({ data: new Uint8Array(), mediaType: undefined }))
    isPromptAsked = true
    return files.map(({ url, isUrlSupportedByModel }) => {
      if (isUrlSupportedByModel) return null
      const message = `${provider} does not fetch files of this kind (${url.host}): send it as a data URL.`
      // As a provider that refuses: it costs nothing, and a 400 might mean that the prompt is too long.
      throw new ProviderError('bad_request', message, { status: 422 })
    })
  }
}
