'use client'

import { Label, Meter } from 'react-aria-components'
import type { BudgetView } from '#lib/core/budget-store'
import { count, money } from '#app/console/_parts/format'

const percent = (part: number, whole: number): number => (whole <= 0 ? 100 : Math.min(100, (part / whole) * 100))

/** What is spent and reserved of a limit; in words too, for whoever does not see the bar. */
export function BudgetMeter({ budget }: { budget: BudgetView }) {
  const { limitMicros, limitTokens, limitCalls, maxPerCallMicros } = budget
  if (limitMicros !== null && budget.spentMicros === null) return <span>{money(limitMicros)} for each</span>
  const reserved = budget.reservedMicros ?? 0
  const bar =
    limitMicros !== null
      ? { spent: budget.spentMicros ?? 0, reserved, limit: limitMicros, words: `${money(budget.spentMicros)} of ${money(limitMicros)}` }
      : limitTokens !== null
        ? {
            spent: budget.tokens ?? 0,
            reserved: 0,
            limit: limitTokens,
            words: `${count(budget.tokens ?? 0)} of ${count(limitTokens)} tokens`,
          }
        : limitCalls !== null
          ? { spent: budget.calls ?? 0, reserved: 0, limit: limitCalls, words: `${count(budget.calls ?? 0)} of ${count(limitCalls)} calls` }
          : null
  const perCall = maxPerCallMicros === null ? '' : `${money(maxPerCallMicros)} for one call`
  if (bar === null) return <span>{perCall === '' ? 'No limit' : perCall}</span>
  const spent = percent(bar.spent, bar.limit)
  const tone = spent >= 100 ? 'full' : spent >= 80 ? 'high' : ''
  const text = `${bar.words}${bar.reserved > 0 ? `, ${money(bar.reserved)} reserved` : ''}`
  return (
    <Meter className="meter" value={bar.spent} minValue={0} maxValue={Math.max(1, bar.limit)} valueLabel={text}>
      <Label className="hidden-text">Budget of {budget.scope}</Label>
      <div className="meter-bar">
        <span className={`spent ${tone}`} style={{ width: `${spent}%` }} />
        <span className="reserved" style={{ width: `${Math.min(100 - spent, percent(bar.reserved, bar.limit))}%` }} />
      </div>
      <small className="muted">
        {text}
        {perCall === '' ? '' : `, ${perCall}`}
      </small>
    </Meter>
  )
}
