import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { createDatabase, databaseExists, databaseUrlFor, dropDatabase, prepareDatabase } from '#local/database'
import { localKeys } from '#local/keys'
import { lockFolder } from '#local/lock'
import { portClaims } from '#local/ports'
import { prepareCluster, type Cluster } from '#local/postgres'
import { removeInfo, stackInfo, writeInfo, type StackInfo } from '#local/stack/info'
import { parseReal, type StackOptions } from '#local/stack/options'
import { executorPart, postgresPart, redisPart, serverPart, supabasePart } from '#local/stack/parts'
import { choosePorts, makePlan, type Plan } from '#local/stack/plan'
import { supervise, type Part, type PartSpec } from '#local/supervisor'

export type { StackInfo } from '#local/stack/info'
export type { StackOptions } from '#local/stack/options'

/** Name of a part: postgres, supabase, redis, executor, server-0, server-1, ... */
export type PartName = 'postgres' | 'supabase' | 'redis' | 'executor' | `server-${number}`

/** A running local stack. */
export interface Stack {
  /** Where everything is, now (the object of DIR/local.json). */
  readonly info: StackInfo
  /** Sends a signal to a part; after a deadly one resolves when the process has ended. The part is started again. */
  kill: (part: PartName, signal?: NodeJS.Signals) => Promise<void>
  /** Stops a part until `resume`. */
  halt: (part: PartName) => Promise<void>
  /** Starts a halted part again; see `waitReady`. */
  resume: (part: PartName) => void
  /** Stops a part in order, starts it again and waits until it answers. */
  restart: (part: PartName) => Promise<void>
  /** Resolves when all parts (or the one named) answer; throws after `forMs` (default 60 s) with the end of the log. */
  waitReady: (part?: PartName, forMs?: number) => Promise<void>
  /** Stops everything, within 5 s. May be called twice. */
  stop: () => Promise<void>
}

/** How long the first start of all parts may take, in milliseconds; `next dev` compiles first. */
const startPatienceMs = 120_000

interface OwnDatabase {
  url: string
  drop: () => Promise<void>
}

/** A database in a cluster that somebody else runs; dropped at the end unless the caller has named it. */
async function databaseInCluster(clusterUrl: string, options: StackOptions): Promise<OwnDatabase> {
  const name = options.database ?? `baton_${randomBytes(8).toString('hex')}`
  const url = databaseUrlFor(clusterUrl, name)
  const present = options.database !== undefined && (await databaseExists(clusterUrl, name))
  if (!present) await createDatabase(clusterUrl, name, options.template)
  return { url, drop: async () => (options.database === undefined ? dropDatabase(clusterUrl, name) : undefined) }
}

function checkOptions(options: StackOptions): void {
  if (process.env['VERCEL'] !== undefined && process.env['VERCEL'] !== '')
    throw new Error('The local stack does not start on Vercel (VERCEL is set).')
  const servers = options.servers ?? 1
  if (!Number.isInteger(servers) || servers < 1 || servers > 16) throw new Error('The number of servers must be from 1 to 16.')
  if (servers > 1 && options.built !== true && options.serverCommand === undefined)
    throw new Error('More than one server needs the production build: add --built.')
}

/** Rejects when the start is given up; never resolves. */
async function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, fail) => {
    const give = (): void => fail(new Error('The start was interrupted.'))
    if (signal?.aborted === true) give()
    else signal?.addEventListener('abort', give, { once: true })
  })
}

/** The parts of one start, their order of starting and of stopping. */
function assemble(plan: Plan, options: StackOptions, cluster: Cluster | undefined, changed: () => void, tell: (line: string) => void) {
  const parts: Part[] = []
  const find = (name: string): Part | undefined => parts.find((part) => part.name === name)
  const add = (spec: PartSpec): void => {
    parts.push(supervise(spec, changed, tell))
  }
  let prepared = false
  const tellSupabase = (): void => {
    if (prepared) find('supabase')?.tell({ kind: 'database-ready' })
  }
  const presentPostmaster = (): number | undefined => find('postgres')?.pid()
  const tellPostmaster = ({ pid }: ChildProcess): void => {
    if (pid !== undefined) find('supabase')?.tell({ kind: 'postmaster', pid })
  }
  if (cluster !== undefined) add(postgresPart(plan, cluster, tellPostmaster))
  if (plan.databaseUrl !== undefined) add(supabasePart(plan, cluster?.folder, presentPostmaster, () => queueMicrotask(tellSupabase)))
  if (!plan.real.includes('redis')) add(redisPart(plan))
  if (!plan.real.includes('inngest')) add(executorPart(plan, options))
  for (const index of plan.baseUrls.keys()) add(serverPart(plan, index, options, tell))
  return {
    parts,
    find,
    databaseReady: (): void => {
      prepared = true
      tellSupabase()
    },
  }
}

