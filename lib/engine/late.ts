import { BatonError } from '#lib/core/errors'
import type { EngineStore } from '#lib/core/store'

/**
 * Books what a call really cost after the lease was lost (invariant 9). Asked again while others hold the rows: it is booked once under its own id,
 * and nobody else knows what it was. Throws BatonError as the store does.
 */
export async function settleLate(
  store: Pick<EngineStore, 'settle'>,
  request: Parameters<EngineStore['settle']>[0],
  more = 2,
): Promise<void> {
  try {
    await store.settle(request)
  } catch (error) {
    if (more === 0 || !(error instanceof BatonError && error.code === 'idempotency_busy')) throw error
    await settleLate(store, request, more - 1)
  }
}
