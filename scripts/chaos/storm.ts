import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { poll } from '#local/poll'
import { startStack, type StackOptions } from '#local/stack'
import { startLoad } from '#scripts/chaos/load'
import { chanceFrom } from '#scripts/chaos/random'
import { secondsToResume, type Kill } from '#scripts/chaos/resumes'
import { violations, type Sql } from '#scripts/chaos/violations'

/** How hard it blows. */
export interface StormOptions {
  kills: number
  seed: number
  servers: number
  callers: number
  agents: number
  /** Options of the stack beside these: tests lend their cluster. */
  stack?: StackOptions
  log: (line: string) => void
}

/** What was left after the storm. */
export interface StormReport {
  kills: number
  messages: number
  /** Runs by state, or by stop reason where they did not complete. */
  ends: Record<string, number>
  /** Slices that died with their process and were taken over. */
  takeOvers: number
  onceEffects: number
  sealed: number
  /** Sorted. */
  resumeSeconds: number[]
  elapsedSeconds: number
  violations: string[]
}

/** Time for what is still open when the last kill is done, in milliseconds. */
const calmMs = 180_000

/**
 * Runs a load of scripted agents on a stack of its own, kills server processes at random, and checks the run contract over the
 * database and the effects log when all is calm. Throws when the stack does not start or a message is refused.
 */
export async function storm(options: StormOptions): Promise<StormReport> {
  const { log } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-chaos-'))
  const stack = await startStack({ built: true, port: 0, quiet: true, ...options.stack, servers: options.servers, dataDir })
  const pool = new pg.Pool({ connectionString: String(stack.info.databaseUrl), max: 2 })
  pool.on('error', (error) => log(`database: ${error.message}`))
  const sql: Sql = async (text, values = []) => (await pool.query<Record<string, unknown>>(text, values)).rows
  const started = performance.now()
  try {
    const chance = chanceFrom(options.seed)
    const load = startLoad({
      bases: stack.info.baseUrls,
      callers: options.callers,
      agents: options.agents,
      chance: chanceFrom(options.seed + 1),
    })
    const kills: Kill[] = []
    while (kills.length < options.kills) {
      await sleep(chance.whole(300, 3_000))
      const server = chance.whole(0, options.servers - 1)
      const pid = stack.info.pids.servers[server]
      if (pid === null || pid === undefined) continue
      kills.push({ pid, at: Date.now() })
      await stack.kill(`server-${server}`, 'SIGKILL')
      // At once, without the supervisor's growing pause: a platform has another instance ready.
      await stack.halt(`server-${server}`)
      stack.resume(`server-${server}`)
      if (kills.length % 10 === 0) log(`${kills.length} kills, ${load.accepted.size} messages`)
    }
    await stack.waitReady()
    await load.stop()
    await calm(sql)
    const effectsFile = join(dataDir, 'effects.jsonl')
    const effects = existsSync(effectsFile) ? parse(await readFile(effectsFile, 'utf8')) : []
    const found = await violations(sql, effects)
    found.push(...(await lostMessages(sql, load.accepted)))
    const ends = await sql(
      `select case when state = 'completed' then state else stop_reason end as how, count(*)::int as n from baton.runs group by 1`,
    )
    const [counts] =
      await sql(`select (select count(*)::int from baton.events where type = 'resumed' and data ->> 'strategy' = 'crash') as overs,
      (select count(*)::int from baton.tool_calls where effect = 'once' and state = 'sealed') as sealed`)
    return {
      kills: kills.length,
      messages: load.accepted.size,
      ends: Object.fromEntries(ends.map((row) => [String(row['how']), Number(row['n'])])),
      takeOvers: Number(counts?.['overs']),
      onceEffects: effects.filter((effect) => effect.name === 'charge').length,
      sealed: Number(counts?.['sealed']),
      resumeSeconds: await secondsToResume(sql, kills, effects),
      elapsedSeconds: (performance.now() - started) / 1_000,
      violations: found,
    }
  } finally {
    await pool.end()
    await stack.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Waits until nothing is open and nothing is unsent; what is open after that is a violation, found by the checks. */
async function calm(sql: Sql): Promise<void> {
  await poll(
    async () => {
      const [row] =
        await sql(`select (select count(*) from baton.runs where baton.is_open(state)) + (select count(*) from baton.outbox where sent_at is null)
        + (select count(*) from baton.agents where lease_owner is not null) as open`)
      return Number(row?.['open']) === 0
    },
    { everyMs: 500, forMs: calmMs },
  )
}

/** Messages that were answered with 2xx and have no run, and runs that nobody was told of. */
async function lostMessages(sql: Sql, accepted: ReadonlyMap<string, string>): Promise<string[]> {
  const runs = new Set((await sql(`select run_id from baton.runs`)).map((row) => row['run_id']))
  const faults = [...accepted]
    .filter(([, run]) => !runs.has(run))
    .map(([key, run]) => `message ${key} was accepted as ${run}, which does not exist`)
  if (runs.size !== accepted.size) faults.push(`${accepted.size} messages were accepted and ${runs.size} runs exist`)
  return faults
}

type Effect = Parameters<typeof secondsToResume>[2][number]

/** Lines of the effects log; the last one may have been cut by a kill. */
function parse(text: string): Effect[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as Effect]
    } catch {
      return [] // a line that a kill has cut: its effect had not begun
    }
  })
}
