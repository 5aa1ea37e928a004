import { createAgent, deleteAgent, getAgent, listAgents, patchAgent } from '#lib/api/agents'
import { json, nothing, operation, page, type Resource } from '#lib/api/openapi/describe'
import { agent, agentWithCost, exampleAgent, exampleAgentLinks } from '#lib/api/openapi/schemas/agent'

const created = json(agent, 'The agent was made', exampleAgent, ['Location'])

/** Agents: names with a template, a conversation and a queue. */
export const agents: Resource = {
  tag: 'Agents',
  description: 'An agent is a name with a template, a conversation and a queue of runs.',
  operations: {
    createAgent: operation(
      createAgent,
      { 201: created, 200: json(agent, 'It exists with the same body', exampleAgent, ['Location', 'Idempotent-Replayed']) },
      {
        problems: [
          'template_unknown',
          'agent_not_found',
          'conflict',
          'invalid_agent_id',
          'override_refused',
          'webhook_refused',
          'authority_expired',
          'killed',
          'idempotency_mismatch',
        ],
        headers: ['Idempotency-Key'],
        example: { id: 'support-4711', template: 'support', metadata: { customer: 'c_4711' } },
      },
    ),
    listAgents: operation(
      listAgents,
      { 200: page('AgentPage', agent, 'Agents, oldest first unless order=desc', exampleAgent) },
      {
        prefixed: {
          prefix: 'metadata.',
          description:
            'Also filtered by metadata: `metadata.KEY=value`, several at once. In a generated client a member of this object, under its whole name: `{"metadata.customer": "c_4711"}`. Values are compared as text: `metadata.n=1` finds 1 and "1", `metadata.vip=true` finds true.',
        },
      },
    ),
    getAgent: operation(
      getAgent,
      {
        200: json(agentWithCost, 'The agent', { ...exampleAgent, runs: 4, costMicros: 7_224, costUsd: 0.007224, links: exampleAgentLinks }),
      },
      { problems: ['agent_not_found'] },
    ),
    patchAgent: operation(
      patchAgent,
      { 200: json(agent, 'The agent as it is now', exampleAgent) },
      {
        problems: ['agent_not_found', 'webhook_refused'],
        example: { metadata: { customer: 'c_4711', tier: 'gold' } },
        description:
          'The webhook takes the right agents:read beside agents:run. Without it the answer says which agent it is and what was sent; the rest is empty, null or 0.',
      },
    ),
    deleteAgent: operation(
      deleteAgent,
      { 204: nothing('The agent is gone') },
      {
        problems: ['agent_not_found'],
        description:
          'Complete and at once. Open runs end without a webhook, and deliveries of the agent that still wait are dropped: cancel the runs and wait for the deliveries first where a receiver must hear of the end. A late repeat of a message under its Idempotency-Key is 404 and makes no agent anew.',
      },
    ),
  },
}
