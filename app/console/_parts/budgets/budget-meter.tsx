'use client'

import { Label, Meter } from 'react-aria-components'
import type { BudgetView } from '#lib/core/budget-store'
import { limitsOf, type LimitLine } from '#app/console/_parts/budgets/limits'
import { money } from '#app/console/_parts/format'

const percent = (part: number, whole: number): number => (whole <= 0 ? 100 : Math.min(100, (part / whole) * 100))

/** What is spent and reserved of each limit; in words too, for whoever does not see the bar. */
export function BudgetMeter({ budget }: { budget: BudgetView }) {
  const lines = limitsOf(budget)
  const perCall = budget.maxPerCallMicros === null ? '' : `${money(budget.maxPerCallMicros)} for one call`
  if (lines.length === 0) return <span>{perCall === '' ? 'No limit' : perCall}</span>
  return (
    <div className="meters">
      {lines.map((line) =>
        line.spent === null ? (
          <span key={line.of}>{line.words}</span>
        ) : (
          <LimitMeter key={line.of} scope={budget.scope} line={line} spent={line.spent} />
        ),
      )}
      {perCall !== '' && <small className="muted">{perCall}</small>}
    </div>
  )
}

function LimitMeter({ scope, line, spent }: { scope: string; line: LimitLine; spent: number }) {
  const share = percent(spent, line.limit)
  const tone = share >= 100 ? 'full' : share >= 80 ? 'high' : ''
  return (
    <Meter className="meter" value={spent} minValue={0} maxValue={Math.max(1, line.limit)} valueLabel={line.words}>
      <Label className="hidden-text">
        Budget of {scope}
        {line.of === 'dollars' ? '' : `, ${line.of}`}
      </Label>
      <div className="meter-bar">
        <span className={`spent ${tone}`} style={{ width: `${share}%` }} />
        <span className="reserved" style={{ width: `${Math.min(100 - share, percent(line.reserved, line.limit))}%` }} />
      </div>
      <small className="muted">{line.words}</small>
    </Meter>
  )
}
