import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { startStack } from '#local/stack'
import { load, post } from '#bench/caller'
import { cpuMs } from '#bench/processes'
import { plainTurn, toolTurn } from '#bench/scripts'
import { short, summary } from '#bench/stats'

/*
 * `node bench/profile.ts [--callers 16] [--turns 40] [--tool | --accept] [--sql | --statements | --wal] [--set name=value]`: where the time of a turn goes. Processor time by part,
 * the busiest functions of the server (sampled), and with --sql the time of each SQL function (which slows them all).
 */
const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '16' },
    turns: { type: 'string', default: '40' },
    tool: { type: 'boolean', default: false },
    accept: { type: 'boolean', default: false },
    sql: { type: 'boolean', default: false },
    wal: { type: 'boolean', default: false },
    statements: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    top: { type: 'string', default: '40' },
  },
})

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number }; children?: number[] }[]
  samples: number[]
  timeDeltas: number[]
}

/** The inspector of a process that was started with --inspect, found by its port. */
async function inspect(port: number) {
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as { webSocketDebuggerUrl: string }[]
  const socket = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '')
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve())
    socket.addEventListener('error', () => reject(new Error(`no inspector at port ${port}`)))
  })
  const waiting = new Map<number, (result: unknown) => void>()
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: unknown }
    waiting.get(id)?.(result)
  })
  let last = 0
  const call = async (method: string, params: object = {}): Promise<unknown> => {
    const id = ++last
    socket.send(JSON.stringify({ id, method, params }))
    return new Promise((resolve) => waiting.set(id, resolve))
  }
  return { call, close: () => socket.close() }
}

/** Who wrote the log: each record's bytes, given to the table or index of its first block. */
const walByTable = `
select coalesce(c.relname, 'commits and the like') || ' ' || coalesce(min(b.record_type), '') as name, count(*) as records,
  sum(b.record_length) as bytes, sum(coalesce(b.block_fpi_length, 0)) as image
from pg_get_wal_block_info($1::pg_lsn, pg_current_wal_insert_lsn()) b left join pg_class c on pg_relation_filenode(c.oid) = b.relfilenode
where b.block_id = 0 group by c.relname, b.record_type having sum(b.record_length) > 0 order by 3 desc limit 40`

/** What the database's sessions wait for, looked at every few milliseconds until `stop`; shares of all looks at a session in a transaction. */
function watchWaits(pool: pg.Pool): { stop: () => Promise<[name: string, share: number][]> } {
  const seen = new Map<string, number>()
  let over = false
  const done = (async () => {
    while (!over) {
      const { rows } = await pool.query<{ name: string; many: string }>(
        `select coalesce(wait_event_type || '.' || wait_event, 'running') as name, count(*) as many from pg_stat_activity
        where state in ('active', 'idle in transaction') and pid <> pg_backend_pid() and backend_type = 'client backend' group by 1`,
      )
      for (const { name, many } of rows) seen.set(name, (seen.get(name) ?? 0) + Number(many))
      await new Promise((resolve) => setTimeout(resolve, 4))
    }
  })()
  return {
    async stop() {
      over = true
      await done
      const all = [...seen.values()].reduce((sum, many) => sum + many, 0)
      return [...seen].map(([name, many]): [string, number] => [name, many / all]).toSorted((a, b) => b[1] - a[1])
    },
  }
}

function selfTimes({ nodes, samples, timeDeltas }: Profile): { name: string; ms: number }[] {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const self = new Map<string, number>()
  for (const [at, id] of samples.entries()) {
    const frame = byId.get(id)?.callFrame
    const name = `${frame?.functionName === '' ? '(anonymous)' : frame?.functionName} ${frame?.url.split('/').slice(-3).join('/')}:${frame?.lineNumber}`
    self.set(name, (self.get(name) ?? 0) + (timeDeltas[at] ?? 0) / 1_000)
  }
  return [...self].map(([name, ms]) => ({ name, ms })).toSorted((a, b) => b.ms - a.ms)
}