/** Stops in three rounds, so that nothing loses what it stands on: servers and executor, gateways, PostgreSQL. */
async function stopParts(parts: readonly Part[]): Promise<void> {
  const rank = (part: Part): number => (part.name === 'postgres' ? 2 : part.name === 'supabase' || part.name === 'redis' ? 1 : 0)
  const failures: unknown[] = []
  for (const round of [0, 1, 2]) {
    const outcomes = await Promise.allSettled(parts.filter((part) => rank(part) === round).map((part) => part.stop()))
    failures.push(...outcomes.filter((outcome) => outcome.status === 'rejected').map((outcome) => outcome.reason))
  }
  if (failures.length > 0) throw new AggregateError(failures, 'Not every part of the local stack has ended.')
}

/**
 * Starts the local stack: PostgreSQL, Supabase (lite), Redis gateway, Inngest executor and the servers, each a child
 * process that is started again when it dies. Resolves when all of them answer. Throws when the data folder is in use,
 * an option is wrong, or a part does not start (with the end of its log); then nothing is left running.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  checkOptions(options)
  const real = parseReal(options.real ?? [])
  const dataDir = resolve(options.dataDir ?? '.baton')
  const log = options.quiet === true ? () => undefined : (options.log ?? ((line: string) => console.log(line)))
  mkdirSync(dataDir, { recursive: true })
  const lock = lockFolder(dataDir)
  const claims = portClaims()
  const undo: (() => Promise<void> | void)[] = [() => lock.release(), () => claims.release()]
  const stopAll = async (): Promise<void> => {
    const failures: unknown[] = []
    for (const step of undo.splice(0).toReversed()) {
      try {
        await step()
      } catch (error) {
        failures.push(error) // the other steps still have to be done
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  try {
    if (options.fresh === true) lock.clear()
    removeInfo(dataDir) // of a stack that was killed
    const keys = await localKeys(dataDir)
    const ports = await choosePorts(claims, options.servers ?? 1, options.port)
    const needsDatabase = !real.includes('supabase')
    const foreign = needsDatabase && options.postgresUrl !== undefined ? await databaseInCluster(options.postgresUrl, options) : undefined
    if (foreign !== undefined) undo.push(foreign.drop)
    const plan = makePlan({ dataDir, keys, ports, real, ...(foreign === undefined ? {} : { databaseUrl: foreign.url }) })
    const fsync = options.fsync === undefined ? {} : { fsync: options.fsync }
    const cluster =
      needsDatabase && foreign === undefined
        ? await prepareCluster({ dataDir, port: ports.postgres, password: keys.databasePassword, ...fsync })
        : undefined

    let complete = false
    const publish = (): void => {
      if (complete) writeInfo(dataDir, stackInfo(plan, assembled.parts))
    }
    const assembled = assemble(plan, options, cluster, publish, log)
    undo.push(() => stopParts(assembled.parts))

    const prepare = async (): Promise<void> => {
      if (plan.databaseUrl === undefined) return
      await assembled.find('postgres')?.ready(startPatienceMs)
      if (foreign === undefined || options.template === undefined) {
        await prepareDatabase(plan.databaseUrl, { log, ...(options.migrations === undefined ? {} : { migrations: options.migrations }) })
      }
      assembled.databaseReady()
    }
    const waitFor = async (part: Part, forMs: number): Promise<void> => {
      await part.ready(forMs)
      log(`  ${part.name} answers (${part.pid() ?? 'no process'})`)
    }
    await Promise.race([
      Promise.all([prepare(), ...assembled.parts.map((part) => waitFor(part, startPatienceMs))]),
      aborted(options.signal),
    ])

    complete = true
    publish()
    undo.push(() => {
      complete = false
      removeInfo(dataDir)
    })

    const named = (name: PartName): Part => {
      const part = assembled.find(name)
      if (part === undefined)
        throw new Error(`This stack has no part ${name}; it has ${assembled.parts.map((one) => one.name).join(', ')}.`)
      return part
    }
    const waitReady: Stack['waitReady'] = async (name, forMs = 60_000) => {
      const waited = name === undefined ? assembled.parts : [named(name)]
      await Promise.all(waited.map((part) => part.ready(forMs)))
    }
    return {
      get info() {
        return stackInfo(plan, assembled.parts)
      },
      kill: (name, signal = 'SIGKILL') => named(name).kill(signal),
      halt: (name) => named(name).stop(),
      resume: (name) => named(name).resume(),
      restart: async (name) => {
        await named(name).stop()
        named(name).resume()
        await waitReady(name)
      },
      waitReady,
      stop: stopAll,
    }
  } catch (error) {
    await stopAll().catch((failure: unknown) => log(`  while stopping: ${String(failure)}`)) // the first error is the one to report
    throw error
  }
}
