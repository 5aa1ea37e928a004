import { z } from 'zod'
import { approvalStates } from '#lib/core/approvals'
import { run } from '#lib/api/openapi/schemas/run'
import { callStates, effects, exampleIds, instant } from '#lib/api/openapi/schemas/words'

const output = z
  .object({ type: z.enum(['text', 'json', 'error-text', 'error-json']), value: z.unknown() })
  .meta({ id: 'ToolOutput', description: 'What the model sees, in the form of the AI SDK' })

const shape = {
  callId: z.string(),
  runId: z.string(),
  step: z.int(),
  index: z.int().meta({ description: 'The place within its answer' }),
  name: z.string(),
  input: z.unknown(),
  effect: effects,
  state: callStates,
  output: output.nullable(),
  attempts: z.int(),
  epoch: z.int().nullable(),
  idempotencyKey: z.string(),
  isError: z.boolean(),
  approval: z.object({ id: z.string(), by: z.string(), inputHash: z.string(), fingerprint: z.string() }).nullable(),
  startedAt: instant.nullable(),
  endedAt: instant.nullable(),
  durationMs: z.number().nullable(),
  auditTrail: z.array(z.looseObject({})).meta({ description: 'Each change of state with its instant' }),
}

/** The record of a tool call, as events carry it. */
export const callRecord = z.object(shape).meta({ id: 'ToolCallRecord' })

/** The record of a tool call, as it is listed. */
export const toolCall = z
  .object({ ...shape, callbackUrl: z.string().optional().meta({ description: 'Of a call that waits outside: where its result is sent' }) })
  .meta({ id: 'ToolCall' })

/** What the giver of a result is told. */
export const callResult = z.object({ callId: z.string(), state: callStates, runId: z.string() }).meta({ id: 'ToolCallResult' })

const approvalShape = {
  id: z.string(),
  state: z.enum(approvalStates),
  kind: z.enum(['permission', 'unknown_outcome']),
  agentId: z.string(),
  agentUid: z.string().meta({ format: 'uuid' }),
  template: z.string(),
  userId: z.string().nullable(),
  runId: z.string(),
  callId: z.string(),
  tool: z.string(),
  input: z.unknown(),
  editedInput: z.unknown(),
  reason: z.string().nullable(),
  defaultDecision: z.enum(['allow', 'deny']).meta({ description: 'What holds when nobody decides in time' }),
  expiresAt: instant,
  decidedBy: z.string().nullable(),
  decidedAt: instant.nullable(),
  note: z.string().nullable(),
  createdAt: instant,
}

/** An approval as callers see it. */
export const approval = z.object(approvalShape).meta({ id: 'Approval' })

/** A decision that counts. */
export const decided = z
  .object({ ...approvalShape, replayed: z.boolean().meta({ description: 'True where it had been decided so before' }), run })
  .meta({ id: 'DecidedApproval' })

const { agentId, agentUid, approvalId, at, callId, later, runId } = exampleIds

/** The tool call of the examples. */
export const exampleCall: z.input<typeof toolCall> = {
  callId,
  runId,
  step: 1,
  index: 0,
  name: 'refund',
  input: { order: 'o_9', cents: 1_200 },
  effect: 'once',
  state: 'completed',
  output: { type: 'json', value: { refunded: true } },
  attempts: 1,
  epoch: 7,
  idempotencyKey: 'idem_01936f1e5c107a52a4e1d3b2c1f05678',
  isError: false,
  approval: null,
  startedAt: at,
  endedAt: later,
  durationMs: 310,
  auditTrail: [
    { at, state: 'executing' },
    { at: later, state: 'completed' },
  ],
}

/** The approval of the examples. */
export const exampleApproval: z.input<typeof approval> = {
  id: approvalId,
  state: 'pending',
  kind: 'permission',
  agentId,
  agentUid,
  template: 'support',
  userId: null,
  runId,
  callId,
  tool: 'refund',
  input: { order: 'o_9', cents: 1_200 },
  editedInput: null,
  reason: 'the template asks about refund',
  defaultDecision: 'deny',
  expiresAt: '2026-11-28T09:30:02.481+00:00',
  decidedBy: null,
  decidedAt: null,
  note: null,
  createdAt: later,
}
