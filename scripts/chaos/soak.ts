import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startStack, type Stack, type StackOptions } from '#local/stack'
import { calm } from '#scripts/chaos/calm'
import { readEffects } from '#scripts/chaos/effects'
import { wrongEnds } from '#scripts/chaos/ends'
import type { Sent } from '#scripts/chaos/load'
import { heapProbe, heapsInUse } from '#scripts/chaos/heap'
import { sampleMemory, type Lifetime } from '#scripts/chaos/memory'
import { startPeople } from '#scripts/chaos/people'
import { chanceFrom } from '#scripts/chaos/random'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import { sendTurn } from '#scripts/chaos/send'
import { startFaults } from '#scripts/chaos/soak-faults'
import { measureTables, retain, type Tables } from '#scripts/chaos/tables'
import { agentFor, chaosTemplates, turnFrom } from '#scripts/chaos/turns'
import { violations, type Sql } from '#scripts/chaos/violations'
import { watchRuns, type RunWatch } from '#scripts/chaos/watch-runs'

export interface SoakOptions {
  runs: number
  seed: number
  servers: number
  callers: number
  /** Between two rounds all is quiet, is checked, and `daysPerRound` pass. */
  runsPerRound: number
  agentsPerRound: number
  daysPerRound: number
  /** How long the tenant keeps agents that nobody uses, in days. */
  agentDays: number
  /** Largest heap of each server process, in megabytes. */
  heapMb: number
  stack?: StackOptions
  log: (line: string) => void
}

/** One round as it stands in the report. */
export interface SoakRound {
  round: number
  runs: number
  seconds: number
  kills: boolean
  faults: Record<string, number>
  wrongEnds: string[]
  violations: string[]
  /** Rows that retention should have taken and did not. */
  overdue: number
  tables: Tables
  /** Megabytes in use after a collection of garbage, by process id of a server. */
  heaps: Record<number, number>
}

export interface SoakReport {
  runs: number
  byShape: Record<string, number>
  rounds: SoakRound[]
  lifetimes: Lifetime[]
  /** Servers that ended although nobody killed them. */
  deaths: number
  effects: number
  sealed: number
  elapsedSeconds: number
}

/** A run that has not ended so long after its message was answered is written down as such, in milliseconds. */
const endPatienceMs = 180_000
const sampleEveryMs = 5_000
/** The clock moves so far at once. */
const mostDays = 30

/** Process kills happen in the first quarter and the last tenth of the rounds; between them the servers live through. */
export function hasKills(round: number, rounds: number): boolean {
  return round < rounds / 4 || round >= rounds * 0.9
}

