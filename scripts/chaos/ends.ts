import type { Sql } from '#scripts/chaos/checks/evidence'
import type { Sent } from '#scripts/chaos/load'

/** Runs that ended otherwise than their script says, or told their webhook not exactly one event. */
export async function wrongEnds(sql: Sql, sent: readonly Sent[], arrivals: ReadonlyMap<string, readonly string[]>): Promise<string[]> {
  const rows = await sql(`select run_id, state, stop_reason, output, error, crashes from baton.runs where run_id = any($1)`, [
    sent.map(({ runId }) => runId),
  ])
  const runs = new Map(rows.map((row) => [row['run_id'], row]))
  return sent.flatMap(({ runId, key, turn, poor = false }) => {
    const run = runs.get(runId)
    const where = `${key} (${turn.shape}) ${runId}`
    if (run === undefined) return [`${where}: lost`]
    const { state, stopReason, output } = turn.ends
    const broke = poor && run['state'] === 'budget_exceeded'
    if (!broke && (run['state'] !== state || run['stop_reason'] !== stopReason || (output !== null && run['output'] !== output)))
      return [`${where}: ${JSON.stringify(run)}`]
    const hooks = arrivals.get(runId) ?? []
    return turn.hooked && hooks.length !== 1 ? [`${where}: ${hooks.length} webhook events`] : []
  })
}
