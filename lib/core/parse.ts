import { z } from 'zod'

/**
 * The most that a schema may take, in milliseconds. No stop reaches into a schema, so this stays below the margin before a function's end
 * (BATON_HARD_MARGIN_MS, 5 s by default) and the grace of SIGTERM: a run that waits for one is still released.
 */
export const longestParseMs = 3_000

const refusal = (message: string): z.ZodSafeParseError<unknown> => ({
  success: false,
  error: new z.ZodError([{ code: 'custom', path: [], message }]),
})

/**
 * What a schema of a template says of a value. Never rejects and always ends, unlike `safeParseAsync`: what a refine or transform throws,
 * and that it has not answered in {@link longestParseMs}, is told as the reason why the value does not fit.
 */
export async function parseSafely(schema: z.ZodType, value: unknown): Promise<z.ZodSafeParseResult<unknown>> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<z.ZodSafeParseError<unknown>>((resolve) => {
    timer = setTimeout(() => resolve(refusal(`its schema did not answer within ${longestParseMs} ms`)), longestParseMs)
  })
  try {
    return await Promise.race([schema.safeParseAsync(value), late])
  } catch (thrown) {
    return refusal(thrown instanceof Error ? thrown.message : 'its schema failed')
  } finally {
    clearTimeout(timer)
  }
}
