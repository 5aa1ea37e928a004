import { poll } from '#local/poll'
import type { Sql } from '#scripts/chaos/violations'

/** Rows and bytes (indexes included) of each table of Baton. */
export type Tables = Record<string, { rows: number; bytes: number }>

export async function measureTables(sql: Sql): Promise<Tables> {
  const tables: Tables = {}
  const names = await sql(
    `select c.relname as name, pg_total_relation_size(c.oid)::float8 as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'baton' and c.relkind = 'r' order by 1`,
  )
  for (const { name, bytes } of names) {
    const [counted] = await sql(`select count(*)::int as rows from baton."${String(name)}"`)
    tables[String(name)] = { rows: Number(counted?.['rows']), bytes: Number(bytes) }
  }
  return tables
}

/** Rows that have outlived their time (docs/runbook.md, What is kept for how long); agents by what the tenant has set. */
const overdue = `select
  (select count(*) from baton.events e where e.at < baton.clock() - interval '7 days' - interval '1 hour')
  + (select count(*) from baton.outbox o where o.created_at < baton.clock() - interval '25 hours' and o.sent_at < baton.clock() - interval '25 hours')
  + (select count(*) from baton.idempotency i where i.created_at < baton.clock() - interval '25 hours')
  + (select count(*) from baton.webhook_deliveries d where d.ended_at < baton.clock() - interval '7 days' - interval '1 hour')
  + (select count(*) from baton.agents a join baton.tenants t on t.id = a.tenant_id
      where a.updated_at < baton.clock() - baton.duration((baton.kept_for(t) ->> 'agentDays')::numeric * 86400000) - interval '1 hour')
  + (select count(*) from baton.reservations r where r.created_at < baton.clock() - interval '400 days' - interval '1 hour')
  + (select count(*) from baton.audit x where x.at < baton.clock() - baton.audit_time() - interval '1 hour') as rows`

/** Moves the clock an hour at a time until the hourly job has taken all that is overdue; the rows that stayed (0 is right). */
export async function retain(sql: Sql, advance: (ms: number) => Promise<void>): Promise<number> {
  const left = async (): Promise<number> => Number((await sql(overdue))[0]?.['rows'])
  for (let hour = 0; hour < 12; hour++) {
    const [before] = await sql(`select baton.clock() as now`)
    await advance(3_600_000)
    const ran = async (): Promise<boolean> =>
      (await sql(`select 1 from baton.sweeps where pruned_at > $1 limit 1`, [before?.['now']])).length > 0
    await poll(ran, { everyMs: 100, forMs: 20_000 })
    await poll(async () => (await left()) === 0, { everyMs: 250, forMs: 10_000 })
    if ((await left()) === 0) return 0
  }
  return left()
}
