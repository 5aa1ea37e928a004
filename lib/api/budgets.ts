import { z } from 'zod'
import { json, usd } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { page } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { budgetPeriods } from '#lib/core/budget'
import type { BudgetView } from '#lib/core/budget-store'
import { BatonError } from '#lib/core/errors'
import { parseScope, scopeText } from '#lib/core/scope'
import type { Authority } from '#lib/core/store'
import { refusalError } from '#lib/engine/open'
import type { Services } from '#lib/services'

const scopeParams = z.object({
  scope: z.string().transform((text, context) => {
    const scope = parseScope(text)
    if (scope !== null) return scopeText(scope)
    context.addIssue({
      code: 'custom',
      message: 'a scope is global, tenant, user:ID, key:ID, agent:ID, run:ID or tool:NAME; * as the ID means all',
    })
    return z.NEVER
  }),
})
const period = z.enum(budgetPeriods)
/** Zero means zero; null means no limit of this kind. */
const limit = z.int().nonnegative().nullable().optional()

/** The body of PUT /api/budgets/{scope}: what is absent is not limited. */
const budgetBody = z
  .strictObject({ limitMicros: limit, limitTokens: limit, limitCalls: limit, maxPerCallMicros: limit, period: period.default('lifetime') })
  .refine(
    ({ limitMicros, limitTokens, limitCalls, maxPerCallMicros }) =>
      [limitMicros, limitTokens, limitCalls, maxPerCallMicros].some((value) => value !== undefined),
    'give at least one of limitMicros, limitTokens, limitCalls, maxPerCallMicros; null lifts a default',
  )

/** The budget that has least left, with dollars beside micro-dollars, and all of the scope. */
function answerOf(budgets: readonly BudgetView[]): Record<string, unknown> {
  const [first, ...rest] = budgets.map((budget) => ({
    ...budget,
    limitUsd: dollars(budget.limitMicros),
    spentUsd: dollars(budget.spentMicros),
  }))
  return { ...first, periods: rest.length === 0 ? [first] : [first, ...rest] }
}

function dollars(micros: number | null): number | null {
  return micros === null ? null : usd(micros)
}

/** Wakes, beside the answer, who was not woken with the change itself. A process that dies here leaves runs that look by themselves within the hour. */
async function wakeRest(services: Services, authority: Authority, scope: string): Promise<void> {
  for (let after: string | null = null; ;) {
    const batch = await services.store.wakeBudgets(authority, { scope, after })
    if (!batch.ok) return
    services.dispatch(batch.outbox)
    after = batch.next
    if (after === null) return
  }
}

/** PUT /api/budgets/{scope}: replaces the limits of one period; runs that wait for room look again. */
export const putBudget = endpoint({
  method: 'PUT',
  path: '/api/budgets/{scope}',
  summary: 'Set a budget',
  params: scopeParams,
  body: budgetBody,
  async handler({ services, params, body, caller, background }) {
    const { period: of, ...limits } = body
    const authority = authorityOf(services, caller)
    const answer = await services.store.putBudget(authority, { scope: params.scope, period: of }, limits)
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    if (answer.asleep) background(wakeRest(services, authority, params.scope))
    return json(200, answerOf(answer.budgets))
  },
})

/** GET /api/budgets/{scope}: the budget with least left, and all of its periods, defaults included. */
export const getBudget = endpoint({
  method: 'GET',
  path: '/api/budgets/{scope}',
  summary: 'Read the budgets of a scope and what they have let through',
  params: scopeParams,
  query: z.object({ period: period.optional() }),
  async handler({ services, params, query, caller }) {
    const { scope } = params
    const answer = await services.store.getBudget(authorityOf(services, caller), { scope, ...(query.period && { period: query.period }) })
    if (!answer.ok) throw refusalError(answer)
    if (answer.budgets.length === 0) throw new BatonError('not_found', `No budget is set for ${scope}, and none is on by default.`)
    return json(200, answerOf(answer.budgets))
  },
})

/** DELETE /api/budgets/{scope}: removes one period's row or all; limits that are on by default apply again. */
export const deleteBudget = endpoint({
  method: 'DELETE',
  path: '/api/budgets/{scope}',
  summary: 'Remove a budget',
  params: scopeParams,
  query: z.object({ period: period.optional() }),
  async handler({ services, params, query, caller, background }) {
    const { scope } = params
    const authority = authorityOf(services, caller)
    const answer = await services.store.deleteBudget(authority, {
      scope,
      ...(query.period && { period: query.period }),
    })
    if (!answer.ok && answer.code === 'not_found') throw new BatonError('not_found', `No budget is set for ${scope}; nothing was changed.`)
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    if (answer.asleep) background(wakeRest(services, authority, scope))
    return new Response(null, { status: 204 })
  },
})

/** GET /api/budgets: the budgets that are set, by scope and period. */
export const listBudgets = endpoint({
  method: 'GET',
  path: '/api/budgets',
  summary: 'List the budgets that are set',
  query: z.object(page),
  async handler({ services, query, caller }) {
    const after = query.cursor === undefined ? null : decodeCursor('budgets', query.cursor)
    const answer = await services.store.listBudgets(authorityOf(services, caller), { limit: query.limit, after })
    if (!answer.ok) throw refusalError(answer)
    const shown = listing(answer.data, query.limit, ({ scope, period }) => encodeCursor('budgets', `${scope} ${period}`))
    return json(200, shown)
  },
})
