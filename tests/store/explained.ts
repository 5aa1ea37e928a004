import pg from 'pg'
import type { StoreKit } from '#tests/store/kit'

/** A connection that tells the plan of each statement it has run, also of those inside functions, with the rows that each node has really read. */
export interface Explained {
  client: pg.Client
  /** As text, in the order of their ends; emptied by whoever counts. */
  plans: string[]
}

/**
 * Connects to the store's database with auto_explain. The caller ends the client. When the planner learns is the caller's business from then on:
 * autovacuum comes once a minute, by chance just before a table grows.
 */
export async function explained(kit: StoreKit): Promise<Explained> {
  await kit.sql(`do $$ declare t regclass; begin
    for t in select c.oid from pg_class c where c.relnamespace = 'baton'::regnamespace and c.relkind = 'r' loop
      execute format('alter table %s set (autovacuum_enabled = false)', t);
    end loop; end $$`)
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  const plans: string[] = []
  client.on('notice', ({ message = '' }) => plans.push(message))
  await client.connect()
  await client.query(`load 'auto_explain'`)
  await client.query(
    `set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on; set client_min_messages = log`,
  )
  return { client, plans }
}
