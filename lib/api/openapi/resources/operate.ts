import { getConsistency, repairAgent } from '#lib/api/consistency'
import { deleteTenant, deleteUser } from '#lib/api/erase'
import { getExport } from '#lib/api/export'
import { json, operation, type Answer, type Resource } from '#lib/api/openapi/describe'
import {
  consistency,
  erased,
  exampleConsistency,
  exampleRepair,
  exampleRetention,
  exampleStats,
  exportLine,
  repair,
  retention,
  stats,
} from '#lib/api/openapi/schemas/operate'
import { getRetention, putRetention } from '#lib/api/retention'
import { getStats } from '#lib/api/stats'

const kept = json(retention, 'How long rows are kept', exampleRetention)
const user = 'user:018f3c1e-6a70-7c3b-9d0e-3f6c1f6f2a11'
const unheard = 'Open runs end without a webhook, and deliveries of the agents that still wait are dropped.'
const gone = {
  200: json(erased, 'All of it is gone', { scope: user, deleted: true, agents: 3, more: false }),
  202: json(erased, 'There is more: send the same request again', { scope: user, deleted: false, agents: 500, more: true }, [
    'Retry-After',
  ]),
}
const lines: Answer = {
  description: 'One line each; the last has the type `end`',
  content: { 'application/x-ndjson': { schema: exportLine, example: { type: 'agent', agentId: 'support-4711', data: {} } } },
  headers: [],
}

/** Operate: whether rows fit together, how long they are kept, how they leave. */
export const operate: Resource = {
  tag: 'Operate',
  description: 'Consistency and repair, retention, export, deletion, numbers (docs/runbook.md).',
  operations: {
    getConsistency: operation(
      getConsistency,
      { 200: json(consistency, 'What was found; nothing is changed', exampleConsistency) },
      { problems: ['agent_not_found'] },
    ),
    repairAgent: operation(
      repairAgent,
      { 200: json(repair, 'What was mended', exampleRepair) },
      { problems: ['agent_not_found', 'agent_busy'] },
    ),
    getStats: operation(getStats, { 200: json(stats, 'Numbers of the range', exampleStats) }),
    getRetention: operation(getRetention, { 200: kept }),
    putRetention: operation(putRetention, { 200: kept }, { example: { eventDays: 30 } }),
    getExport: operation(getExport, { 200: lines }, { problems: ['agent_not_found'] }),
    deleteUser: operation(deleteUser, gone, { description: unheard }),
    deleteTenant: operation(deleteTenant, gone, { problems: ['conflict'], description: unheard }),
  },
}