async function main(): Promise<void> {
  const callers = Number(values.callers)
  const turns = Number(values.turns)
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-profile-'))
  const inspectPort = 20_000 + (process.pid % 20_000)
  const stack = await startStack({
    built: true,
    port: 0,
    quiet: true,
    dataDir,
    env: { NODE_OPTIONS: `--inspect=127.0.0.1:${inspectPort} --enable-source-maps` },
  })
  const pool = new pg.Pool({ connectionString: String(stack.info.databaseUrl), max: 1 })
  try {
    const url = (agent: string): string => `${stack.info.baseUrls[0]}/api/agents/${agent}/messages`
    const message = values.tool ? toolTurn : plainTurn
    const prefer = values.accept ? 'respond-async' : 'wait=25'
    const one = async (caller: number, at: number): Promise<number> =>
      (await post(url(values.accept ? `p-${caller}-${at}` : `p-${caller}`), { message, template: 'scripted' }, { prefer })).ms
    if (values.statements) {
      await pool.query(`alter system set shared_preload_libraries = 'pg_stat_statements'`)
      await pool.query(`alter system set pg_stat_statements.track = 'all'`)
      pool.on('error', () => undefined) // its connection is cut by the restart
      await stack.restart('postgres')
      await stack.waitReady()
      await pool.query('create extension if not exists pg_stat_statements')
    }
    for (const setting of values.set) {
      const [name = '', value = ''] = setting.split('=')
      await pool.query(`alter system set ${name} = ${pg.escapeLiteral(value)}`)
    }
    await pool.query('select pg_reload_conf()')
    await load(callers, 15, async (caller, at) => one(caller, at - 100))
    if (values.sql) {
      await pool.query(`alter system set track_functions = 'all'`)
      await pool.query('select pg_reload_conf()')
      await load(2, 2, one)
      await pool.query('select pg_stat_reset()')
    }
    if (values.statements) await pool.query('select public.pg_stat_statements_reset()')
    if (values.wal) await pool.query('create extension if not exists pg_walinspect')
    const { rows: place } = await pool.query<{ at: string }>('select pg_current_wal_insert_lsn()::text as at')
    const { pids } = stack.info
    const parts = {
      server: pids.servers[0] ?? null,
      gateway: pids.supabase,
      postgres: pids.postgres,
      redis: pids.redis,
      executor: pids.executor,
    }
    const inspector = await inspect(inspectPort)
    await inspector.call('Profiler.enable')
    await inspector.call('Profiler.setSamplingInterval', { interval: 200 })
    const used = Object.fromEntries(Object.entries(parts).map(([name, pid]) => [name, cpuMs(pid)]))
    await inspector.call('Profiler.start')
    const waits = watchWaits(pool)
    const from = performance.now()
    const times = await load(callers, turns, one)
    const took = performance.now() - from
    const { profile } = (await inspector.call('Profiler.stop')) as { profile: Profile }
    inspector.close()
    const waited = await waits.stop()
    const n = times.length
    const { p50, p95 } = summary(times)
    console.log(`${n} turns by ${callers} callers: p50 ${short(p50)} ms, p95 ${short(p95)} ms, ${short((n / took) * 1_000)} a second`)
    console.log('processor ms per turn:')
    for (const [name, pid] of Object.entries(parts)) console.log(`  ${name.padEnd(10)} ${short((cpuMs(pid) - (used[name] ?? 0)) / n)}`)
    console.log(`sessions of the database: ${waited.map(([name, share]) => `${name} ${(share * 100).toFixed(0)} %`).join(', ')}`)
    console.log('server, ms of itself per turn:')
    for (const { name, ms } of selfTimes(profile).slice(0, Number(values.top))) console.log(`  ${(ms / n).toFixed(3).padStart(8)}  ${name}`)
    if (values.wal) {
      const { rows } = await pool.query<{ name: string; records: string; bytes: string; image: string }>(walByTable, [place[0]?.at])
      console.log('WAL per turn: records, bytes, of which whole pages')
      for (const row of rows)
        console.log(
          `  ${(Number(row.records) / n).toFixed(2).padStart(7)} ${(Number(row.bytes) / n).toFixed(0).padStart(7)} ${(Number(row.image) / n).toFixed(0).padStart(7)}  ${row.name}`,
        )
    }
    if (values.statements) {
      const { rows } = await pool.query<{ query: string; calls: string; ms: number }>(
        `select query, calls, total_exec_time as ms from public.pg_stat_statements where calls > $1 order by 3 desc`,
        [n / 20],
      )
      const all = rows.reduce((sum, row) => sum + Number(row.calls), 0)
      console.log(
        `statements inside and outside of functions: ${short(all / n)} per turn; calls per turn, ms per turn (with what they call)`,
      )
      for (const row of rows.slice(0, 90))
        console.log(
          `  ${(Number(row.calls) / n).toFixed(2).padStart(7)} ${(row.ms / n).toFixed(3).padStart(8)}  ${row.query.replaceAll(/\s+/g, ' ').slice(0, 150)}`,
        )
    }
    if (values.sql) {
      await pool.query('select pg_sleep(1)') // the statistics of other sessions arrive within a second
      const { rows } = await pool.query<{ name: string; calls: string; total: number; self: number }>(
        `select schemaname || '.' || funcname as name, calls, total_time as total, self_time as self
        from pg_stat_user_functions order by self_time desc limit 40`,
      )
      console.log('SQL, per turn: calls, ms with what it calls, ms of itself')
      for (const row of rows)
        console.log(
          `  ${(Number(row.calls) / n).toFixed(2).padStart(7)} ${(row.total / n).toFixed(3).padStart(8)} ${(row.self / n).toFixed(3).padStart(8)}  ${row.name}`,
        )
    }
  } finally {
    await pool.end()
    await stack.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

await main()
