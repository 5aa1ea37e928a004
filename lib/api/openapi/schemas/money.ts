import { z } from 'zod'
import { budgetPeriods } from '#lib/core/budget'
import { exampleIds, instant, micros } from '#lib/api/openapi/schemas/words'

const shape = {
  scope: z.string(),
  period: z.enum(budgetPeriods),
  limitMicros: micros.nullable(),
  limitTokens: z.int().nullable(),
  limitCalls: z.int().nullable(),
  maxPerCallMicros: micros.nullable(),
  spentMicros: micros.nullable(),
  reservedMicros: micros.nullable(),
  remainingMicros: micros.nullable(),
  tokens: z.int().nullable(),
  calls: z.int().nullable(),
  resetsAt: instant.nullable(),
  source: z
    .enum(['set', 'inherited', 'default'])
    .meta({ description: 'Its own row, that of all (`user:*`), or what is on without any row' }),
  updatedAt: instant.nullable(),
  updatedBy: z.string().nullable(),
}
const dollars = { limitUsd: z.number().nullable(), spentUsd: z.number().nullable() }

/** A budget with what it has let through in its present period. */
export const budget = z.object(shape).meta({ id: 'Budget' })
const period = z.object({ ...shape, ...dollars }).meta({ id: 'BudgetPeriod' })
/** The budget that has least left, and all periods of its scope. */
export const budgetOfScope = z.object({ ...shape, ...dollars, periods: z.array(period) }).meta({ id: 'ScopeBudget' })

/** What one group has spent; exactly one of the five names is there. */
export const usageRow = z
  .object({
    agent: z.string().nullable().optional(),
    user: z.string().nullable().optional(),
    key: z.string().nullable().optional(),
    model: z.string().nullable().optional(),
    day: z.string().nullable().optional(),
    calls: z.int(),
    settledMicros: micros,
    estimatedMicros: micros.meta({ description: 'Booked for calls whose usage nobody received' }),
    reservedMicros: micros,
    costMicros: micros,
    costUsd: z.number(),
    inputTokens: z.int(),
    outputTokens: z.int(),
  })
  .meta({ id: 'UsageRow', description: 'The field that groups (agent, user, key, model or day) is there, null where there is none' })

/** The budget of the examples. */
export const exampleBudget: z.input<typeof budget> = {
  scope: `agent:${exampleIds.agentId}`,
  period: 'day',
  limitMicros: 5_000_000,
  limitTokens: null,
  limitCalls: null,
  maxPerCallMicros: null,
  spentMicros: 1_806,
  reservedMicros: 0,
  remainingMicros: 4_998_194,
  tokens: 450,
  calls: 2,
  resetsAt: '2026-11-22T00:00:00+00:00',
  source: 'set',
  updatedAt: exampleIds.at,
  updatedBy: 'key:key_01936f1e',
}
const examplePeriod = { ...exampleBudget, limitUsd: 5, spentUsd: 0.001806 }
/** All budgets of the scope of the examples. */
export const exampleBudgets: z.input<typeof budgetOfScope> = { ...examplePeriod, periods: [examplePeriod] }

/** The usage of the examples. */
export const exampleUsage: z.input<typeof usageRow> = {
  day: '2026-11-21',
  calls: 2,
  settledMicros: 1_806,
  estimatedMicros: 0,
  reservedMicros: 0,
  costMicros: 1_806,
  costUsd: 0.001806,
  inputTokens: 412,
  outputTokens: 38,
}
