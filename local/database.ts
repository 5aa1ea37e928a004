import { createHash } from 'node:crypto'
import pg from 'pg'
import { migrate, readMigrations } from '#supabase/migrate'

/** What Supabase's platform gives every project and the migrations rely on: roles, and the functions policies call. */
const platformSql = `
do $$
declare role_name text;
begin
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    begin
      execute format('create role %I nologin %s', role_name, case role_name when 'service_role' then 'bypassrls' else '' end);
    exception when duplicate_object or unique_violation then null; -- roles belong to the cluster: another database made it
    end;
  end loop;
end $$;
create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;
grant usage on schema public to anon, authenticated, service_role;
create or replace function auth.uid() returns uuid language sql stable
  as $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
create or replace function auth.role() returns text language sql stable
  as $$ select nullif(current_setting('request.jwt.claim.role', true), '') $$;
create or replace function auth.email() returns text language sql stable
  as $$ select nullif(current_setting('request.jwt.claim.email', true), '') $$;
create or replace function auth.jwt() returns jsonb language sql stable
  as $$ select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
`

/**
 * Only in local mode: the one clock of all SQL gets an offset that tests move. The offset stands in the function itself, as if it were
 * production's: whoever changes the row writes the function anew, and the plans that hold it are made again.
 */
const clockSql = `
create table if not exists baton.local_clock (
  single boolean primary key default true check (single),
  offset_ms bigint not null default 0
);
create or replace function baton.move_clock() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  execute format('create or replace function baton.clock() returns timestamptz language sql volatile as %L',
    format('select pg_catalog.clock_timestamp() + pg_catalog.interval %L', new.offset_ms || ' milliseconds'));
  return new;
end $$;
create or replace trigger clock_is_moved after insert or update on baton.local_clock for each row execute function baton.move_clock();
insert into baton.local_clock default values on conflict (single) do update set offset_ms = baton.local_clock.offset_ms;
create or replace function public.baton_local_time(p jsonb) returns json language plpgsql security definer set search_path = '' as $$
begin
  update baton.local_clock set offset_ms = offset_ms + coalesce((p ->> 'advanceMs')::bigint, 0);
  return (select json_build_object('ok', true, 'offsetMs', c.offset_ms, 'now', baton.clock()) from baton.local_clock c);
end $$;
`

/** For a schema without baton.apply_grants(): nobody but service_role touches schema baton. */
const fallbackGrantsSql = `
revoke all on all tables in schema baton from anon, authenticated;
revoke all on all sequences in schema baton from anon, authenticated;
alter default privileges in schema baton revoke all on tables from anon, authenticated;
alter default privileges in schema baton revoke all on sequences from anon, authenticated;
`

async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000, query_timeout: 120_000 })
  client.on('error', () => undefined) // a connection that breaks fails the query in hand, which reports it
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Grants again what the migrations grant; needed after lite has started, which gives ALL to anon. */
export async function applyGrants(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    await client.query('revoke all on all tables in schema auth from anon, authenticated')
    const found = await client.query<{ present: boolean }>(`select to_regprocedure('baton.apply_grants()') is not null as present`)
    await client.query(found.rows[0]?.present === true ? 'select baton.apply_grants()' : fallbackGrantsSql)
  })
}

/** How a database is prepared: `migrations` is the folder of the files (default supabase/migrations). */
export interface PrepareOptions {
  migrations?: string
  log?: (line: string) => void
}

/** Makes a database ready for Baton: Supabase's roles and auth functions, the migrations, the local clock, the grants. */
export async function prepareDatabase(databaseUrl: string, { migrations, log }: PrepareOptions = {}): Promise<void> {
  await withClient(databaseUrl, (client) => client.query(platformSql))
  await migrate({ databaseUrl, ...(migrations === undefined ? {} : { folder: migrations }), ...(log === undefined ? {} : { log }) })
  await withClient(databaseUrl, (client) => client.query(clockSql))
  await applyGrants(databaseUrl)
}

/** The URL of another database of the same cluster. */
export function databaseUrlFor(clusterUrl: string, database: string): string {
  const url = new URL(clusterUrl)
  url.pathname = `/${encodeURIComponent(database)}`
  return url.toString()
}

/**
 * Creates a database and answers with its URL: a copy of `template` (about 50 ms) when given, else an empty one.
 * A template that somebody is connected to is tried again for 5 s. Throws if the database exists.
 */
export async function createDatabase(clusterUrl: string, database: string, template?: string): Promise<string> {
  const source = template === undefined ? '' : ` template ${pg.escapeIdentifier(template)}`
  const end = performance.now() + 5_000
  await withClient(clusterUrl, async (client) => {
    for (;;) {
      try {
        await client.query(`create database ${pg.escapeIdentifier(database)}${source}`)
        return
      } catch (error) {
        const busy = error instanceof pg.DatabaseError && error.code === '55006'
        if (!busy || performance.now() > end) throw error
        await client.query('select pg_sleep(0.05)')
      }
    }
  })
  return databaseUrlFor(clusterUrl, database)
}

/** Drops a database, whoever is connected to it; one that does not exist is no error. */
export async function dropDatabase(clusterUrl: string, database: string): Promise<void> {
  await withClient(clusterUrl, (client) => client.query(`drop database if exists ${pg.escapeIdentifier(database)} with (force)`))
}

/** Whether a cluster has a database of this name. */
export async function databaseExists(clusterUrl: string, database: string): Promise<boolean> {
  return withClient(clusterUrl, async (client) => {
    const found = await client.query('select 1 from pg_database where datname = $1', [database])
    return found.rowCount === 1
  })
}

/**
 * Makes (once per set of migrations) a prepared database to copy from and answers with its name, `baton_template_...`.
 * Many processes may ask at the same time: one makes it, the others wait.
 */
export async function ensureTemplate(clusterUrl: string, options: PrepareOptions = {}): Promise<string> {
  const sums = (await readMigrations(options.migrations)).map((migration) => migration.checksum)
  const mark = createHash('sha256')
    .update([platformSql, clockSql, ...sums].join('\n'))
    .digest('hex')
    .slice(0, 12)
  const name = `baton_template_${mark}`
  await withClient(clusterUrl, async (client) => {
    // a session lock is right here: this connection is direct and ends with this function
    await client.query(`select pg_advisory_lock(hashtextextended('baton.template', 0))`)
    if (await databaseExists(clusterUrl, name)) return
    const draft = `${name}_draft`
    await dropDatabase(clusterUrl, draft)
    await prepareDatabase(await createDatabase(clusterUrl, draft), options)
    await client.query(`alter database ${pg.escapeIdentifier(draft)} rename to ${pg.escapeIdentifier(name)}`)
  })
  return name
}
