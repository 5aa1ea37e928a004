/** No provider's word is believed for longer than this. */
const longestMs = 24 * 60 * 60 * 1000

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads `1h2m3.5s` or `20ms`; null for anything else. */
function durationMs(text: string): number | null {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) return null
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(amount) * (unitsMs[unit ?? ''] ?? 0)
  return total
}

/** Reads plain seconds, a duration or a date; null for anything else. */
function delayMs(value: string | undefined, now: number): number | null {
  const text = value?.trim() ?? ''
  if (text === '') return null
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000
  const duration = durationMs(text)
  if (duration !== null) return duration
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : date - now
}

/** Both providers say when each allowance is full again; OpenAI as a duration, Anthropic as a date. */
const allowances = [
  ['x-ratelimit-remaining-requests', 'x-ratelimit-reset-requests'],
  ['x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens'],
  ['anthropic-ratelimit-requests-remaining', 'anthropic-ratelimit-requests-reset'],
  ['anthropic-ratelimit-tokens-remaining', 'anthropic-ratelimit-tokens-reset'],
  ['anthropic-ratelimit-input-tokens-remaining', 'anthropic-ratelimit-input-tokens-reset'],
  ['anthropic-ratelimit-output-tokens-remaining', 'anthropic-ratelimit-output-tokens-reset'],
] as const

/**
 * How long the provider asks us to wait, in milliseconds (0 to one day), or null when it does not say. `retry-after-ms` is
 * read first, then `retry-after` (seconds or an HTTP date), then, for a 429 only, the reset of the allowances that are used up.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>, status: number | null, now: number): number | null {
  const precise = headers['retry-after-ms']?.trim() ?? ''
  if (/^\d+(?:\.\d+)?$/.test(precise)) return bounded(Number(precise))
  const plain = delayMs(headers['retry-after'], now)
  if (plain !== null) return bounded(plain)
  if (status !== 429) return null
  const waits = allowances.flatMap(([remaining, reset]) => {
    const wait = Number(headers[remaining] ?? '0') > 0 ? null : delayMs(headers[reset], now)
    return wait === null ? [] : [wait]
  })
  return waits.length === 0 ? null : bounded(Math.max(...waits))
}

function bounded(milliseconds: number): number {
  return Math.min(longestMs, Math.max(0, Math.ceil(milliseconds)))
}
