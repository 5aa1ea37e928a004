import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { boundedLog } from '#local/logs'
import type { Cluster } from '#local/postgres'
import { postgresAnswers } from '#local/postgres'
import { executorEnvironment, serverEnvironment, type Plan } from '#local/stack/plan'
import type { StackOptions } from '#local/stack/options'
import type { PartSpec } from '#local/supervisor'

/** Root folder of this repository, where Next and the parts run. */
export const repositoryRoot = join(import.meta.dirname, '..', '..')

/** Variables of a test runner or a wrapping npm that no part should inherit. */
const notInherited = ['NODE_ENV', 'VITEST', 'VITEST_POOL_ID', 'VITEST_WORKER_ID', 'VITEST_MODE', 'NODE_CHANNEL_FD', 'PORT', 'DATABASE_URL']

function inherited(): NodeJS.ProcessEnv {
  const environment = { ...process.env }
  for (const name of notInherited) Reflect.deleteProperty(environment, name)
  return environment
}

function start(command: readonly string[], environment: Record<string, string>): ChildProcess {
  const [program = process.execPath, ...parameters] = command
  return spawn(program, parameters, {
    cwd: repositoryRoot,
    env: { ...inherited(), ...environment },
    detached: process.platform !== 'win32', // Ctrl-C belongs to the supervisor, and a group can be ended as a whole
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
}

const partCommand = (file: string): string[] => [process.execPath, join(repositoryRoot, 'local', 'parts', file)]

/** Asks `url` once; true for any answer that is no server error; `failed` is told of those. */
export async function answersHttp(url: string, patienceMs: number, failed: (status: number) => void = () => undefined): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(patienceMs), redirect: 'manual' })
    await response.arrayBuffer()
    if (response.status >= 500) failed(response.status)
    return response.status < 500
  } catch {
    return false // not listening yet: the caller asks again
  }
}

const logOf = (plan: Plan, name: string): PartSpec['log'] => boundedLog(join(plan.dataDir, 'logs', `${name}.log`))

/** PostgreSQL, as a direct child. */
export function postgresPart(plan: Plan, cluster: Cluster, started: (child: ChildProcess) => void): PartSpec {
  return {
    name: 'postgres',
    start: cluster.spawn,
    answers: () => postgresAnswers(cluster.url),
    stop: { signal: 'SIGINT', patienceMs: 1_500 },
    log: logOf(plan, 'postgres'),
    started,
  }
}

/** Lite in front of PostgreSQL. Where the stack runs the cluster itself, `clusterFolder` is set, and `postmaster` tells its present process. */
export function supabasePart(
  plan: Plan,
  clusterFolder: string | undefined,
  postmaster: () => number | undefined,
  started: (child: ChildProcess) => void,
): PartSpec {
  const environment: Record<string, string> = {
    SUPABASE_PORT: String(plan.ports.supabase),
    SUPABASE_DATABASE_URL: plan.databaseUrl ?? '',
    SUPABASE_PUBLISHABLE_KEY: plan.keys.publishableKey,
    SUPABASE_SECRET_KEY: plan.keys.secretKey,
    SUPABASE_JWT_SECRET: plan.keys.jwtSecret,
    SUPABASE_SITE_URL: plan.baseUrls[0] ?? plan.supabaseUrl,
    ...(clusterFolder === undefined ? {} : { SUPABASE_CLUSTER_FOLDER: clusterFolder }),
  }
  return {
    name: 'supabase',
    start: () => start(partCommand('supabase.ts'), { ...environment, SUPABASE_POSTMASTER: String(postmaster() ?? '') }),
    answers: () => answersHttp(`${plan.supabaseUrl}/health`, 2_000),
    stop: { signal: 'SIGTERM', patienceMs: 500 },
    log: logOf(plan, 'supabase'),
    started,
  }
}

/** The Upstash-compatible gateway. */
export function redisPart(plan: Plan): PartSpec {
  return {
    name: 'redis',
    start: () => start(partCommand('redis.ts'), { REDIS_PORT: String(plan.ports.redis), REDIS_TOKEN: plan.keys.redisToken }),
    answers: () => answersHttp(`${plan.redisUrl}/health`, 2_000),
    stop: { signal: 'SIGTERM', patienceMs: 500 },
    log: logOf(plan, 'redis'),
  }
}

/** The Inngest executor. */
export function executorPart(plan: Plan, options: StackOptions): PartSpec {
  return {
    name: 'executor',
    start: () => start(options.executorCommand ?? partCommand('executor.ts'), executorEnvironment(plan)),
    answers: () => answersHttp(`${plan.inngestUrl}/health`, 2_000),
    stop: { signal: 'SIGTERM', patienceMs: 1_000 },
    log: logOf(plan, 'executor'),
  }
}

/** One Next server. `tell` hears once when it listens and fails: it does so until somebody mends the code, and its log alone says why. */
export function serverPart(plan: Plan, index: number, options: StackOptions, tell: (line: string) => void): PartSpec {
  const baseUrl = plan.baseUrls[index] ?? ''
  const environment: Record<string, string> = {
    NODE_ENV: options.built === true ? 'production' : 'development',
    SERVER_MODE: options.built === true ? 'start' : 'dev',
    PORT: String(plan.ports.servers[index]),
    ...serverEnvironment(plan, baseUrl, options.envFiles === true),
    ...options.env,
  }
  const name = `server-${index}`
  const log = logOf(plan, name)
  let failures = 0
  const failed = (status: number): void => {
    failures += 1
    // The first may be of a compiler that has just begun.
    if (failures === 2)
      tell(`  ${name} answers ${status} and is asked again, so the mistake can be mended now. The end of its log:\n${log.tail(25)}`)
  }
  return {
    name,
    start: () => start(options.serverCommand ?? partCommand('server.ts'), environment),
    answers: () => answersHttp(`${baseUrl}/api/health/live`, options.built === true ? 5_000 : 60_000, failed),
    stop: { signal: 'SIGTERM', patienceMs: 1_500 },
    log,
  }
}
