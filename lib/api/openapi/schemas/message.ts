import { z } from 'zod'
import { exampleIds, exampleTokens, instant, micros, runStates, stopReasons, tokens } from '#lib/api/openapi/schemas/words'
import { exampleAsked, exampleLinks, externalCall, links, pendingApproval } from '#lib/api/openapi/schemas/run'

const about = {
  agentId: z.string(),
  runId: z.string(),
  run: z.object({ id: z.string(), state: runStates }),
  usage: tokens,
  costMicros: micros,
  lastSeq: z.int(),
}

/** The run has ended well. */
export const done = z
  .object({ status: z.literal('done'), output: z.string(), ...about, stopReason: stopReasons, costUsd: z.number() })
  .meta({ id: 'Done' })

/** The run goes on elsewhere, or waits for its turn. */
export const processing = z
  .object({
    status: z.literal('processing'),
    ...about,
    links,
    blockedBy: z.enum(['approvals', 'external', 'hold']).optional().meta({ description: 'The agent is paused before this run' }),
    blockingRunId: z.string().optional(),
    approvals: z.array(pendingApproval).optional(),
  })
  .meta({ id: 'Processing' })

/** A person or the outside must answer. */
export const paused = z
  .object({
    status: z.literal('paused'),
    approvals: z.array(pendingApproval),
    externalCalls: z.array(externalCall),
    ...about,
    links,
  })
  .meta({ id: 'Paused' })

/** 202: it goes on, or waits for somebody. */
export const open = z.discriminatedUnion('status', [processing, paused])

const role = z.enum(['system', 'user', 'assistant', 'tool'])
const content = z.unknown().meta({ description: 'Text, or content parts in the form of the AI SDK (ModelMessage)' })

/** A message of the conversation. */
export const enteredMessage = z
  .object({
    seq: z.int(),
    runId: z.string().nullable(),
    role,
    kind: z.string(),
    content,
    at: instant,
    state: z.literal('entered'),
  })
  .meta({ id: 'Message' })

/** A message that waits for its turn: it has no number yet. */
export const queuedMessage = z
  .object({
    runId: z.string(),
    role: z.literal('user'),
    kind: z.string(),
    mode: z.string(),
    state: z.literal('queued'),
    content,
    at: instant,
  })
  .meta({ id: 'QueuedMessage' })

/** One or the other. */
export const message = z.discriminatedUnion('state', [enteredMessage, queuedMessage])

const { agentId, runId } = exampleIds
const exampleAbout = { agentId, runId, usage: exampleTokens, costMicros: 1_806, lastSeq: 31 }

/** The good end of the examples. */
export const exampleDone: z.input<typeof done> = {
  status: 'done',
  output: 'Your order leaves tomorrow.',
  ...exampleAbout,
  run: { id: runId, state: 'completed' },
  stopReason: 'end_turn',
  costUsd: 0.001806,
}
/** The paused run of the examples. */
export const examplePaused: z.input<typeof paused> = {
  status: 'paused',
  approvals: [exampleAsked],
  externalCalls: [],
  ...exampleAbout,
  run: { id: runId, state: 'awaiting_approval' },
  links: exampleLinks,
}
/** The run of the examples that goes on. */
export const exampleProcessing: z.input<typeof processing> = {
  status: 'processing',
  ...exampleAbout,
  run: { id: runId, state: 'running' },
  links: exampleLinks,
}
/** The conversation of the examples. */
export const exampleMessages: z.input<typeof message>[] = [
  { seq: 1, runId, role: 'user', kind: 'message', content: 'Where is my order?', at: exampleIds.at, state: 'entered' },
  {
    seq: 2,
    runId,
    role: 'assistant',
    kind: 'message',
    content: [{ type: 'text', text: 'Your order leaves tomorrow.' }],
    at: exampleIds.later,
    state: 'entered',
  },
]
