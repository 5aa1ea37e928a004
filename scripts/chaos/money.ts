import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from '#scripts/chaos/checks/evidence'

/** Every row is a limit that was passed, or a counter of one that is not the sum of the ledger of its scope: looked at in one snapshot. */
const faults = `with ledger as (
    select s.scope, sum(case when v.state = 'reserved' then 0 else v.cost_micros end) as spent, sum(case when v.state = 'reserved' then v.micros else 0 end) as reserved
    from baton.reservations v cross join lateral (values ('tenant'), ('agent:' || v.agent_id)) s(scope) group by s.scope)
  select c.scope, c.limit_micros, c.spent_micros, c.reserved_micros, l.spent, l.reserved from baton.budget_totals c left join ledger l using (scope)
  where c.period = 'lifetime' and c.limit_micros is not null and (coalesce(l.spent, 0) + coalesce(l.reserved, 0) > c.limit_micros
    or c.spent_micros <> coalesce(l.spent, 0) or c.reserved_micros <> coalesce(l.reserved, 0))`

/** What is wrong with the books at this instant. */
export async function bookFaults(sql: Sql): Promise<Record<string, unknown>[]> {
  return sql(faults)
}

/** Somebody who looks at the books all the time. */
export interface Auditor {
  passed: Record<string, unknown>[]
  looks(): number
  stop(): Promise<void>
}

export function startAuditor(sql: Sql, everyMs = 100): Auditor {
  const passed: Record<string, unknown>[] = []
  let looks = 0
  let looking = true
  const working = (async () => {
    while (looking) {
      const rows = await bookFaults(sql).catch(() => null) // the database is away
      if (rows !== null) looks += 1
      if (passed.length < 100) passed.push(...(rows ?? []))
      await sleep(everyMs)
    }
  })()
  return {
    passed,
    looks: () => looks,
    async stop() {
      looking = false
      await working
    },
  }
}

/** Sets or lifts (null) what agents of these names may spend in their life, at the first server that answers. */
export async function limitAgents(bases: readonly string[], agents: readonly string[], limitMicros: number | null): Promise<void> {
  for (const agent of agents) {
    for (let turn = 0; ; turn++) {
      const response = await fetch(`${bases[turn % bases.length]}/api/budgets/agent:${agent}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ limitMicros, period: 'lifetime' }),
        signal: AbortSignal.timeout(5_000),
      }).catch(() => null) // it is away
      if (response?.ok === true) break
      if (turn > 100) throw new Error(`the budget of ${agent} was not set: ${response?.status}`)
      await sleep(200)
    }
  }
}
