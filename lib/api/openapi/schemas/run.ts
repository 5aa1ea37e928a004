import { z } from 'zod'
import { overrides } from '#lib/core/overrides'
import {
  exampleIds,
  exampleTokens,
  facts,
  failure,
  instant,
  micros,
  runStates,
  stopReasons,
  tokens,
  waitKinds,
} from '#lib/api/openapi/schemas/words'

const shape = {
  id: z.string(),
  agentId: z.string(),
  agentUid: z.string().meta({ format: 'uuid' }),
  state: runStates,
  stopReason: stopReasons.nullable(),
  cause: z.string(),
  retryOf: z.string().nullable(),
  wait: z.object({ kind: waitKinds, dueAt: instant.nullable() }).nullable(),
  dueAt: instant.nullable(),
  step: z.int(),
  modelCalls: z.int(),
  toolCalls: z.int(),
  attempt: z.int(),
  crashes: z.int(),
  slices: z.int().meta({ description: 'How often an executor has taken the run up' }),
  workMs: z.int(),
  limits: z.record(z.string(), z.int()),
  overrides,
  expiresAt: instant.nullable(),
  metadata: facts,
  usage: tokens,
  costMicros: micros,
  reservedMicros: micros,
  costUsd: z.number(),
  template: z.string(),
  templateVersionOpened: z.string().nullable(),
  templateVersionLast: z.string().nullable(),
  output: z.string().nullable(),
  error: failure.nullable(),
  stopRequested: z.string().nullable(),
  stopNote: z.string().nullable(),
  lease: z.object({ owner: z.string(), epoch: z.int(), until: instant, live: z.boolean() }).nullable(),
  firstSeq: z.int().nullable(),
  lastSeq: z.int(),
  createdAt: instant,
  startedAt: instant.nullable(),
  endedAt: instant.nullable(),
  updatedAt: instant,
}

/** A run as callers see it. */
export const run = z.object(shape).meta({ id: 'Run' })

/** Where to follow a run. */
export const links = z
  .object({
    run: z.string(),
    events: z.string().meta({ description: 'With a read-only token, good for 15 minutes, for browsers that cannot send headers' }),
  })
  .meta({ id: 'RunLinks' })

/** What a paused run asks a person. */
export const pendingApproval = z
  .object({
    id: z.string(),
    callId: z.string(),
    tool: z.string(),
    input: z.unknown(),
    kind: z.enum(['permission', 'unknown_outcome']),
    reason: z.string().nullable(),
    expiresAt: instant,
  })
  .meta({ id: 'PendingApproval' })

/** What a paused run asks the outside. */
export const externalCall = z
  .object({
    callId: z.string(),
    tool: z.string(),
    input: z.unknown(),
    expiresAt: instant,
    callbackUrl: z.string().meta({ description: 'Where the result is sent: signed, good for one result' }),
  })
  .meta({ id: 'ExternalCall' })

const attempt = z.looseObject({ at: instant, attempt: z.int(), status: z.int().nullable(), error: z.string().nullable() })

/** One run with what explains where it stands. */
export const runDetails = z
  .object({
    ...shape,
    queuePosition: z.int().optional().meta({ description: 'Of a queued run' }),
    approvals: z.array(pendingApproval).optional().meta({ description: 'Of a paused run' }),
    externalCalls: z.array(externalCall).optional().meta({ description: 'Of a paused run' }),
    lastError: failure.nullable(),
    explain: z.string().meta({ description: 'One sentence, made from the rows, why the run stands where it stands' }),
    openCalls: z.array(z.object({ callId: z.string(), name: z.string(), state: z.string(), startedAt: instant.nullable() })),
    webhooks: z.array(
      z.object({
        id: z.string(),
        eventId: z.string(),
        url: z.string(),
        type: z.string(),
        state: z.string(),
        attempts: z.int(),
        nextAt: instant.nullable(),
        log: z.array(attempt),
      }),
    ),
    links,
  })
  .meta({ id: 'RunDetails' })

/** The run of the examples. */
export const exampleRun: z.input<typeof run> = {
  id: exampleIds.runId,
  agentId: exampleIds.agentId,
  agentUid: exampleIds.agentUid,
  state: 'completed',
  stopReason: 'end_turn',
  cause: 'message',
  retryOf: null,
  wait: null,
  dueAt: null,
  step: 2,
  modelCalls: 2,
  toolCalls: 1,
  attempt: 0,
  crashes: 0,
  slices: 1,
  workMs: 2_310,
  limits: { maxSteps: 50, maxToolCalls: 100, maxCostMicros: 1_000_000, maxTokens: 500_000, maxWallMs: 900_000, sliceMs: 45_000 },
  overrides: {},
  expiresAt: null,
  metadata: {},
  usage: exampleTokens,
  costMicros: 1_806,
  reservedMicros: 0,
  costUsd: 0.001806,
  template: 'support',
  templateVersionOpened: '3f1c9a20',
  templateVersionLast: '3f1c9a20',
  output: 'Your order leaves tomorrow.',
  error: null,
  stopRequested: null,
  stopNote: null,
  lease: null,
  firstSeq: 24,
  lastSeq: 31,
  createdAt: exampleIds.at,
  startedAt: exampleIds.at,
  endedAt: exampleIds.later,
  updatedAt: exampleIds.later,
}

/** The links of the examples. */
export const exampleLinks: z.input<typeof links> = {
  run: `/api/runs/${exampleIds.runId}`,
  events: `/api/runs/${exampleIds.runId}/events?token=eyJhbGciOi...`,
}

/** The pending approval of the examples. */
export const exampleAsked: z.input<typeof pendingApproval> = {
  id: exampleIds.approvalId,
  callId: exampleIds.callId,
  tool: 'refund',
  input: { order: 'o_9', cents: 1_200 },
  kind: 'permission',
  reason: 'the template asks about refund',
  expiresAt: '2026-11-28T09:30:02.481+00:00',
}
