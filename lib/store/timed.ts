import type { Clock, Metrics } from '#lib/core/ports'
import type { Rpc } from '#lib/store/rpc'

/** The call that tells of all calls tells nothing of itself: it would never end. */
const untold = 'baton_add_metrics'

/** The same door, with each call's duration and failures counted by its name. */
export function timedRpc(rpc: Rpc, metrics: Pick<Metrics, 'count' | 'observe'>, clock: Pick<Clock, 'monotonic'>): Rpc {
  return async (name, argument) => {
    if (name === untold) return rpc(name, argument)
    const call = name.replace(/^baton_/, '')
    const from = clock.monotonic()
    try {
      return await rpc(name, argument)
    } catch (error) {
      metrics.count('baton_store_errors_total', { call })
      throw error
    } finally {
      metrics.observe('baton_store_duration_seconds', { call }, (clock.monotonic() - from) / 1_000)
    }
  }
}
