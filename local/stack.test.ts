import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@supabase/supabase-js'
import { Redis } from '@upstash/redis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureTemplate } from '#local/database'
import { poll } from '#local/poll'
import { isAlive } from '#local/postgres/orphan'
import { startStack, type PartName, type Stack, type StackInfo } from '#local/stack'

const standIn = [process.execPath, join(import.meta.dirname, 'fixtures', 'stand-in.ts')]
const common = { port: 0, quiet: true, serverCommand: standIn, executorCommand: standIn, fsync: false }

vi.setConfig({ testTimeout: 120_000 }) // parts start in a second or two, much more on a busy machine

let folder: string
let stack: Stack

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function localJson(dataDir: string): Promise<unknown> {
  return JSON.parse(await readFile(join(dataDir, 'local.json'), 'utf8'))
}

const pidsOf = ({ pids }: StackInfo): number[] =>
  [...pids.servers, pids.postgres, pids.redis, pids.executor, pids.supabase].filter((pid) => pid !== null)

/** What the terminal shows. */
const told: string[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-stack-'))
  await chmod(folder, 0o755) // else root's PostgreSQL account cannot enter, and the clusters stand below /var/tmp
  stack = await startStack({ ...common, quiet: false, log: (line) => told.push(line), dataDir: join(folder, 'one'), servers: 2 })
  await query(
    stack.info.databaseUrl ?? '',
    `create function public.baton_test_echo(p jsonb) returns jsonb language sql security definer set search_path = ''
       as $$ select jsonb_build_object('got', p, 'kind', jsonb_typeof(p), 'user', current_setting('role')) $$;
     revoke execute on function public.baton_test_echo(jsonb) from public, anon, authenticated;
     grant execute on function public.baton_test_echo(jsonb) to service_role;
     create function public.plain_echo(p jsonb) returns jsonb language sql as $$ select jsonb_build_object('got', p, 'kind', jsonb_typeof(p)) $$;
     create function public.baton_test_refuse(p jsonb) returns jsonb language plpgsql as $$ begin raise exception 'no'; end $$;`,
  )
}, 120_000)

afterAll(async () => {
  await stack?.stop()
  await rm(folder, { recursive: true, force: true })
}, 60_000)

