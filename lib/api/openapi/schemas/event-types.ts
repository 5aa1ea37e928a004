import { z } from 'zod'
import { budgetPeriods } from '#lib/core/budget'
import { pendingApproval } from '#lib/api/openapi/schemas/run'
import { callRecord } from '#lib/api/openapi/schemas/tool-call'
import {
  agentStates,
  effects,
  facts,
  failure,
  instant,
  micros,
  runStates,
  stopReasons,
  tokens,
  waitKinds,
} from '#lib/api/openapi/schemas/words'

type Channel = 'progress' | 'control' | 'monitor'
const of = { runId: z.string().nullable(), step: z.int().nullable() }

/** `EventTextEnd` of `text_end`. */
function idOf(type: string): string {
  const words = type.split('_').map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
  return `Event${words.join('')}`
}

function stored<Type extends string, Shape extends z.ZodRawShape>(channel: Channel, type: Type, shape: Shape, description?: string) {
  const seq = z.int().meta({ description: 'Numbered without gaps per agent' })
  return z
    .object({ seq, at: instant, channel: z.literal(channel), type: z.literal(type), ...of, ...shape })
    .meta({ id: idOf(type), ...(description === undefined ? {} : { description }) })
}

function live<Type extends string, Shape extends z.ZodRawShape>(type: Type, shape: Shape, description: string) {
  return z.object({ channel: z.literal('progress'), type: z.literal(type), ...of, ...shape }).meta({ id: idOf(type), description })
}

const part = { text: z.string(), part: z.int() }
const delta = {
  epoch: z.int().optional(),
  attempt: z.int().optional(),
  offset: z.int().meta({ description: 'UTF-16 units' }),
  text: z.string(),
}
const why = { scope: z.string(), reason: z.string(), actor: z.string(), createdAt: instant, mode: z.string() }
const anySwitch = z.object(why).partial().shape

/** Events that a commit wrote: docs/events.md, type by type. */
export const storedTypes = [
  stored('progress', 'text_end', part, 'The whole text'),
  stored('progress', 'reasoning_end', part),
  stored(
    'progress',
    'tool_start',
    { callId: z.string(), name: z.string(), input: z.unknown(), effect: effects, attempt: z.int() },
    'Written before the tool runs',
  ),
  stored('progress', 'tool_end', { call: callRecord }),
  stored(
    'progress',
    'done',
    {
      state: runStates,
      stopReason: stopReasons,
      output: z.string().optional(),
      error: failure.optional(),
      usage: tokens,
      costMicros: micros,
    },
    'The one terminal event of a run',
  ),
  stored('monitor', 'state_changed', {
    state: agentStates,
    runState: runStates.optional(),
    stopReason: stopReasons.optional(),
    waitKind: waitKinds.optional(),
    dueAt: instant.optional(),
  }),
  stored('monitor', 'usage', { ...tokens.shape, costMicros: micros, provider: z.string(), model: z.string() }, 'Of one model call'),
  stored('monitor', 'step_complete', { kind: z.string(), finish: z.string(), toolCalls: z.int() }),
  stored('monitor', 'retry', {
    attempt: z.int(),
    delayMs: z.number(),
    code: z.string(),
    model: z.string(),
    fallback: z.boolean().optional(),
    gate: z.boolean().optional().meta({ description: 'The call has not been tried' }),
  }),
  stored('monitor', 'run_error', { code: z.string(), message: z.string(), details: facts.optional() }),
  stored('monitor', 'hook_failed', { hook: z.string(), stage: z.string(), message: z.string(), callId: z.string().optional() }),
  stored('monitor', 'handed_off', { reason: z.string(), slice: z.int() }),
  stored('monitor', 'resumed', { strategy: z.string(), slice: z.int(), epoch: z.int(), crashes: z.int(), sealed: z.array(z.string()) }),
  stored('monitor', 'message_entered', { messageSeq: z.int(), mode: z.string() }, 'A message that steered a running run'),
  stored('monitor', 'killed', anySwitch, 'The switch that ends the run; done follows'),
  stored('monitor', 'held', anySwitch, 'The run waits until somebody lifts the switch'),
  stored('monitor', 'window_moved', { from: z.int(), tokens: z.int() }, 'The first message that the model still sees'),
  stored('monitor', 'repaired', { code: z.string() }, 'An event of this number was lost; the repair of the agent says so in its place'),
  stored(
    'monitor',
    'budget',
    {
      level: z.int().optional(),
      scope: z.string().optional(),
      period: z.enum(budgetPeriods).optional(),
      limitMicros: micros.nullable().optional(),
      spentMicros: micros.optional(),
      reservedMicros: micros.optional(),
      resetsAt: instant.nullable().optional(),
      resetsInMs: z.number().nullable().optional(),
      limitTokens: z.int().nullable().optional(),
      tokens: z.int().optional(),
      limitCalls: z.int().nullable().optional(),
      calls: z.int().optional(),
      refused: z.boolean().optional(),
      reason: z.string().optional(),
      hard: z.boolean().optional(),
      estimateMicros: micros.nullable().optional(),
      lowered: z.boolean().optional(),
      maxOutputTokens: z.int().optional(),
      overrun: z.boolean().optional(),
      costMicros: micros.optional(),
      model: z.string().optional(),
    },
    'A threshold (level), a refusal (refused), an answer cut to what was left (lowered) or a call that cost more than reserved (overrun)',
  ),
  stored(
    'monitor',
    'custom',
    { toolName: z.string(), callId: z.string(), eventType: z.string(), data: z.unknown() },
    'What a tool emitted',
  ),
  stored('control', 'approval_required', {
    approvalId: z.string(),
    callId: z.string(),
    tool: z.string(),
    input: z.unknown(),
    kind: z.string(),
    reason: z.string().nullable(),
    expiresAt: instant,
  }),
  stored('control', 'approval_decided', {
    approvalId: z.string(),
    callId: z.string(),
    tool: z.string(),
    decision: z.enum(['allow', 'deny']).nullable(),
    state: z.string(),
    decidedBy: z.string().nullable(),
    note: z.string().nullable(),
    edited: z.boolean().optional(),
  }),
] as const

const blocked = z
  .object({
    channel: z.literal('control'),
    type: z.literal('blocked'),
    ...of,
    blockedBy: z.enum(['approvals', 'external', 'hold']),
    blockingRunId: z.string(),
    approvals: z.array(pendingApproval),
  })
  .meta({ id: 'EventBlocked', description: 'The run waits behind one that is paused; the stream that its message opened ends after it' })

/** Text on its way, gone once its end is stored; and what is true only now. */
export const liveTypes = [
  blocked,
  live('text_start', {}, 'The model begins to write'),
  live('reasoning_start', {}, 'The model begins to think'),
  live('text_delta', delta, 'Text on its way'),
  live('reasoning_delta', delta, 'Thoughts on their way'),
  live('step_reset', {}, 'What was shown of this step is void: it is repeated'),
] as const
