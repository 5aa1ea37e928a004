import { z } from 'zod'
import { overrides } from '#lib/core/overrides'
import { agentStates, exampleIds, facts, instant, micros } from '#lib/api/openapi/schemas/words'

const shape = {
  id: z.string().meta({ description: 'The name that the caller chose' }),
  agentUid: z.string().meta({ format: 'uuid', description: 'Never used again, also when the name is' }),
  template: z.string(),
  templateVersion: z.string(),
  model: z.string(),
  state: agentStates,
  steps: z.int(),
  queued: z.int().meta({ description: 'Runs that wait for their turn' }),
  activeRunId: z.string().nullable(),
  metadata: facts,
  overrides: overrides.meta({ description: 'What the agent was narrowed by when it was made' }),
  expiresAt: instant.nullable(),
  alwaysAllowed: z.array(z.string()).meta({ description: 'Tools that a person has allowed for good' }),
  webhook: z.object({ url: z.string() }).nullable(),
  userId: z.string().nullable(),
  messages: z.int(),
  lastSeq: z.int().meta({ description: 'The number of the last event' }),
  windowFrom: z.int(),
  windowTokens: z.int(),
  createdAt: instant,
  updatedAt: instant,
}

/** An agent as callers see it. */
export const agent = z.object(shape).meta({ id: 'Agent' })

const links = z
  .object({
    agent: z.string(),
    events: z.string().meta({ description: 'With a read-only token, good for 15 minutes, for browsers that cannot send headers' }),
  })
  .meta({ id: 'AgentLinks' })

/** An agent with what all its runs have cost. */
export const agentWithCost = z
  .object({ ...shape, runs: z.int(), costMicros: micros, costUsd: z.number(), links })
  .meta({ id: 'AgentWithCost' })

/** The agent of the examples. */
export const exampleAgent: z.input<typeof agent> = {
  id: exampleIds.agentId,
  agentUid: exampleIds.agentUid,
  template: 'support',
  templateVersion: '3f1c9a20',
  model: 'anthropic/claude-sonnet-4-5',
  state: 'ready',
  steps: 4,
  queued: 0,
  activeRunId: null,
  metadata: { customer: 'c_4711' },
  overrides: {},
  expiresAt: null,
  alwaysAllowed: [],
  webhook: null,
  userId: null,
  messages: 8,
  lastSeq: 31,
  windowFrom: 1,
  windowTokens: 1_250,
  createdAt: exampleIds.at,
  updatedAt: exampleIds.later,
}

/** The links of the examples. */
export const exampleAgentLinks: z.input<typeof links> = {
  agent: `/api/agents/${exampleIds.agentId}`,
  events: `/api/agents/${exampleIds.agentId}/events?token=eyJhbGciOi...`,
}
