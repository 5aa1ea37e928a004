import { reasonOf } from '#lib/core/errors'
import type { Clock } from '#lib/core/ports'

/** The value, or in one line why there was none in `ms`; `error` where it was thrown. */
export async function within<Value>(
  clock: Pick<Clock, 'sleep'>,
  ms: number,
  work: Promise<Value>,
): Promise<{ value: Value } | { why: string; error?: unknown }> {
  const done = new AbortController()
  const late = clock.sleep(ms, done.signal).then(() => ({ why: `no answer within ${ms / 1_000} s` }))
  const answered = work.then(
    (value) => ({ value }),
    (error: unknown) => ({ why: reasonOf(error), error }),
  )
  try {
    return await Promise.race([answered, late])
  } finally {
    done.abort()
  }
}
