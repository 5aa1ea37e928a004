import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import pg from 'pg'
import { poll } from '#local/poll'
import { postgresBinaries } from '#local/postgres/binaries'
import { clusterPlace, completeMark } from '#local/postgres/folder'
import { livePostmaster, stopPostmaster } from '#local/postgres/orphan'
import type { SystemUser } from '#local/postgres/system-user'

/** What a PostgreSQL cluster of the local stack needs to start. */
export interface ClusterOptions {
  /** Folder of the stack's data; the cluster stands in `postgres/` below it. */
  dataDir: string
  port: number
  /** Password of the superuser `postgres`; fixed when the cluster is made. */
  password: string
  /** False only for test clusters: faster, but a power cut may break the data. A killed process never does. Default true. */
  fsync?: boolean
  /** Receives what initdb and the postmaster print. */
  log?: (chunk: string) => void
}

/** A prepared cluster: `spawn` starts its postmaster as a direct child. */
export interface Cluster {
  /** Folder of the cluster's files. */
  folder: string
  /** Connection URL of its database `postgres`. */
  url: string
  /** Starts the postmaster; resolves at once, see {@link waitForPostgres}. */
  spawn: () => ChildProcess
}

async function run(program: string, parameters: string[], user: SystemUser | undefined, log: (chunk: string) => void): Promise<void> {
  const child = spawn(program, parameters, {
    ...identity(user),
    cwd: '/',
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  let output = ''
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-8_000)
    log(chunk.toString())
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  await new Promise<void>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code) => (code === 0 ? done() : fail(new Error(`${basename(program)} ended with code ${code}: ${output.trim()}`))))
  })
}

function identity(user: SystemUser | undefined): { uid?: number; gid?: number } {
  return user === undefined ? {} : { uid: user.uid, gid: user.gid }
}

function environment(): NodeJS.ProcessEnv {
  return { NODE_ENV: 'production', PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' }
}

async function createCluster(folder: string, initdb: string, user: SystemUser | undefined, options: ClusterOptions): Promise<void> {
  // what an interrupted first start left is removed: only a cluster with the mark at the end of this function counts
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { mode: 0o700, recursive: true })
  if (user !== undefined) await chown(folder, user.uid, user.gid)
  const passwordFile = `${folder}.password`
  await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600 })
  if (user !== undefined) await chown(passwordFile, user.uid, user.gid)
  try {
    const parameters = ['-D', folder, '-U', 'postgres', '--pwfile', passwordFile, '-A', 'scram-sha-256', '-E', 'UTF8', '--no-sync']
    await run(
      initdb,
      [...parameters, '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      user,
      options.log ?? (() => undefined),
    )
    await writeFile(join(folder, completeMark), resolve(options.dataDir))
  } finally {
    await rm(passwordFile, { force: true })
  }
}

function serverParameters(folder: string, options: ClusterOptions): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    shared_buffers: '64MB',
    // commits wait for the write, so that kill -9 of any process loses nothing; fsync guards against power cuts only
    synchronous_commit: 'on',
    fsync: options.fsync === false ? 'off' : 'on',
    full_page_writes: options.fsync === false ? 'off' : 'on',
    wal_level: 'minimal',
    max_wal_senders: '0',
    max_wal_size: '1GB',
    checkpoint_timeout: '15min',
    jit: 'off',
    max_parallel_workers_per_gather: '0',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    log_checkpoints: 'off',
  }
  return ['-D', folder, '-p', String(options.port), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

/**
 * Prepares the PostgreSQL 17 cluster of a data folder: makes it at the first start, stops a postmaster that a killed
 * supervisor left behind. Works for root (under the account `postgres` or `nobody`) and for plain users.
 */
export async function prepareCluster(options: ClusterOptions): Promise<Cluster> {
  const { folder, user } = await clusterPlace(options.dataDir, options.password)
  const left = livePostmaster(folder)
  if (left !== undefined) await stopPostmaster(left)
  const binaries = await postgresBinaries(user)
  if (!existsSync(join(folder, completeMark))) await createCluster(folder, binaries.initdb, user, options)
  const url = `postgresql://postgres:${encodeURIComponent(options.password)}@127.0.0.1:${options.port}/postgres`
  return {
    folder,
    url,
    spawn: () =>
      spawn(binaries.postgres, serverParameters(folder, options), {
        ...identity(user),
        cwd: '/',
        env: environment(),
        detached: process.platform !== 'win32', // Ctrl-C belongs to the supervisor, which stops the parts in order
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
  }
}

/** Whether PostgreSQL answers a query at `url` now. Throws when it refuses the password: waiting would not help. */
export async function postgresAnswers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000, query_timeout: 2_000 })
  client.on('error', () => undefined) // a connection cut while it starts is the answer "no", given below
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '28P01') return false // not up yet: the caller asks again
    throw new Error('PostgreSQL refuses the password. keys.json is not the one this cluster was made with: remove the data folder.', {
      cause: error,
    })
  } finally {
    await client.end().catch(() => undefined) // a connection that never opened has nothing to close
  }
}

/** Waits until PostgreSQL answers (recovery after a kill included); throws after `forMs` (default 60 s). */
export async function waitForPostgres(url: string, forMs = 60_000): Promise<void> {
  if (await poll(() => postgresAnswers(url), { everyMs: 25, forMs })) return
  throw new Error(`PostgreSQL did not answer within ${forMs} ms. See logs/postgres.log in the data folder.`)
}

/**
 * Starts a cluster without a supervisor (tests, scripts) and waits until it answers. A postmaster that ends at once is
 * started again for 5 s: after a kill its children hold the shared memory for a moment. `stop` is a fast shutdown.
 */
export async function startCluster(options: ClusterOptions): Promise<{ url: string; pid: number; stop: () => Promise<void> }> {
  const cluster = await prepareCluster(options)
  const end = performance.now() + 5_000
  for (;;) {
    const child = cluster.spawn()
    child.stdout?.on('data', (chunk: Buffer) => options.log?.(chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => options.log?.(chunk.toString()))
    const ended = new Promise<'ended'>((done) => child.once('exit', () => done('ended')))
    const outcome = await Promise.race([waitForPostgres(cluster.url), ended])
    const pid = child.pid
    if (outcome !== 'ended' && pid !== undefined) {
      return {
        url: cluster.url,
        pid,
        stop: async () => {
          child.kill('SIGINT')
          await stopPostmaster(pid)
          await ended
        },
      }
    }
    if (performance.now() > end) throw new Error('PostgreSQL ends as soon as it is started. See its log.')
    await new Promise((done) => setTimeout(done, 100))
  }
}
