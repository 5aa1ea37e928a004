import { expect, test } from 'vitest'
import { defineAgent } from '#lib/core/define'
import { estimateCall, tokensOfText } from '#lib/models/estimate'
import { noUsage } from '#lib/core/run'
import { normaliseUsage } from '#lib/models/usage'
import { requestFor } from '#tests/fake-provider/world'

test('a text is counted by its bytes: what is no Latin has as many tokens as it has letters, and more', () => {
  expect(tokensOfText('x'.repeat(300))).toBe(100)
  expect(tokensOfText('字'.repeat(300))).toBe(300)
  expect(tokensOfText('🙂')).toBe(2)
})

test('the instructions and the prompt that providers put before tools are a part of what a call may use', () => {
  const request = requestFor('compatible/llama', [{ role: 'user', content: 'x' }])
  const inputOf = (change: Partial<typeof request>): number => estimateCall({ ...request, ...change }).inputTokens
  expect(inputOf({ instructions: 'x'.repeat(3_000) }) - inputOf({ instructions: '' })).toBe(1_000)
  const without = defineAgent({ id: 't', model: 'compatible/llama', instructions: '' })
  // The tool of the request is of some 60 tokens; the rest is what the provider says of tools.
  expect(inputOf({}) - inputOf({ definition: without })).toBeGreaterThan(700)
})

test('what a model may think beside its answer is set aside with it, with the shortest answer, too', () => {
  const providerOptions = { anthropic: { thinking: { type: 'enabled', budgetTokens: 2_000 } } }
  const definition = defineAgent({ id: 't', model: 'anthropic/claude-haiku-5-5', instructions: '', settings: { providerOptions } })
  const thinking = requestFor('anthropic/claude-haiku-5-5', [], { definition })
  expect(estimateCall(thinking)).toMatchObject({ outputTokens: 2_500, leastOutputTokens: 2_256 })
  // An answer that may not be as long as the shortest one is not made longer.
  expect(estimateCall({ ...thinking, maxOutputTokens: 20 })).toMatchObject({ outputTokens: 2_020, leastOutputTokens: 2_020 })
})

test('usage: a prompt has at least the tokens that were read from a cache and written to it; what is no number counts nothing', () => {
  const details = { noCacheTokens: undefined, cacheReadTokens: 40, cacheWriteTokens: 30 }
  const told = { inputTokens: 10, outputTokens: 2.5, totalTokens: undefined }
  const never = (): never => {
    throw new Error('nothing was to be estimated')
  }
  const outputTokenDetails = { textTokens: undefined, reasoningTokens: Number.NaN }
  expect(normaliseUsage({ ...told, inputTokenDetails: details, outputTokenDetails }, never)).toEqual({
    ...noUsage,
    inputTokens: 70,
    outputTokens: 3,
    cacheReadTokens: 40,
    cacheWriteTokens: 30,
  })
  expect(normaliseUsage(null, () => ({ inputTokens: 7, outputTokens: 8 }))).toEqual({ ...noUsage, inputTokens: 7, outputTokens: 8 })
})
