import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { connect } from '#supabase/connection'

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
  /** How long a file waits at a time for a lock that somebody holds, and how long all of them may wait, in milliseconds; default 2 s and 2 minutes. */
  locks?: { waitMs: number; forMs: number }
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

/** A file that is applied again keeps its row. */
const again = 'on conflict (name) do update set checksum = excluded.checksum, applied_at = now()'

/** What passes by itself: a lock that was not had in its time, and a deadlock. The file is tried again as a whole. */
const passing = new Set(['55P03', '40P01'])
const pauseMs = 1_000

async function inTransaction<T>(client: pg.Client, waitMs: number, work: () => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    // one migrating process at a time; the lock goes with the transaction, whatever happens to this process
    await client.query(`set local lock_timeout = '120s'`)
    await client.query(`select pg_advisory_xact_lock(hashtextextended('baton.migrations', 0))`)
    // All traffic queues behind a lock that is waited for, as behind one that is held: nobody is kept longer than a moment by a long reader.
    await client.query(`set local lock_timeout = '${waitMs}ms'`)
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
  if (isPassing(error))
    return new Error(
      `Migration ${migration.name} was not applied: another connection holds a lock that it needs (a backup, an export or another long transaction; see pg_stat_activity). Those before it stay. Run it again when that has ended.`,
      { cause: error },
    )
  const detail = error instanceof Error ? error.message : String(error)
  const position = error instanceof pg.DatabaseError && error.position !== undefined ? Number(error.position) : undefined
  const line = position === undefined ? '' : `:${migration.sql.slice(0, position).split('\n').length}`
  return new Error(`Migration ${migration.name}${line} failed and was rolled back: ${detail}`, { cause: error })
}

function isPassing(error: unknown): boolean {
  return error instanceof pg.DatabaseError && passing.has(error.code ?? '')
}

/** Tries again what a lock was in the way of, until the time for that is used up. */
async function whenFree<T>(patience: { leftMs: number }, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const from = performance.now()
    try {
      return await work()
    } catch (error) {
      if (!isPassing(error)) throw error
      patience.leftMs -= performance.now() - from + pauseMs
      if (patience.leftMs <= 0) throw error
      await sleep(pauseMs)
    }
  }
}

async function ledgerExists(client: pg.Client): Promise<boolean> {
  const found = await client.query<{ present: boolean }>(`select to_regclass('baton.migrations') is not null as present`)
  return found.rows[0]?.present === true
}

/** A dump that is restored in another project has every file applied and its functions open to everybody: no file would grant anew. */
async function grantAgain(client: pg.Client): Promise<void> {
  const found = await client.query<{ present: boolean }>(`select to_regprocedure('baton.apply_grants()') is not null as present`)
  if (found.rows[0]?.present === true) await client.query('select baton.apply_grants()')
}

/**
 * Applies the migrations that the ledger `baton.migrations` does not know or knows with another text (each is safe to apply twice,
 * see docs/decisions/0007), in name order, each in one transaction
 * under one lock, so that two migrating processes never meet. A file that finds a lock taken stands back after a moment and is tried again.
 * Rights are given and taken anew at the end, also where nothing was to apply.
 * Throws an error that names the file when one fails;
 * the files before it stay applied.
 */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const log = options.log ?? (() => undefined)
  const { waitMs, forMs } = options.locks ?? { waitMs: 2_000, forMs: 120_000 }
  const patience = { leftMs: forMs }
  const migrations = await readMigrations(options.folder)
  const client = await connect(options.databaseUrl)
  const applied: string[] = []
  try {
    if (options.dryRun === true) {
      const known = await ledgerExists(client)
      for (const migration of migrations) if (!known || !(await isApplied(client, migration, log))) applied.push(migration.name)
      return { applied }
    }
    await whenFree(patience, () => inTransaction(client, waitMs, () => client.query(ledger)))
    for (const migration of migrations) {
      const apply = async (): Promise<boolean> => {
        if (await isApplied(client, migration, log)) return false
        await client.query(migration.sql)
        await client.query(`insert into baton.migrations (name, checksum) values ($1, $2) ${again}`, [migration.name, migration.checksum])
        return true
      }
      const done = await whenFree(patience, () => inTransaction(client, waitMs, apply)).catch((error: unknown) => {
        throw described(migration, error)
      })
      if (!done) continue
      log(`applied ${migration.name}`)
      applied.push(migration.name)
    }
    await whenFree(patience, () => inTransaction(client, waitMs, () => grantAgain(client)))
    return { applied }
  } finally {
    await client.end()
  }
}

/**
 * Copies the migrations into the folder of a host repository whose own tool applies them; answers with the names. Each copy writes its row of
 * the ledger itself, with the checksum of the file as it stands here: health and the doctor look there, and `migrate` has nothing to do.
 */
export async function copyMigrations(target: string, folder: string = ownFolder): Promise<string[]> {
  await mkdir(target, { recursive: true })
  const migrations = await readMigrations(folder)
  for (const { name, sql, checksum } of migrations) {
    const record = `insert into baton.migrations (name, checksum) values (${pg.escapeLiteral(name)}, '${checksum}') ${again};`
    await writeFile(join(target, name), `${sql}\n${record}\n`)
  }
  return migrations.map(({ name }) => name)
}
