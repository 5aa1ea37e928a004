import type { LanguageModelUsage } from 'ai'
import type { Estimate } from '#lib/core/ports'
import type { Usage } from '#lib/core/run'

function tokens(value: number | undefined): number {
  return value === undefined || !Number.isFinite(value) ? 0 : Math.max(0, Math.ceil(value))
}

/**
 * The AI SDK's usage as Baton's: `inputTokens` is the whole prompt, cache reads and writes included, `outputTokens`
 * includes reasoning. What the provider did not count is taken from `estimate` (asked only then), so that nothing is booked as free by mistake.
 */
export function normaliseUsage(usage: LanguageModelUsage | null, estimate: () => Estimate): Usage {
  const cacheReadTokens = tokens(usage?.inputTokenDetails.cacheReadTokens)
  const cacheWriteTokens = tokens(usage?.inputTokenDetails.cacheWriteTokens)
  const input = usage?.inputTokens === undefined ? estimate().inputTokens : tokens(usage.inputTokens)
  const output = usage?.outputTokens === undefined ? estimate().outputTokens : tokens(usage.outputTokens)
  return {
    inputTokens: Math.max(input, cacheReadTokens + cacheWriteTokens),
    outputTokens: output,
    cacheReadTokens,
    cacheWriteTokens,
    reasoningTokens: tokens(usage?.outputTokenDetails.reasoningTokens),
  }
}
