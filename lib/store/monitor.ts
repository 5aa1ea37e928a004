import type { MonitorStore } from '#lib/core/monitor-store'

/** The part of the store for those who watch, over the same call. */
export function monitorStore(call: <Answer>(name: string, argument: object) => Promise<Answer>): MonitorStore {
  return {
    health: (request) => call('health', request),
    async addMetrics(request) {
      await call('add_metrics', request)
    },
    readMetrics: (authority, ownTenant) => call('read_metrics', { ...authority, ownTenant }),
    tellHealth: (request) => call('tell_health', request),
    async alertsTold(request) {
      await call('alerts_told', request)
    },
  }
}
