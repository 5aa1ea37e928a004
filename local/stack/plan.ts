import { randomBytes } from 'node:crypto'
import type { Environment } from '#lib/env'
import { about, platformVariables, variables } from '#lib/env/variables'
import type { LocalKeys } from '#local/keys'
import type { PortClaims } from '#local/ports'
import type { RealPart } from '#local/stack/options'

/** The ports of a stack; chosen once, kept when a part is started again. */
export interface StackPorts {
  servers: number[]
  supabase: number
  redis: number
  executor: number
  postgres: number
}

/** Everything about a stack that is fixed before its first part starts. */
export interface Plan {
  dataDir: string
  keys: LocalKeys
  /** Shared by the servers and the executor of this one start. */
  localSecret: string
  ports: StackPorts
  baseUrls: string[]
  supabaseUrl: string
  redisUrl: string
  inngestUrl: string
  /** Connection URL of the stack's database; undefined where Supabase is real. */
  databaseUrl: string | undefined
  real: RealPart[]
}

/** The usual ports; another one is taken when they are not free. */
const usual = { server: 3000, supabase: 54321, postgres: 54322, redis: 8079, executor: 8288 }

/** Chooses the ports: usual ones if free; with `first` 0 any free ones. */
export async function choosePorts(claims: PortClaims, servers: number, first: number | undefined): Promise<StackPorts> {
  const wish = (port: number): number => (first === 0 ? 0 : port)
  const base = await claims.take(first ?? usual.server, servers)
  return {
    servers: Array.from({ length: servers }, (_, index) => base + index),
    supabase: await claims.take(wish(usual.supabase)),
    redis: await claims.take(wish(usual.redis)),
    executor: await claims.take(wish(usual.executor)),
    postgres: await claims.take(wish(usual.postgres)),
  }
}

/** Puts a plan together. `databaseUrl` overrides the one of the stack's own cluster. */
export function makePlan(parts: { dataDir: string; keys: LocalKeys; ports: StackPorts; real: RealPart[]; databaseUrl?: string }): Plan {
  const { dataDir, keys, ports, real } = parts
  const at = (port: number): string => `http://127.0.0.1:${port}`
  const own = `postgresql://postgres:${encodeURIComponent(keys.databasePassword)}@127.0.0.1:${ports.postgres}/postgres`
  return {
    dataDir,
    keys,
    localSecret: randomBytes(24).toString('base64url'),
    ports,
    baseUrls: ports.servers.map(at),
    supabaseUrl: at(ports.supabase),
    redisUrl: at(ports.redis),
    inngestUrl: at(ports.executor),
    databaseUrl: real.includes('supabase') ? undefined : (parts.databaseUrl ?? own),
    real,
  }
}

const empty = (names: readonly string[]): Record<string, string> => Object.fromEntries(names.map((name) => [name, '']))

/** What `vercel env pull` writes beside the variables, as if this were Vercel. Next takes from .env.local whatever is not set: empty is set, and counts as absent. */
export const notOnVercel = empty(Object.keys(platformVariables.shape).filter((name) => name.startsWith('VERCEL')))

/**
 * Keeps .env.local and its kin from a server or a command: each variable of Baton that is not `set` already is empty. What stands there for a deployment
 * (whom it alerts, where its traces go, who is let in) is not for a demo or a run of tests.
 */
export function nothingOfEnvFiles(set: Environment = {}): Record<string, string> {
  const names = Object.entries(variables.shape).flatMap(([name, variable]) => [name, ...(about.get(variable)?.aliases ?? [])])
  return { ...empty(names.filter((name) => set[name] === undefined)), ...notOnVercel }
}

/** What the servers are told about the embedded parts; nothing about a real one, whose variables they keep. `envFiles` lets them hear .env.local, too. */
export function serverEnvironment(plan: Plan, baseUrl: string, envFiles: boolean, set: Environment = process.env): Record<string, string> {
  const { keys, real } = plan
  const embedded = (part: RealPart, variables: Record<string, string>): Record<string, string> => (real.includes(part) ? {} : variables)
  return {
    ...(envFiles ? notOnVercel : nothingOfEnvFiles(set)),
    BATON_LOCAL: '1',
    BATON_LOCAL_SECRET: plan.localSecret,
    BATON_ENV: 'local',
    BATON_DATA_DIR: plan.dataDir,
    BATON_BASE_URL: baseUrl,
    BATON_ENCRYPTION_KEY: keys.encryptionKey,
    NEXT_TELEMETRY_DISABLED: '1',
    ...(real.length === 0 ? {} : { BATON_LOCAL_REAL: real.join(',') }),
    ...embedded('supabase', {
      SUPABASE_URL: plan.supabaseUrl,
      SUPABASE_SECRET_KEY: keys.secretKey,
      SUPABASE_PUBLISHABLE_KEY: keys.publishableKey,
      SUPABASE_JWT_SECRET: keys.jwtSecret,
    }),
    ...embedded('redis', { UPSTASH_REDIS_REST_URL: plan.redisUrl, UPSTASH_REDIS_REST_TOKEN: keys.redisToken }),
    ...embedded('inngest', {
      INNGEST_DEV: plan.inngestUrl,
      INNGEST_EVENT_KEY: keys.inngestEventKey,
      INNGEST_SIGNING_KEY: keys.inngestSigningKey,
    }),
  }
}

/** What the executor is told; see local/parts/executor.ts. */
export function executorEnvironment(plan: Plan): Record<string, string> {
  return {
    EXECUTOR_PORT: String(plan.ports.executor),
    EXECUTOR_APP_URLS: plan.baseUrls.join(','),
    EXECUTOR_EVENT_KEY: plan.keys.inngestEventKey,
    EXECUTOR_SIGNING_KEY: plan.keys.inngestSigningKey,
    ...(plan.databaseUrl === undefined ? {} : { EXECUTOR_DATABASE_URL: plan.databaseUrl }),
  }
}
