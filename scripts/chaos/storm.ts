import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startStack, type Stack, type StackOptions } from '#local/stack'
import { calm } from '#scripts/chaos/calm'
import { readEffects } from '#scripts/chaos/effects'
import { wrongEnds } from '#scripts/chaos/ends'
import { makeFaults, skewable } from '#scripts/chaos/faults'
import { startFollowers } from '#scripts/chaos/follow'
import { purses, startLoad } from '#scripts/chaos/load'
import { limitAgents, startAuditor } from '#scripts/chaos/money'
import { startPeople } from '#scripts/chaos/people'
import { faultText, planFrom, type Fault } from '#scripts/chaos/plan'
import { chanceFrom } from '#scripts/chaos/random'
import { startReceiver } from '#scripts/chaos/receiver'
import { liveLeases, type Happened } from '#scripts/chaos/resumes'
import { sendTurn } from '#scripts/chaos/send'
import { makeReport, type StormReport } from '#scripts/chaos/storm-report'
import { startSwitching } from '#scripts/chaos/switching'
import { chaosTemplates, type Turn } from '#scripts/chaos/turns'
import { violations, type Sql } from '#scripts/chaos/violations'

/** How hard it blows. */
export interface StormOptions {
  seed: number
  /** How long faults come, in milliseconds; the storm is longer by what is left to do then. */
  lengthMs: number
  /** Mean pause between two faults, in milliseconds. */
  everyMs: number
  servers: number
  callers: number
  agents: number
  /** Options of the stack beside these. */
  stack?: StackOptions
  log: (line: string) => void
}

/** Room for ten calls or so. */
const purseMicros = 50_000

/** A background run that is sent when a fault comes: when it has ended, work flows again. */
const probe: Turn = {
  shape: 'probe',
  template: 'scripted',
  message: JSON.stringify({ script: [{ tools: [{ name: 'wait', input: { ms: 20 } }] }, { text: 'finished' }] }),
  prefer: 'respond-async',
  fields: {},
  hooked: false,
  ends: { state: 'completed', stopReason: 'end_turn', output: 'finished' },
}

/**
 * Runs a load of scripted agents on a stack of its own, does the faults of the plan that follows from the seed, and checks the run contract over
 * the database, the effects log and what was seen from outside when all is calm. Throws when the stack does not start or a message is refused.
 */
export async function storm(options: StormOptions): Promise<StormReport> {
  const { log, seed, servers } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-chaos-'))
  const env = { ...chaosTemplates, ...skewable(dataDir), ...options.stack?.env }
  const stack = await startStack({ built: true, port: 0, quiet: true, ...options.stack, env, servers, dataDir })
  const pool = new pg.Pool({ connectionString: String(stack.info.databaseUrl), max: 4, connectionTimeoutMillis: 10_000 })
  pool.on('error', () => undefined) // PostgreSQL is stopped on purpose; the next query opens a new connection
  const sql: Sql = async (text, values = []) => (await pool.query<Record<string, unknown>>(text, values)).rows
  const receiver = await startReceiver()
  const started = performance.now()
  const stops: (() => Promise<unknown>)[] = []
  try {
    const bases = stack.info.baseUrls
    await limitAgents(bases, purses, purseMicros)
    const people = startPeople({ bases, sql })
    const auditor = startAuditor(sql)
    const agents = [1, 2, 3].map((index) => `chaos-${index}`)
    const followers = startFollowers({ bases, chance: chanceFrom(seed + 3), agents })
    const switching = startSwitching({ bases, chance: chanceFrom(seed + 2), dataDir, sql, log })
    const load = startLoad({ bases, callers: options.callers, agents: options.agents, seed, hook: receiver.url })
    stops.push(
      () => people.stop(),
      () => auditor.stop(),
      () => followers.stop(async () => 0, 0),
      () => switching.stop(),
      () => load.stop(),
    )
    const plan = planFrom(chanceFrom(seed), options)
    for (const fault of plan) log(`plan: ${faultText(fault)}`)
    const blown = await blow({ stack, dataDir, sql, plan, seed, log })
    await stack.waitReady()
    await load.stop()
    await switching.stop()
    await limitAgents(bases, purses, null)
    const calmSeconds = await calm(sql)
    await switching.ends()
    const lastSeq = async (agent: string): Promise<number> =>
      Number((await sql('select last_event_seq::int as last from baton.agents where id = $1', [agent]))[0]?.['last'] ?? 0)
    await followers.stop(lastSeq, 30_000)
    await auditor.stop()
    await people.stop()
    stops.length = 0
    const { effects } = await readEffects(dataDir)
    const accepted = new Map([...load.sent.map(({ key, runId }) => [key, runId] as const), ...switching.accepted, ...blown.probes])
    const evidence = {
      sql,
      effects,
      agents: null,
      accepted,
      followed: followers.followed,
      switches: switching.switches,
      passedLimits: auditor.passed,
      arrivals: receiver.all(),
    }
    const found = await violations(evidence)
    const wrong = await wrongEnds(sql, load.sent, receiver.all())
    const elapsedSeconds = (performance.now() - started) / 1_000
    const seen = { ...evidence, found, wrong, calmSeconds, elapsedSeconds, refused: load.refused, looks: auditor.looks() }
    return await makeReport(seen, blown.happened)
  } finally {
    await Promise.allSettled(stops.map((stop) => stop()))
    await pool.end()
    await stack.stop()
    await receiver.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}

interface Storm {
  stack: Stack
  dataDir: string
  sql: Sql
  plan: readonly Fault[]
  seed: number
  log: (line: string) => void
}

/** Does the plan; each fault at its time, so that they overlap where they want different parts. */
async function blow({ stack, dataDir, sql, plan, seed, log }: Storm): Promise<{ happened: Happened[]; probes: Map<string, string> }> {
  const apply = makeFaults(stack, dataDir)
  const bases = stack.info.baseUrls
  const happened: Happened[] = []
  const probes = new Map<string, string>()
  const from = performance.now()
  let leases: [string, number][] = []

  async function one(fault: Fault, index: number): Promise<void> {
    await sleep(Math.max(0, fault.atMs - (performance.now() - from)))
    leases = (await liveLeases(sql)) ?? leases
    const entry: Happened = { kind: fault.kind, from: Date.now(), to: 0, leases, probe: null }
    happened.push(entry)
    const over = apply(fault).then(() => (entry.to = Date.now()))
    const key = `probe-${index}`
    entry.probe = await sendTurn({ bases, chance: chanceFrom(seed + index), agent: key, key, turn: probe })
    probes.set(key, entry.probe)
    await over
  }

  const outcomes = await Promise.allSettled(plan.map((fault, index) => one(fault, index)))
  for (const [index, outcome] of outcomes.entries()) if (outcome.status === 'rejected') log(`fault ${index}: ${String(outcome.reason)}`)
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return { happened, probes }
}
