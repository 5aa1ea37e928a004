import type { World } from '#tests/world'

/** Everything that a scenario has left behind: rows of tables by name, what a client reads, effects, webhook bodies. */
export type Snapshot = Record<string, Record<string, unknown>[]>

/** Tables whose rows are compared, with what belongs to an agent (its uid is $1, its name $2) and in which order. */
const compared: Readonly<Record<string, string>> = {
  agents: 't.agent_uid = $1',
  runs: 't.agent_uid = $1 order by t.run_id',
  messages: 't.agent_uid = $1 order by t.seq',
  inbox: 't.agent_uid = $1 order by t.position',
  tool_calls: 't.agent_uid = $1 order by t.run_id, t.step, t.index',
  events: 't.agent_uid = $1 order by t.seq',
  outbox: 't.agent_uid = $1 order by t.kind, t.created_at, t.id',
  webhook_deliveries: 't.agent_uid = $1 order by t.created_at, t.id',
  idempotency: 't.agent_uid = $1 order by t.key',
  agent_state: 't.agent_uid = $1 order by t.key',
  reservations: 't.agent_uid = $1 order by t.run_id, t.step, t.created_at',
  approvals: 't.agent_uid = $1 order by t.created_at, t.call_id',
  external_waits: 't.agent_uid = $1 order by t.call_id',
  audit: `t.agent_id = $2 or t.scope = 'agent:' || $2 order by t.id`,
  switches: `t.scope = 'agent:' || $2 order by t.scope`,
  budgets: `t.scope = 'agent:' || $2 order by t.period`,
  budget_counters: `t.scope = 'agent:' || $2 order by t.period`,
}

/** Tables that no scenario's outcome stands in, and why. */
export const notCompared: Readonly<Record<string, string>> = {
  tenants: 'of the whole tenant; no scenario changes it',
  gates: 'closed gates of models are waiting times of seconds',
  budget_parts: 'of counters that the whole tenant shares; those of agents have none',
  switch_work: 'the cursor of work that is done in rounds; its effects are compared',
  sweeps: 'when somebody swept last',
  migrations: 'of the schema',
  audit_failures: 'counted only where an audit entry failed; the explorer checks that it is empty',
  api_keys: 'no scenario makes keys',
  webhook_endpoints: 'no scenario registers endpoints',
  limits: 'no scenario sets limits',
  budget_carried: 'no scenario rotates keys',
  metric_deltas: 'told beside the work, at least once a process that ends in order',
  metric_totals: 'the same',
  model_faults: 'model providers whose last call failed, for health',
  alerts: 'told at most once in ten minutes',
  probes: 'of doctor',
  repairs: 'of fsck',
  local_clock: 'of the local mode',
}

/** The tables of schema baton that neither list knows: a new table must be put into one of them. */
export async function unknownTables(world: World): Promise<string[]> {
  const rows = await world.sql<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'baton' and table_type = 'BASE TABLE'`,
  )
  return rows.map(({ name }) => name).filter((name) => compared[name] === undefined && notCompared[name] === undefined)
}

/** All rows of an agent that last. */
export async function rowsOf(world: World, uid: string, name: string): Promise<Snapshot> {
  const snapshot: Snapshot = {}
  for (const [table, of] of Object.entries(compared)) {
    const values = of.includes('$2') ? [name] : [uid]
    const rows = await world.sql<{ row: Record<string, unknown> }>(
      `select to_jsonb(t) as row from baton.${table} t where ${of.replaceAll('$2', '$1')}`,
      values,
    )
    snapshot[table] = rows.map(({ row }) => row)
  }
  return snapshot
}
