import type { Estimate, Price } from '#lib/core/ports'
import type { Usage } from '#lib/core/run'
import type { Reservation } from '#lib/core/commit'

/**
 * A price list entry. `longPrompt` replaces the whole price, output included, when the prompt of a call
 * (cache reads and writes counted) has more than `aboveInputTokens` tokens.
 */
export interface ModelPrice extends Price {
  longPrompt?: Price & { aboveInputTokens: number }
}

/** Dollars per million tokens, as price pages print them. */
export interface DollarPrice {
  input: number
  output: number
  cacheRead?: number
  cacheWrite?: number
}

/** The price that applies to a prompt of so many tokens. */
function tier(price: ModelPrice, inputTokens: number): Price {
  return price.longPrompt !== undefined && inputTokens > price.longPrompt.aboveInputTokens ? price.longPrompt : price
}

/** Rounds a sum of tokens times micro-dollars-per-million up to whole micro-dollars: Baton never books less than it spent. */
function toMicros(millionths: number): number {
  return Math.ceil(millionths / 1_000_000)
}

/**
 * What a call cost, in whole micro-dollars, rounded up; null when the price is unknown (the caller refuses such a model).
 * `usage.inputTokens` counts every token of the prompt: cache reads and writes are parts of it and are priced apart;
 * `usage.outputTokens` includes reasoning. A cache price that is not given is the input price.
 */
export function costMicros(usage: Usage, price: ModelPrice | null): number | null {
  if (price === null) return null
  const at = tier(price, usage.inputTokens)
  const fresh = Math.max(0, usage.inputTokens - usage.cacheReadTokens - usage.cacheWriteTokens)
  return toMicros(
    fresh * at.inputMicrosPerMillion +
      usage.cacheReadTokens * (at.cacheReadMicrosPerMillion ?? at.inputMicrosPerMillion) +
      usage.cacheWriteTokens * (at.cacheWriteMicrosPerMillion ?? at.inputMicrosPerMillion) +
      usage.outputTokens * at.outputMicrosPerMillion,
  )
}

/** The dearest a prompt token can be: writing a cache may cost more than plain input. */
function dearestInput(price: Price): number {
  return Math.max(price.inputMicrosPerMillion, price.cacheReadMicrosPerMillion ?? 0, price.cacheWriteMicrosPerMillion ?? 0)
}

/** The most a call of this estimate can cost, in whole micro-dollars, rounded up: what is reserved. Null when the price is unknown. */
export function worstCaseMicros(estimate: Estimate, price: ModelPrice | null): number | null {
  if (price === null) return null
  const at = tier(price, estimate.inputTokens)
  return toMicros(estimate.inputTokens * dearestInput(at) + estimate.outputTokens * at.outputMicrosPerMillion)
}

/**
 * The reservation of a call: its worst case, and the least that it can be made with where its output can be cut. Null when the price
 * is unknown.
 */
export function reservationOf(estimate: Estimate, price: ModelPrice | null): Pick<Reservation, 'micros' | 'tokens' | 'least'> | null {
  const micros = worstCaseMicros(estimate, price)
  if (micros === null) return null
  const { inputTokens, outputTokens, leastOutputTokens: least } = estimate
  const tokens = inputTokens + outputTokens
  if (least === undefined || least >= outputTokens) return { micros, tokens }
  return {
    micros,
    tokens,
    least: { micros: worstCaseMicros({ inputTokens, outputTokens: least }, price) ?? 0, tokens: inputTokens + least },
  }
}

/** Providers refuse a limit below this. */
const fewestOutputTokens = 16

/** How many output tokens a call may ask for so that it costs at most what was granted; `maxOutputTokens` is what it would ask for. */
export function outputWithin(
  granted: { micros: number; tokens: number },
  estimate: Estimate,
  price: ModelPrice | null,
  maxOutputTokens: number,
): number {
  if (price === null) return maxOutputTokens
  const at = tier(price, estimate.inputTokens)
  const left = granted.micros * 1_000_000 - estimate.inputTokens * dearestInput(at)
  const byMoney = at.outputMicrosPerMillion === 0 ? estimate.outputTokens : Math.floor(left / at.outputMicrosPerMillion)
  const output = Math.min(estimate.outputTokens, byMoney, granted.tokens - estimate.inputTokens)
  return Math.max(fewestOutputTokens, maxOutputTokens - (estimate.outputTokens - output))
}

/** Why a model without a price is not called, with the line to add. */
export function priceUnknown(model: string): string {
  const slash = model.indexOf('/')
  const [provider, id] = slash < 0 ? [model, ''] : [model.slice(0, slash), model.slice(slash + 1)]
  return `No price is known for ${model}, so it was not called and nothing was spent. Add to the prices of ${provider} in lib/providers.ts, with the provider's dollars per million tokens: '${id}': dollars({ input: 0.00, output: 0.00 }), or set BATON_PRICE_CEILING.`
}

/**
 * A flat price that is never below the real one for prompts of at most `maxInputTokens`: for the agent row, where SQL
 * multiplies alone. Null when the price is unknown.
 */
export function reservationPrice(
  price: ModelPrice | null,
  maxInputTokens: number,
): { inputMicrosPerMillion: number; outputMicrosPerMillion: number } | null {
  if (price === null) return null
  const at = tier(price, maxInputTokens)
  return { inputMicrosPerMillion: dearestInput(at), outputMicrosPerMillion: at.outputMicrosPerMillion }
}

function fromDollars(price: DollarPrice): Price {
  const micros = (dollars: number): number => Math.round(dollars * 1_000_000)
  return {
    inputMicrosPerMillion: micros(price.input),
    outputMicrosPerMillion: micros(price.output),
    ...(price.cacheRead === undefined ? {} : { cacheReadMicrosPerMillion: micros(price.cacheRead) }),
    ...(price.cacheWrite === undefined ? {} : { cacheWriteMicrosPerMillion: micros(price.cacheWrite) }),
  }
}

/** Writes a price as price pages do: dollars per million tokens, with a second price for long prompts where there is one. */
export function dollars(price: DollarPrice, longPrompt?: DollarPrice & { aboveInputTokens: number }): ModelPrice {
  if (longPrompt === undefined) return fromDollars(price)
  return { ...fromDollars(price), longPrompt: { ...fromDollars(longPrompt), aboveInputTokens: longPrompt.aboveInputTokens } }
}

/** A model that costs nothing, such as one that you host yourself. */
export const free: ModelPrice = { inputMicrosPerMillion: 0, outputMicrosPerMillion: 0 }