describe('a running stack', () => {
  test('local.json says where everything is, readable by its owner only', async () => {
    const file = join(folder, 'one', 'local.json')
    expect(await localJson(join(folder, 'one'))).toEqual(stack.info)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, 'one', 'keys.json'))).mode & 0o777).toBe(0o600)
    expect(pidsOf(stack.info).every(isAlive)).toBe(true)
    const [first, second] = stack.info.baseUrls.map((url) => Number(new URL(url).port))
    expect(second).toBe((first ?? 0) + 1)
  })

  test('the servers are told where the parts are', async () => {
    const [baseUrl] = stack.info.baseUrls
    const told: unknown = await (await fetch(`${baseUrl}/env`)).json()
    expect(told).toMatchObject({
      BATON_LOCAL: '1',
      BATON_ENV: 'local',
      BATON_BASE_URL: baseUrl,
      SUPABASE_URL: stack.info.supabaseUrl,
      SUPABASE_SECRET_KEY: stack.info.secretKey,
      UPSTASH_REDIS_REST_URL: stack.info.redisUrl,
      INNGEST_DEV: stack.info.inngestUrl,
    })
    expect(told).not.toHaveProperty('BATON_LOCAL_REAL')
  })

  test('rpc carries one jsonb in and one out, as service_role only', async () => {
    const service = createClient(stack.info.supabaseUrl ?? '', stack.info.secretKey ?? '')
    const p = { text: 'ü "quoted"', list: [1, { deep: null }], big: 12_345_678_901 }
    expect((await service.rpc('baton_test_echo', { p })).data).toEqual({ got: p, kind: 'object', user: 'service_role' })
    const refused = await service.rpc('baton_test_refuse', { p })
    expect([refused.status, refused.error?.code, refused.error?.message]).toEqual([400, 'P0001', 'no'])
    expect((await service.rpc('baton_test_missing', { p })).error?.code).toBe('PGRST202')
    const stranger = createClient(stack.info.supabaseUrl ?? '', stack.info.publishableKey ?? '')
    expect((await stranger.rpc('baton_test_echo', { p })).error?.code).toBe('42501')
    const wrong = createClient(stack.info.supabaseUrl ?? '', 'sb_secret_wrong')
    expect((await wrong.rpc('baton_test_echo', { p })).status).toBe(401)
  })

  test("functions that take lite's road get jsonb once encoded, also the first ones at the same time", async () => {
    await stack.restart('supabase') // lite reads the list of functions when it starts
    const service = createClient(stack.info.supabaseUrl ?? '', stack.info.secretKey ?? '')
    const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => service.rpc('plain_echo', { p: { n } })))
    expect(answers.map((answer) => answer.data)).toEqual(Array.from({ length: 12 }, (_, n) => ({ got: { n }, kind: 'object' })))
  })

  test('anon has no right on any table of schema baton, whatever lite has granted', async () => {
    const rows = await query(
      stack.info.databaseUrl ?? '',
      `select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace, unnest(array['select', 'insert', 'update', 'delete']) as right_name
        where n.nspname = 'baton' and c.relkind = 'r' and has_table_privilege('anon', c.oid, right_name)`,
    )
    expect(rows).toEqual([])
  })

  test('users can sign up and their token names them', async () => {
    const client = createClient(stack.info.supabaseUrl ?? '', stack.info.publishableKey ?? '', { auth: { persistSession: false } })
    const { data, error } = await client.auth.signUp({ email: 'ada@example.com', password: 'long-enough-1' })
    expect(error).toBeNull()
    expect((await client.auth.getUser(data.session?.access_token)).data.user?.email).toBe('ada@example.com')
  })

  test('the clock of SQL follows baton.local_clock', async () => {
    const url = stack.info.databaseUrl ?? ''
    await query(url, 'update baton.local_clock set offset_ms = 3600000')
    const [row] = await query(url, 'select extract(epoch from baton.clock() - clock_timestamp()) as ahead')
    await query(url, 'update baton.local_clock set offset_ms = 0')
    expect(Number(row?.['ahead'])).toBeGreaterThan(3_590)
  })

  test.each<PartName>(['postgres', 'supabase', 'redis', 'executor', 'server-1'])(
    '%s is started again on the same port after kill -9',
    async (part) => {
      const before = stack.info
      await stack.kill(part, 'SIGKILL')
      await stack.waitReady(part)
      const after = stack.info
      expect({ ...after, pids: null }).toEqual({ ...before, pids: null })
      expect(told).toContain(`  ${part} ended (SIGKILL) and is started again`)
      const old = pidsOf(before).filter((pid) => !pidsOf(after).includes(pid))
      expect(old).toHaveLength(1)
      expect(isAlive(old[0] ?? 0)).toBe(false)
      expect(await localJson(join(folder, 'one'))).toEqual(after)
    },
  )

  test('committed rows survive kill -9 of PostgreSQL, and rpc works again', async () => {
    const url = stack.info.databaseUrl ?? ''
    await query(url, 'create table public.kept (n int); insert into public.kept select generate_series(1, 1000)')
    await stack.kill('postgres', 'SIGKILL')
    await stack.waitReady()
    expect(await query(url, 'select count(*)::int as n from public.kept')).toEqual([{ n: 1_000 }])
    const service = createClient(stack.info.supabaseUrl ?? '', stack.info.secretKey ?? '')
    expect(await poll(async () => (await service.rpc('baton_test_echo', { p: {} })).error === null, { everyMs: 50, forMs: 60_000 })).toBe(
      true,
    )
  })

  test('a halted part stays away until it is resumed', async () => {
    await stack.halt('redis')
    const redis = new Redis({ url: stack.info.redisUrl ?? '', token: stack.info.redisToken ?? '', retry: false, enableTelemetry: false })
    await expect(redis.ping()).rejects.toThrow()
    expect(stack.info.pids.redis).toBeNull()
    stack.resume('redis')
    await stack.waitReady('redis')
    expect(await redis.ping()).toBe('PONG')
  })

  test('a second stack on the same folder is refused and names the folder', async () => {
    const second = startStack({ ...common, dataDir: join(folder, 'one'), fresh: true })
    await expect(second).rejects.toThrow(/in use by another local stack \(process \d+\)/)
    expect(pidsOf(stack.info).every(isAlive)).toBe(true)
    // Also one that begins with nothing, as the demo does, removes nothing of it.
    expect(await localJson(join(folder, 'one'))).toEqual(stack.info)
  })

  test('a second stack can stand on a database of its own in the cluster of the first', async () => {
    const clusterUrl = stack.info.databaseUrl ?? ''
    const template = await ensureTemplate(clusterUrl)
    const other = await startStack({ ...common, dataDir: join(folder, 'two'), postgresUrl: clusterUrl, template })
    try {
      expect(other.info.pids.postgres).toBeNull()
      expect(other.info.databaseUrl).not.toBe(clusterUrl)
      await query(other.info.databaseUrl ?? '', 'create table public.only_here ()')
      expect(await query(clusterUrl, `select to_regclass('public.only_here') as found`)).toEqual([{ found: null }])
    } finally {
      await other.stop()
    }
    expect(await query(clusterUrl, `select datname from pg_database where datname like 'baton_%' and datname <> '${template}'`)).toEqual([])
  })
})

