import type { EffectSeen, Sql } from '#scripts/chaos/violations'

/** A server process that was killed, and when (milliseconds since the epoch). */
export interface Kill {
  pid: number
  at: number
}

interface Effect extends EffectSeen {
  at: string
  pid: number
}

/**
 * Seconds from each kill that took a slice with it to the moment when another executor held that run, sorted. Which kill it was is
 * known from the effects log; where the slice had done nothing yet, the first kill after the slice began is taken: never too short a time.
 */
export async function secondsToResume(sql: Sql, kills: readonly Kill[], effects: readonly Effect[]): Promise<number[]> {
  const rows = await sql(`select run_id, type, at, data ->> 'strategy' as strategy, (data ->> 'crashes')::int as crashes from baton.events
    where type in ('resumed', 'state_changed') order by agent_uid, seq`)
  const killed = new Map(kills.map((kill) => [kill.pid, kill.at]))
  const began = new Map<string, number>()
  const seconds: number[] = []
  for (const row of rows) {
    const run = String(row['run_id'])
    const at = new Date(String(row['at'])).getTime()
    const since = began.get(run) ?? 0
    if (row['type'] === 'resumed' && row['strategy'] === 'crash') {
      const pid = effects.findLast((effect) => effect.runId === run && Date.parse(effect.at) >= since && Date.parse(effect.at) <= at)?.pid
      const death = (pid === undefined ? undefined : killed.get(pid)) ?? kills.find((kill) => kill.at >= since && kill.at <= at)?.at
      if (death !== undefined && death <= at) seconds.push((at - death) / 1_000)
    }
    began.set(run, at)
  }
  return seconds.sort((one, other) => one - other)
}

/** The value below which the share `p` (0 to 1) of the sorted values lies; null without values. */
export function percentile(sorted: readonly number[], p: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? null
}
