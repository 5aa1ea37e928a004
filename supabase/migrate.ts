import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

/** One file of supabase/migrations. */
export interface Migration {
  name: string
  sql: string
  /** SHA-256 of the file, hex. */
  checksum: string
}

/** What {@link migrate} needs. */
export interface MigrateOptions {
  /** Direct connection to Postgres, as a role that may create schemas. */
  databaseUrl: string
  /** Folder of the files; default supabase/migrations of this repository. */
  folder?: string
  /** Only say what would be applied. */
  dryRun?: boolean
  log?: (line: string) => void
}

/** The answer of {@link migrate}: names of the files applied (or, in a dry run, that would be applied), in order. */
export interface MigrateResult {
  applied: string[]
}

const ownFolder = join(import.meta.dirname, 'migrations')

/** Reads the migrations of a folder in name order; a folder that does not exist holds none. */
export async function readMigrations(folder: string = ownFolder): Promise<Migration[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const files = names.filter((name) => name.endsWith('.sql')).toSorted()
  return Promise.all(
    files.map(async (name) => {
      const sql = await readFile(join(folder, name), 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

const ledger = `
create schema if not exists baton;
create table if not exists baton.migrations (
  name text primary key,
  checksum text not null,
  applied_at timestamptz not null default clock_timestamp()
);
revoke all on baton.migrations from public;
alter table baton.migrations enable row level security;
`

async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    // one migrating process at a time; the lock goes with the transaction, whatever happens to this process
    await client.query(`set local lock_timeout = '120s'`)
    await client.query(`select pg_advisory_xact_lock(hashtextextended('baton.migrations', 0))`)
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => undefined) // the connection is gone, and the transaction with it
    throw error
  }
}

async function isApplied(client: pg.Client, migration: Migration, log: (line: string) => void): Promise<boolean> {
  const found = await client.query<{ checksum: string }>('select checksum from baton.migrations where name = $1', [migration.name])
  const row = found.rows[0]
  if (row === undefined) return false
  if (row.checksum === migration.checksum) return true
  log(`${migration.name} was changed since it was applied: applied again`)
  return false
}

function described(migration: Migration, error: unknown): Error {
  const detail = error instanceof Error ? error.message : String(error)
  const position = error instanceof pg.DatabaseError && error.position !== undefined ? Number(error.position) : undefined
  const line = position === undefined ? '' : `:${migration.sql.slice(0, position).split('\n').length}`
  return new Error(`Migration ${migration.name}${line} failed and was rolled back: ${detail}`, { cause: error })
}

async function ledgerExists(client: pg.Client): Promise<boolean> {
  const found = await client.query<{ present: boolean }>(`select to_regclass('baton.migrations') is not null as present`)
  return found.rows[0]?.present === true
}

/**
 * Applies the migrations that the ledger `baton.migrations` does not know or knows with another text (each is safe to apply twice,
 * see docs/decisions/0007), in name order, each in one transaction
 * under one lock, so that two migrating processes never meet. Throws an error that names the file when one fails;
 * the files before it stay applied.
 */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const log = options.log ?? (() => undefined)
  const migrations = await readMigrations(options.folder)
  const client = new pg.Client({ connectionString: options.databaseUrl, connectionTimeoutMillis: 10_000 })
  client.on('error', () => undefined) // a connection that breaks fails the query in hand, which reports it
  await client.connect()
  const applied: string[] = []
  try {
    if (options.dryRun === true) {
      const known = await ledgerExists(client)
      for (const migration of migrations) if (!known || !(await isApplied(client, migration, log))) applied.push(migration.name)
      return { applied }
    }
    await inTransaction(client, () => client.query(ledger))
    for (const migration of migrations) {
      const done = await inTransaction(client, async () => {
        if (await isApplied(client, migration, log)) return false
        await client.query(migration.sql)
        const record =
          'insert into baton.migrations (name, checksum) values ($1, $2) on conflict (name) do update set checksum = excluded.checksum, applied_at = now()'
        await client.query(record, [migration.name, migration.checksum])
        return true
      }).catch((error: unknown) => {
        throw described(migration, error)
      })
      if (!done) continue
      log(`applied ${migration.name}`)
      applied.push(migration.name)
    }
    return { applied }
  } finally {
    await client.end()
  }
}

/** Copies the migrations into the folder of a host repository whose own tool applies them; answers with the names. */
export async function copyMigrations(target: string, folder: string = ownFolder): Promise<string[]> {
  await mkdir(target, { recursive: true })
  const migrations = await readMigrations(folder)
  for (const migration of migrations) await copyFile(join(folder, migration.name), join(target, migration.name))
  return migrations.map((migration) => migration.name)
}
