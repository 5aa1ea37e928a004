import type { OperationsStore } from '#lib/core/operations'
import { again } from '#lib/store/again'

/** The part of the store for those who operate a deployment, over the same call. */
export function operationsStore(call: <Answer>(name: string, argument: object) => Promise<Answer>): OperationsStore {
  return {
    prune: (request) => call('prune', request),
    getRetention: (authority) => call('get_retention', authority),
    setRetention: (authority, values) => again(() => call('set_retention', { ...authority, values })),
    erase: (authority, of) => again(() => call('erase', { ...authority, ...of })),
    exportPage: (authority, of) => call('export_page', { ...authority, ...of }),
    consistency: (authority, agent) => call('consistency', { ...authority, agent }),
    repairAgent: (authority, agent) => again(() => call('repair_agent', { ...authority, agent })),
    stats: (authority, range) => call('stats', { ...authority, ...range }),
    fsck: (request) => call('fsck', request),
    doctor: (request) => call('doctor', request),
    async answerProbe(request) {
      await call('answer_probe', request)
    },
  }
}
