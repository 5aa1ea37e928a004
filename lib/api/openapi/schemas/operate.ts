import { z } from 'zod'
import { exampleIds, instant, micros } from '#lib/api/openapi/schemas/words'

const { agentId, agentUid, at, runId } = exampleIds

const finding = z
  .object({
    code: z.string(),
    runId: z.string().optional(),
    details: z.record(z.string(), z.unknown()),
    means: z.string(),
    repair: z.string().meta({ description: 'What the repair does' }),
  })
  .meta({ id: 'Finding' })
/** What a check of an agent's rows found. */
export const consistency = z
  .object({
    agentId: z.string(),
    agentUid: z.string(),
    consistent: z.boolean(),
    findings: z.array(finding),
    repairs: z.int().meta({ description: 'Rows that earlier repairs have replaced; their originals are kept' }),
    checkedAt: instant,
  })
  .meta({ id: 'Consistency' })
/** What a repair found, mended and left. */
export const repair = z
  .object({ agentId: z.string(), agentUid: z.string(), findings: z.array(finding), repaired: z.int(), left: z.array(finding) })
  .meta({ id: 'Repair' })

/** How long a tenant's rows are kept. */
export const retention = z
  .object({
    eventDays: z.int(),
    eventsPerAgent: z.int(),
    deliveryDays: z.int(),
    agentDays: z.int().nullable().meta({ description: 'Idle agents are deleted after so many days; null: never' }),
    set: z.record(z.string(), z.unknown()),
    prunedAt: instant.nullable(),
  })
  .meta({ id: 'Retention' })

const number = z.number().nullable()
/** Numbers over a range of time. */
export const stats = z
  .object({
    from: instant,
    to: instant,
    runs: z.object({
      total: z.int(),
      modelCalls: z.int(),
      slices: z.int(),
      costMicros: micros,
      costUsd: z.number(),
      inputTokens: z.int(),
      outputTokens: z.int(),
      p50Ms: number,
      p95Ms: number,
      maxMs: number,
    }),
    agents: z.record(z.string(), z.int()),
    byState: z.record(z.string(), z.int()),
    byStopReason: z.record(z.string(), z.int()),
    tools: z.array(
      z.object({ name: z.string(), calls: z.int(), failed: z.int(), denied: z.int(), sealed: z.int(), p50Ms: number, p95Ms: number }),
    ),
  })
  .meta({ id: 'Stats' })

/** How far a deletion has come. */
export const erased = z
  .object({
    scope: z.string(),
    deleted: z.boolean(),
    agents: z.int(),
    more: z.boolean().meta({ description: 'Send the same request again' }),
  })
  .meta({ id: 'Erased' })

/** One line of an export. */
export const exportLine = z.object({ type: z.string(), agentId: z.string().nullable(), data: z.unknown() }).meta({ id: 'ExportLine' })

const exampleFinding: z.input<typeof finding> = {
  code: 'run_stuck',
  runId,
  details: { state: 'running' },
  means: 'A run is at work, but nobody holds it and no time is set at which somebody would.',
  repair: 'It is due at once.',
}
/** The check of the examples. */
export const exampleConsistency: z.input<typeof consistency> = {
  agentId,
  agentUid,
  consistent: false,
  findings: [exampleFinding],
  repairs: 0,
  checkedAt: at,
}
/** The repair of the examples. */
export const exampleRepair: z.input<typeof repair> = { agentId, agentUid, findings: [exampleFinding], repaired: 1, left: [] }
/** The retention of the examples. */
export const exampleRetention: z.input<typeof retention> = {
  eventDays: 30,
  eventsPerAgent: 10_000,
  deliveryDays: 7,
  agentDays: null,
  set: { eventDays: 30 },
  prunedAt: at,
}
/** The numbers of the examples. */
export const exampleStats: z.input<typeof stats> = {
  from: '2026-11-20T00:00:00.000Z',
  to: '2026-11-21T00:00:00.000Z',
  runs: {
    total: 120,
    modelCalls: 240,
    slices: 131,
    costMicros: 1_240_000,
    costUsd: 1.24,
    inputTokens: 48_000,
    outputTokens: 9_100,
    p50Ms: 2_300,
    p95Ms: 14_800,
    maxMs: 61_000,
  },
  agents: { ready: 31, working: 2 },
  byState: { completed: 118, failed: 2 },
  byStopReason: { end_turn: 118, provider_unavailable: 2 },
  tools: [{ name: 'order_status', calls: 88, failed: 1, denied: 0, sealed: 0, p50Ms: 120, p95Ms: 480 }],
}
