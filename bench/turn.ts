import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startStack } from '#local/stack'
import { startProxy } from '#tests/proxy'

/** What one turn costs, printed as a table: trips, bytes, WAL, milliseconds. Nothing is asserted; run it on a quiet machine. */
interface Row {
  turn: string
  callers: number
  trips: string
  'sent KB': string
  'WAL KB': string
  'p50 ms': string
  'p95 ms': string
}

const beside = new Set(['baton_outbox_sent', 'baton_renew', 'baton_sweep', 'baton_health'])
const script = JSON.stringify({ script: [{ text: 'Hello' }] })
const withTool = JSON.stringify({ script: [{ tools: [{ name: 'echo', input: { value: 'x' } }] }, { text: 'done' }] })

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

async function main(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-bench-'))
  let door = ''
  const proxy = await startProxy(() => door)
  const stack = await startStack({ built: true, port: 0, quiet: true, dataDir, env: { SUPABASE_URL: proxy.url } })
  door = String(stack.info.supabaseUrl)
  const pool = new pg.Pool({ connectionString: String(stack.info.databaseUrl), max: 1 })
  const base = stack.info.baseUrls[0] ?? ''
  const walAt = async (): Promise<bigint> =>
    BigInt((await pool.query<{ at: string }>(`select (pg_current_wal_insert_lsn() - '0/0')::bigint as at`)).rows[0]?.at ?? 0)

  async function send(agent: string, message: string, prefer: string): Promise<number> {
    const start = performance.now()
    const response = await fetch(`${base}/api/agents/${agent}/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer },
      body: JSON.stringify({ message, template: 'scripted' }),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    if (response.status >= 300) throw new Error(`${response.status}: ${text}`)
    return performance.now() - start
  }

  /** `turns` turns by each of `callers`, each caller with agents of its own. */
  async function measure(turn: string, callers: number, turns: number, one: (caller: number, at: number) => Promise<number>): Promise<Row> {
    await one(0, -1)
    const from = proxy.trips.length
    const wal = await walAt()
    const all = await Promise.all(
      Array.from({ length: callers }, async (_, caller) => {
        const times: number[] = []
        for (let at = 0; at < turns; at++) times.push(await one(caller, at))
        return times
      }),
    )
    const times = all.flat()
    const trips = proxy.trips.slice(from).filter((trip) => !beside.has(trip.name))
    const sent = trips.reduce((sum, trip) => sum + trip.sentBytes, 0)
    const kilobytes = (bytes: number): string => (bytes / times.length / 1024).toFixed(1)
    return {
      turn,
      callers,
      trips: (trips.length / times.length).toFixed(2),
      'sent KB': kilobytes(sent),
      'WAL KB': kilobytes(Number((await walAt()) - wal)),
      'p50 ms': quantile(times, 0.5).toFixed(1),
      'p95 ms': quantile(times, 0.95).toFixed(1),
    }
  }

  try {
    for (let at = 0; at < 20; at++) await send('warm', script, 'wait=25')
    const rows: Row[] = []
    rows.push(await measure('plain, new agent', 1, 60, (_, at) => send(`new-${at}`, script, 'wait=25')))
    rows.push(await measure('plain, 0 messages', 1, 60, () => send('fresh', script, 'wait=25')))
    await send('long', script, 'wait=25')
    await fill(pool, 5_000)
    rows.push(await measure('plain, 5,000 messages', 1, 60, () => send('long', script, 'wait=25')))
    rows.push(await measure('one tool', 1, 40, () => send('tool', withTool, 'wait=25')))
    rows.push(await measure('plain', 16, 20, (caller) => send(`c-${caller}`, script, 'wait=25')))
    rows.push(await measure('accept, respond-async', 1, 60, (_, at) => send(`a1-${at}`, script, 'respond-async')))
    rows.push(await measure('accept, respond-async', 16, 20, (caller, at) => send(`a16-${caller}-${at}`, script, 'respond-async')))
    console.table(rows)
    console.log(
      'Trips beside the work are not counted: outbox marks, heartbeats, sweeps. With respond-async the background slices of earlier messages run meanwhile.',
    )
  } finally {
    await pool.end()
    await stack.stop()
    await proxy.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Gives the agent `long` so many earlier messages, of which the window sees the last 100. */
async function fill(pool: pg.Pool, messages: number): Promise<void> {
  await pool.query(
    `insert into baton.messages (agent_uid, seq, tenant_id, role, content, bytes, est_tokens)
    select a.agent_uid, g, a.tenant_id, case g % 2 when 1 then 'user' else 'assistant' end, to_json(repeat('x', 1000)), 1002, 335
    from baton.agents a, generate_series(a.last_message_seq + 1, $1::bigint) g where a.id = 'long'`,
    [messages],
  )
  await pool.query(
    `update baton.agents set last_message_seq = $1::bigint, window_from = $1::bigint - 99, window_tokens = 33500 where id = 'long'`,
    [messages],
  )
  await pool.query('vacuum analyze')
}

await main()
