import { z } from 'zod'

/**
 * What a schema of a template says of a value. Never rejects, unlike `safeParseAsync`: what a refine or transform throws is told as the
 * reason why the value does not fit.
 */
export async function parseSafely(schema: z.ZodType, value: unknown): Promise<z.ZodSafeParseResult<unknown>> {
  try {
    return await schema.safeParseAsync(value)
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : 'its schema failed'
    return { success: false, error: new z.ZodError([{ code: 'custom', path: [], message }]) }
  }
}
