/** Retries of a model call: 3 after the first try, 1 s to 60 s, jitter 0.2, never below what the provider asked for (2-run-contract, Retries). */
export const maxRetries = 3
const baseDelayMs = 1_000
/** No retry waits longer of itself, in milliseconds. */
export const maxRetryMs = 60_000
/** Waits are spread by this part of their length. */
export const jitter = 0.2

/** Milliseconds before retry number `retry` (1 is the first); `random` in 0..1, `haste` divides (1 in production). */
export function retryDelayMs(retry: number, random: number, retryAfterMs: number | null, haste: number): number {
  const plain = Math.min(maxRetryMs, baseDelayMs * 2 ** (retry - 1)) / haste
  const spread = plain * (1 - jitter + 2 * jitter * random)
  return Math.ceil(retryAfterMs === null ? spread : Math.max(retryAfterMs * (1 + jitter * random), spread))
}
