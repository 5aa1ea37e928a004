import { explainFinding } from '#lib/core/consistency'
import type { Finding } from '#lib/core/operations'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { agentParams } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { refusalError } from '#lib/engine/open'

const explained = (findings: readonly Finding[]) => findings.map((finding) => ({ ...finding, ...explainFinding(finding.code) }))

/** GET /api/agents/{id}/consistency: what does not fit between the rows of one agent; looks and changes nothing. */
export const getConsistency = endpoint({
  method: 'GET',
  path: '/api/agents/{id}/consistency',
  summary: 'Whether the rows of an agent fit together',
  params: agentParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.consistency(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    const { agentId, agentUid, findings, repairs, now: checkedAt } = answer
    return json(200, { agentId, agentUid, consistent: findings.length === 0, findings: explained(findings), repairs, checkedAt })
  },
})

/** POST /api/agents/{id}/repair: mends what the consistency check finds; 409 while the agent is at work. */
export const repairAgent = endpoint({
  method: 'POST',
  path: '/api/agents/{id}/repair',
  summary: 'Repair the rows of an agent',
  params: agentParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.repairAgent(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    const { agentId, agentUid, findings, repaired, left } = answer
    return json(200, { agentId, agentUid, findings: explained(findings), repaired: repaired.length, left: explained(left) })
  },
})
