import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import pg from 'pg'
import { poll } from '#local/poll'
import type { StackInfo } from '#local/stack'
import { answersHttp } from '#local/stack/parts'

const folder = join(import.meta.dirname, 'floor')
const nextBin = createRequire(import.meta.url).resolve('next/dist/bin/next')

/** The floor's server: `direct` over a connection of its own, `rpc` over the stack's Supabase. */
export interface Floor {
  url: (road: 'direct' | 'rpc') => string
  pid: number
  stop: () => Promise<void>
}

/** Builds the floor's app where its build is missing or older than its routes; it is no part of Baton's build. */
export function buildFloor(): void {
  const built = join(folder, '.next/BUILD_ID')
  const sources = ['next.config.ts', 'app/direct/route.ts', 'app/rpc/route.ts'].map((file) => join(folder, file))
  if (existsSync(built) && sources.every((file) => statSync(file).mtimeMs < statSync(built).mtimeMs)) return
  const { status, stderr } = spawnSync(process.execPath, [nextBin, 'build'], {
    cwd: folder,
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
    encoding: 'utf8',
    timeout: 180_000,
  })
  if (status !== 0) throw new Error(`the floor was not built: ${stderr.slice(-2_000)}`)
}

/** One table and, for the road over HTTP, a function for the SELECT and one for the INSERT. */
const schema = `
create table if not exists public.floor_messages (agent text, seq bigint, content jsonb not null, at timestamptz not null default now(), primary key (agent, seq));
create or replace function public.baton_floor_select(p jsonb) returns json language sql as
  $$select json_build_object('seq', coalesce(max(seq), 0)) from public.floor_messages where agent = p ->> 'agent'$$;
create or replace function public.baton_floor_insert(p jsonb) returns json language sql as
  $$insert into public.floor_messages (agent, seq, content) values (p ->> 'agent', (p ->> 'seq')::bigint, p -> 'message') on conflict do nothing;
  select json_build_object('seq', p -> 'seq')$$;
grant all on public.floor_messages to service_role;
grant execute on function public.baton_floor_select, public.baton_floor_insert to service_role;`

/** Starts the floor's server beside a stack, on the same Postgres. */
export async function startFloor(info: StackInfo, port: number): Promise<Floor> {
  const client = new pg.Client({ connectionString: String(info.databaseUrl) })
  await client.connect()
  await client.query(schema)
  await client.end()
  const child: ChildProcess = spawn(process.execPath, [nextBin, 'start', '-p', String(port), '-H', '127.0.0.1'], {
    cwd: folder,
    stdio: 'ignore',
    env: {
      ...process.env,
      NODE_ENV: 'production',
      NEXT_TELEMETRY_DISABLED: '1',
      FLOOR_DATABASE_URL: String(info.databaseUrl),
      FLOOR_SUPABASE_URL: String(info.supabaseUrl),
      FLOOR_SECRET_KEY: String(info.secretKey),
    },
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 3_000)
    await ended
    clearTimeout(late)
  }
  const up = await poll(async () => answersHttp(`http://127.0.0.1:${port}/`, 1_000), { everyMs: 50, forMs: 20_000 })
  if (!up) {
    await stop()
    throw new Error('the floor does not answer')
  }
  return { url: (road) => `http://127.0.0.1:${port}/${road}`, pid: child.pid ?? 0, stop }
}
