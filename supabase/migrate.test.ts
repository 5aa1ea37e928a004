import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { missingMigrations, type DatabaseHealth } from '#lib/core/health'
import { migrations as expected } from '#lib/env/migrations'
import { createDatabase, dropDatabase, prepareDatabase } from '#local/database'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'
import { startCluster } from '#local/postgres'
import { copyMigrations, migrate } from '#supabase/migrate'

const claims = portClaims()
let root: string
let folder: string
let cluster: Awaited<ReturnType<typeof startCluster>>
let databaseUrl: string
let count = 0

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'baton-migrate-'))
  await chmod(root, 0o755) // root's PostgreSQL account must be able to enter
  cluster = await startCluster({ dataDir: root, port: await claims.take(0), password: 'for this test only', fsync: false })
}, 120_000)

afterAll(async () => {
  await cluster?.stop()
  claims.release()
  await rm(root, { recursive: true, force: true })
}, 60_000)

beforeEach(async () => {
  count += 1
  databaseUrl = await createDatabase(cluster.url, `case_${count}`)
  folder = join(root, `files_${count}`)
  await mkdir(folder)
  await writeFile(join(folder, '0001_one.sql'), 'create table if not exists baton.one (n int);')
  await writeFile(join(folder, '0002_two.sql'), 'insert into baton.one values (2);')
  return () => dropDatabase(cluster.url, `case_${count}`)
})

async function rows(text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

test('applies the files in name order, once', async () => {
  expect(await migrate({ databaseUrl, folder })).toEqual({ applied: ['0001_one.sql', '0002_two.sql'] })
  expect(await migrate({ databaseUrl, folder })).toEqual({ applied: [] })
  await writeFile(join(folder, '0003_three.sql'), 'insert into baton.one values (3);')
  expect(await migrate({ databaseUrl, folder })).toEqual({ applied: ['0003_three.sql'] })
  expect(await rows('select n from baton.one order by n')).toEqual([{ n: 2 }, { n: 3 }])
})

test('eight processes at once apply each file once', async () => {
  const results = await Promise.all(Array.from({ length: 8 }, () => migrate({ databaseUrl, folder })))
  expect(results.flatMap((result) => result.applied).toSorted()).toEqual(['0001_one.sql', '0002_two.sql'])
  expect(await rows('select n from baton.one')).toEqual([{ n: 2 }])
})

test('a file that fails is named with its line and leaves nothing; those before it stay', async () => {
  await writeFile(join(folder, '0003_bad.sql'), 'create table baton.half (n int);\ninsert into baton.one\n  valuez (1);')
  await expect(migrate({ databaseUrl, folder })).rejects.toThrow(/0003_bad\.sql:3 failed and was rolled back: syntax error/)
  expect(await rows(`select to_regclass('baton.half') as half, to_regclass('baton.one') is not null as one`)).toEqual([
    { half: null, one: true },
  ])
  expect(await rows('select count(*)::int as n from baton.migrations')).toEqual([{ n: 2 }])
})

test('a file that was changed is applied again, once', async () => {
  await migrate({ databaseUrl, folder })
  await writeFile(join(folder, '0002_two.sql'), 'insert into baton.one values (99);')
  const lines: string[] = []
  expect(await migrate({ databaseUrl, folder, log: (line) => lines.push(line) })).toEqual({ applied: ['0002_two.sql'] })
  expect(lines.join()).toMatch(/0002_two\.sql was changed/)
  expect(await migrate({ databaseUrl, folder })).toEqual({ applied: [] })
})

async function besideReader(work: (reader: pg.Client) => Promise<void>): Promise<void> {
  await migrate({ databaseUrl, folder })
  await writeFile(join(folder, '0003_wider.sql'), 'alter table baton.one add column m int;')
  const reader = new pg.Client({ connectionString: databaseUrl })
  await reader.connect()
  try {
    await reader.query('begin')
    await reader.query('select n from baton.one')
    await work(reader)
  } finally {
    await reader.end()
  }
}

test('a file that needs a lock which a long reader holds keeps nobody waiting behind it, and is applied when the reader has ended', () =>
  besideReader(async (reader) => {
    const migrating = migrate({ databaseUrl, folder, locks: { waitMs: 300, forMs: 60_000 } })
    const waits = () =>
      rows(
        `select 1 from pg_locks l where not l.granted and l.mode = 'AccessExclusiveLock' and l.database = (select oid from pg_database where datname = current_database())`,
      )
    await poll(async () => (await waits()).length > 0, { everyMs: 10, forMs: 10_000 })
    // In the queue behind the file: it stands back while the reader still reads.
    expect(await rows('select n from baton.one')).toEqual([{ n: 2 }])
    await reader.query('commit')
    expect(await migrating).toEqual({ applied: ['0003_wider.sql'] })
  }))

test('a reader that does not end is named as the cause, and nothing of the file is there', () =>
  besideReader(async () => {
    const migrating = migrate({ databaseUrl, folder, locks: { waitMs: 50, forMs: 100 } })
    await expect(migrating).rejects.toThrow(/0003_wider\.sql was not applied: another connection holds a lock .*pg_stat_activity/)
    expect(await rows('select * from baton.one')).toEqual([{ n: 2 }])
  }))

test('a dry run says what it would do and does nothing', async () => {
  expect(await migrate({ databaseUrl, folder, dryRun: true })).toEqual({ applied: ['0001_one.sql', '0002_two.sql'] })
  expect(await rows(`select 1 from pg_namespace where nspname = 'baton'`)).toEqual([])
})

test('the files can be handed to a host repository', async () => {
  const target = join(root, 'host', 'migrations')
  expect(await copyMigrations(target, folder)).toEqual(['0001_one.sql', '0002_two.sql'])
  expect(await readdir(target)).toEqual(['0001_one.sql', '0002_two.sql'])
})

test('a database whose files the host repository applies has all that health asks for, and nothing is left to migrate', async () => {
  const nothing = join(root, `none_${count}`)
  await mkdir(nothing)
  await prepareDatabase(databaseUrl, { migrations: nothing })
  // What a project of Supabase has, and nothing of Baton.
  await rows('drop schema baton cascade')
  const target = join(root, `host_${count}`)
  for (const name of await copyMigrations(target)) await rows(await readFile(join(target, name), 'utf8'))
  const [answer] = (await rows(`select public.baton_health('{"environment": "production"}') as health`)) as { health: DatabaseHealth }[]
  expect(missingMigrations({ database: answer?.health ?? null, expected })).toEqual([])
  expect(expected).toHaveLength(answer?.health.migrations?.length ?? 0)
  // The ledger has the sums of the files as they stand here, which the doctor compares.
  expect(await migrate({ databaseUrl })).toEqual({ applied: [] })
})

test("Baton's own migrations apply, and each file twice does no harm", async () => {
  await prepareDatabase(databaseUrl)
  await rows('truncate baton.migrations')
  await prepareDatabase(databaseUrl)
})