test('parts named in `real` are not started, and servers keep their own variables for them', async () => {
  const mixed = await startStack({
    ...common,
    dataDir: join(folder, 'real'),
    real: ['supabase', 'inngest'],
    envFiles: true,
    env: { SUPABASE_URL: 'https://example.supabase.co' },
  })
  try {
    expect(mixed.info).toMatchObject({
      supabaseUrl: null,
      databaseUrl: null,
      inngestUrl: null,
      pids: { postgres: null, supabase: null, executor: null },
    })
    const told: unknown = await (await fetch(`${mixed.info.baseUrls[0]}/env`)).json()
    expect(told).toMatchObject({ BATON_LOCAL: '1', BATON_LOCAL_REAL: 'supabase,inngest', SUPABASE_URL: 'https://example.supabase.co' })
    expect(told).not.toHaveProperty('INNGEST_DEV')
  } finally {
    await mixed.stop()
  }
})

test('a fresh stack has nothing of the one before', async () => {
  const options = { ...common, dataDir: join(folder, 'fresh'), real: ['supabase', 'redis', 'inngest'] }
  await (await startStack(options)).stop()
  const before = await readFile(join(options.dataDir, 'keys.json'), 'utf8')
  await (await startStack({ ...options, fresh: true })).stop()
  expect(await readFile(join(options.dataDir, 'keys.json'), 'utf8')).not.toBe(before)
})

test('a part that cannot start fails the start with the end of its log, and nothing is left running', async () => {
  const broken = join(folder, 'broken.mjs')
  await writeFile(broken, `console.error('no such luck'); process.exit(3)`)
  const dataDir = join(folder, 'broken')
  const started = startStack({ ...common, dataDir, real: ['supabase', 'redis', 'inngest'], serverCommand: [process.execPath, broken] })
  await expect(started).rejects.toThrow(/server-0 does not start[\s\S]*no such luck/)
  expect(existsSync(join(dataDir, 'local.json'))).toBe(false)
})

test('a server that listens and fails is told at once, with the end of its log, and starts when it is mended', async () => {
  const mended = join(folder, 'mended')
  const failing = join(folder, 'failing.mjs')
  await writeFile(
    failing,
    `import { existsSync } from 'node:fs'
     import { createServer } from 'node:http'
     process.on('disconnect', () => process.exit(0))
     createServer((request, response) => {
       if (!existsSync(${JSON.stringify(mended)})) console.error('template "helper": two tools are named x')
       response.writeHead(existsSync(${JSON.stringify(mended)}) ? 200 : 500).end()
     }).listen(Number(process.env.PORT), '127.0.0.1')`,
  )
  const lines: string[] = []
  // Whoever reads it mends the mistake: only then does the start end.
  const log = (line: string): void => {
    lines.push(line)
    if (line.includes('server-0 answers 500')) writeFileSync(mended, '')
  }
  const parts = { real: ['supabase', 'redis', 'inngest'], serverCommand: [process.execPath, failing] } as const
  const late = await startStack({ ...common, ...parts, quiet: false, log, dataDir: join(folder, 'failing') })
  await late.stop()
  expect(lines.filter((line) => line.includes('answers 500'))).toEqual([expect.stringContaining('two tools are named x')])
})

async function startSupervisor(dataDir: string): Promise<{ pid: number; info: StackInfo; ended: Promise<number | null> }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', 'supervisor.ts'), dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise<number | null>((done) => child.once('exit', done))
  const ready = await poll(() => /^ready\n.*\n/.test(output) || child.exitCode !== null, { everyMs: 20, forMs: 60_000 })
  if (!ready || child.exitCode !== null) throw new Error(`The stack did not start: ${output}`)
  return { pid: child.pid ?? 0, info: JSON.parse(output.split('\n')[1] ?? '') as StackInfo, ended }
}

test('kill -9 of the supervisor ends every part, and the next start has the data', async () => {
  const dataDir = join(folder, 'killed')
  const first = await startSupervisor(dataDir)
  await query(first.info.databaseUrl ?? '', 'create table public.kept as select 42 as n')
  process.kill(first.pid, 'SIGKILL')
  await first.ended
  const second = await startSupervisor(dataDir) // at once: it must not wait for the rest of the first
  expect(await query(second.info.databaseUrl ?? '', 'select n from public.kept')).toEqual([{ n: 42 }])
  expect(await poll(() => !pidsOf(first.info).some(isAlive), { everyMs: 20, forMs: 60_000 })).toBe(true)
  expect(second.info.secretKey).toBe(first.info.secretKey)

  const from = performance.now()
  process.kill(second.pid, 'SIGTERM')
  expect(await second.ended).toBe(0)
  // Five seconds are promised; a busy machine adds its own.
  expect(performance.now() - from).toBeLessThan(60_000)
  expect(pidsOf(second.info).some(isAlive)).toBe(false)
  expect(existsSync(join(dataDir, 'local.json'))).toBe(false)

  const third = await startSupervisor(dataDir)
  process.kill(third.pid, 'SIGKILL')
  await third.ended
  expect(await poll(() => !pidsOf(third.info).some(isAlive), { everyMs: 20, forMs: 60_000 })).toBe(true) // PostgreSQL too
}, 180_000)