/** Plays scripted runs with faults on a stack of its own, round by round, and reports. Throws when the stack does not start. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seed, servers, log } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-soak-'))
  const env = {
    ...chaosTemplates,
    NODE_OPTIONS: `--max-old-space-size=${options.heapMb} --max-semi-space-size=8 ${heapProbe}`,
  }
  const stack = await startStack({ built: true, port: 0, quiet: true, env, ...options.stack, servers, dataDir })
  const pool = new pg.Pool({ connectionString: String(stack.info.databaseUrl), max: 3 })
  pool.on('error', (error) => log(`database: ${error.message}`))
  const sql: Sql = async (text, values = []) => (await pool.query<Record<string, unknown>>(text, values)).rows
  const receiver = await startReceiver()
  const watch = watchRuns(sql)
  const people = startPeople({ bases: stack.info.baseUrls, sql })
  const started = performance.now()
  const lifetimes: Lifetime[] = []
  let answered = 0
  const sampler = setInterval(() => {
    const { servers: pids, executor, supabase } = stack.info.pids
    const parts = { ...Object.fromEntries(pids.map((pid, index) => [`server-${index}`, pid])), executor, supabase }
    void sampleMemory(lifetimes, parts, (performance.now() - started) / 1_000, answered)
  }, sampleEveryMs)
  try {
    await setRetention(stack, options.agentDays)
    const report: SoakReport = { runs: 0, byShape: {}, rounds: [], lifetimes, deaths: 0, effects: 0, sealed: 0, elapsedSeconds: 0 }
    const rounds = Math.ceil(options.runs / options.runsPerRound)
    let effectsEnd = 0
    let kills = 0
    const starts = (): number => new Set(lifetimes.filter((one) => one.part.startsWith('server-')).map((one) => one.pid)).size
    for (let round = 0; round < rounds; round++) {
      const since = performance.now()
      const faults = startFaults({ stack, chance: chanceFrom(seed + 7_919 * round), servers, kills: hasKills(round, rounds) })
      const indexes = Array.from(
        { length: Math.min(options.runsPerRound, options.runs - round * options.runsPerRound) },
        (_, index) => round * options.runsPerRound + index,
      )
      const bases = stack.info.baseUrls
      let sent: Sent[]
      try {
        sent = await playRound({ options, round, indexes, bases, receiver, watch, answered: () => answered++ })
      } finally {
        await faults.stop()
      }
      await calm(sql)
      const { effects, end } = await readEffects(dataDir, effectsEnd)
      effectsEnd = end
      for (const { turn } of sent) report.byShape[turn.shape] = (report.byShape[turn.shape] ?? 0) + 1
      const agents = [...new Set(sent.map(({ agent }) => agent))]
      const found = await violations({ sql, effects, agents })
      const wrong = await wrongEnds(sql, sent, receiver.all())
      const [sealed] = await sql(
        `select count(*)::int as n from baton.tool_calls c join baton.agents a using (agent_uid) where a.id = any($1) and c.state = 'sealed'`,
        [agents],
      )
      const seconds = (performance.now() - since) / 1_000
      const overdue = await pass(stack, sql, options.daysPerRound)
      const tables = await measureTables(sql)
      const heaps = await heapsInUse(dataDir, stack.info.pids.servers)
      kills += faults.counts['kill'] ?? 0
      report.rounds.push({
        round: round + 1,
        runs: sent.length,
        seconds,
        kills: hasKills(round, rounds),
        faults: faults.counts,
        wrongEnds: wrong,
        violations: found,
        overdue,
        tables,
        heaps,
      })
      report.runs += sent.length
      report.effects += effects.length
      report.sealed += Number(sealed?.['n'])
      log(progress(report))
    }
    report.deaths = Math.max(0, starts() - servers - kills)
    report.elapsedSeconds = (performance.now() - started) / 1_000
    return report
  } finally {
    clearInterval(sampler)
    watch.stop()
    await people.stop()
    await pool.end()
    await stack.stop()
    await receiver.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}

function progress({ rounds, runs, lifetimes }: SoakReport): string {
  const last = rounds.at(-1)
  const rows = Object.values(last?.tables ?? {}).reduce((sum, table) => sum + table.rows, 0)
  const bytes = Object.values(last?.tables ?? {}).reduce((sum, table) => sum + table.bytes, 0)
  const heaps = Object.values(last?.heaps ?? {}).map((mb) => `${mb.toFixed(1)} MB`)
  const mb = lifetimes
    .filter((one) => one.part.startsWith('server-'))
    .slice(-2)
    .map((one) => `${one.part} ${Math.round(one.samples.at(-1)?.[1] ?? 0)} MB`)
  const wrong = [...(last?.wrongEnds ?? []), ...(last?.violations ?? [])]
  const facts = `round ${last?.round}: ${runs} runs, ${last?.seconds.toFixed(0)} s, faults ${JSON.stringify(last?.faults)}, wrong ${wrong.length}`
  return [
    `${facts}, overdue ${last?.overdue}, ${rows} rows, ${(bytes / 1e6).toFixed(1)} MB, ${mb.join(', ')}, heaps ${heaps.join(', ')}`,
    ...wrong.slice(0, 5),
  ].join('\n  ')
}

async function setRetention(stack: Stack, agentDays: number): Promise<void> {
  const response = await fetch(`${stack.info.baseUrls[0]}/api/retention`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ agentDays }),
  })
  if (!response.ok) throw new Error(`retention was not set: ${response.status} ${await response.text()}`)
}

interface Round {
  options: SoakOptions
  round: number
  indexes: number[]
  bases: readonly string[]
  receiver: Receiver
  watch: RunWatch
  answered: () => void
}

/** Callers that take one message after the other and wait for the end of its run. The n-th message follows from the seed. */
async function playRound({ options, round, indexes, bases, receiver, watch, answered }: Round): Promise<Sent[]> {
  const sent: Sent[] = []
  const waiting = [...indexes]
  const caller = async (): Promise<void> => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      const chance = chanceFrom(options.seed * 100_003 + index)
      const key = `m${index}`
      const turn = turnFrom(chance, key)
      const agent = agentFor(`r${round}-a${chance.whole(1, options.agentsPerRound)}`, turn)
      const runId = await sendTurn({ bases, chance, agent, key, turn, hook: receiver.url })
      answered()
      sent.push({ agent, key, runId, turn })
      await watch.ended(runId, endPatienceMs)
    }
  }
  await Promise.all(Array.from({ length: options.callers }, caller))
  return sent
}

/** Lets days pass and retention work. */
async function pass(stack: Stack, sql: Sql, days: number): Promise<number> {
  const advance = async (advanceMs: number): Promise<void> => {
    const response = await fetch(`${stack.info.baseUrls[0]}/api/local/time`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ advanceMs }),
    })
    if (!response.ok) throw new Error(`the clock did not move: ${response.status}`)
  }
  for (let left = days; left > 0; left -= mostDays) await advance(Math.min(left, mostDays) * 86_400_000)
  return retain(sql, advance)
}
