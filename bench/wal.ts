import pg from 'pg'

/** Reads how much Postgres has written to its log, from a connection of its own. */
export interface Wal {
  at: () => Promise<number>
  pool: pg.Pool
  close: () => Promise<void>
}

/** Opens a connection that asks for the place in the log. The log is the whole cluster's: what else writes meanwhile is counted too. */
export function openWal(databaseUrl: string): Wal {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 })
  pool.on('error', () => undefined) // the cluster was stopped; the next question says so
  return {
    pool,
    async at() {
      const { rows } = await pool.query<{ at: string }>(`select (pg_current_wal_insert_lsn() - '0/0')::bigint as at`)
      return Number(rows[0]?.at ?? 0)
    },
    close: () => pool.end(),
  }
}
