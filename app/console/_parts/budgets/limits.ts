import type { BudgetView } from '#lib/core/budget-store'
import { count, money, plural } from '#app/console/_parts/format'

/** One limit of a budget: what of it is gone, in numbers for a bar and in words. */
export interface LimitLine {
  of: 'dollars' | 'tokens' | 'calls'
  /** Null where each of many has the limit for itself. */
  spent: number | null
  reserved: number
  limit: number
  words: string
  left: string
}

type Limits = Pick<
  BudgetView,
  'limitMicros' | 'limitTokens' | 'limitCalls' | 'spentMicros' | 'reservedMicros' | 'remainingMicros' | 'tokens' | 'calls'
>

/** All limits of a budget: the one that is nearly used up need not be the one of money. */
export function limitsOf(budget: Limits): LimitLine[] {
  const { limitMicros, limitTokens, limitCalls, spentMicros } = budget
  const reserved = budget.reservedMicros ?? 0
  const lines: LimitLine[] = []
  if (limitMicros !== null) {
    const held = reserved > 0 ? `, ${money(reserved)} reserved` : ''
    const words = `${money(spentMicros)} of ${money(limitMicros)}${held}`
    lines.push({ of: 'dollars', spent: spentMicros, reserved, limit: limitMicros, words, left: money(budget.remainingMicros) })
  }
  const counted = (of: 'tokens' | 'calls', limit: number | null, spent: number): void => {
    if (limit === null) return
    const left = plural(Math.max(0, limit - spent), of.slice(0, -1))
    lines.push({ of, spent, reserved: 0, limit, words: `${count(spent)} of ${count(limit)} ${of}`, left })
  }
  counted('tokens', limitTokens, budget.tokens ?? 0)
  counted('calls', limitCalls, budget.calls ?? 0)
  if (spentMicros !== null) return lines
  return lines.map((line) => ({
    ...line,
    spent: null,
    words: `${line.of === 'dollars' ? money(line.limit) : `${count(line.limit)} ${line.of}`} for each`,
    left: 'each',
  }))
}
