import { BatonError } from '#lib/core/errors'

/** A reply that was lost is asked for once more under the same ids (invariant 3). */
export async function again<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof BatonError) || error.code !== 'database_unavailable') throw error
    return ask()
  }
}
