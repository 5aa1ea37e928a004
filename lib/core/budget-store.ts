import type { budgetPeriods } from '#lib/core/budget'
import type { OutboxRow } from '#lib/core/ports'
import type { Authority, Refusal } from '#lib/core/store'

/** What a budget limits; null and absent limit nothing, zero allows nothing. */
export interface BudgetLimits {
  limitMicros?: number | null | undefined
  limitTokens?: number | null | undefined
  limitCalls?: number | null | undefined
  maxPerCallMicros?: number | null | undefined
}

/** Which budget: a scope in its one spelling (lib/core/scope) and one of its periods, or all. */
export interface BudgetKey {
  scope: string
  period?: (typeof budgetPeriods)[number]
}

/** A budget with what it has let through in its present period; null where there is no one count (a limit of each run). */
export interface BudgetView {
  scope: string
  period: (typeof budgetPeriods)[number]
  limitMicros: number | null
  limitTokens: number | null
  limitCalls: number | null
  maxPerCallMicros: number | null
  spentMicros: number | null
  reservedMicros: number | null
  remainingMicros: number | null
  tokens: number | null
  calls: number | null
  resetsAt: string | null
  /** `inherited` comes from the row of all (`user:*`), `default` from the limits that are on without any row. */
  source: 'set' | 'inherited' | 'default'
  updatedAt: string | null
  updatedBy: string | null
}

/** What one group has spent: settled, and apart what was booked for calls whose usage nobody received. */
export interface UsageRow {
  group: string
  calls: number
  settledMicros: number
  estimatedMicros: number
  reservedMicros: number
  costMicros: number
  inputTokens: number
  outputTokens: number
}

/** What may be asked of the ledger; `from` inclusive, `to` exclusive, ISO 8601. */
export interface UsageQuery {
  groupBy: 'agent' | 'user' | 'key' | 'model' | 'day'
  from: string
  to: string
  after: string | null
  limit: number
}

/** The part of the store for budgets and usage. */
export interface BudgetStore {
  getBudget(authority: Authority, of: BudgetKey): Promise<{ ok: true; budgets: BudgetView[] } | Refusal>
  listBudgets(authority: Authority, page: { limit: number; after: string | null }): Promise<{ ok: true; data: BudgetView[] } | Refusal>
  /** Replaces the limits of the scope and period; runs that wait for room look again. `asleep`: some do not yet, see wakeBudgets. */
  putBudget(
    authority: Authority,
    of: Required<BudgetKey>,
    limits: BudgetLimits,
  ): Promise<{ ok: true; budgets: BudgetView[]; outbox: OutboxRow[]; asleep: boolean } | Refusal>
  deleteBudget(authority: Authority, of: BudgetKey): Promise<{ ok: true; outbox: OutboxRow[]; asleep: boolean } | Refusal>
  /** A batch of the runs that wait for room and that a change of the scope's budget may help; null `next`: there are no more. */
  wakeBudgets(
    authority: Authority,
    of: { scope: string; after: string | null },
  ): Promise<{ ok: true; outbox: OutboxRow[]; next: string | null } | Refusal>
  usage(authority: Authority, query: UsageQuery): Promise<{ ok: true; data: UsageRow[] } | Refusal>
}
