import { createHash } from 'node:crypto'
import type { z } from 'zod'
import type { AccessConfig, Config } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'
import { isSecretKey } from '#lib/core/secret-keys'
import { dollars } from '#lib/core/prices'
import { secondsOfBuild } from '#lib/env/build'
import { migrations } from '#lib/env/migrations'
import { about, platformVariables, variables } from '#lib/env/variables'
import type { Platform, Values } from '#lib/env/variables'
import { evenPeriods } from '#lib/core/periods'

/** The environment of a process, as process.env has it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The tenant of local mode. */
const localTenant = 'ten_local'

/** One thing wrong with the configuration; the value is never in it. */
export interface ConfigProblem {
  variable: string
  problem: string
  cure: string
}

/**
 * Reads the whole configuration once. Throws BatonError not_configured that names every problem at once, with the variable and the
 * cure, in `details.problems` too.
 */
export function readConfig(env: Environment = process.env): Config {
  const problems: ConfigProblem[] = []
  const platform = read(platformVariables, env, problems)
  const values = read(variables, env, problems)
  const environment = environmentOf(platform, values, problems)
  checkTogether(platform, values, environment, problems)
  if (!platform.BATON_LOCAL) checkNames(env, problems)
  if (problems.length > 0) throw notConfigured(problems)
  return assemble(platform, values, environment)
}

/** A variable that belongs to a model provider, without blanks around it; undefined when absent or blank. */
export function providerEnv(name: string): string | undefined {
  return present(process.env[name])
}

/**
 * The values of all variables of this process whose names say that they are secret: Baton's, the providers' and the adopter's own. Everyday
 * words are none, or every log would be full of holes.
 */
export function secretValues(env: Environment = process.env): string[] {
  return Object.entries(env).flatMap(([name, value]) => {
    const given = present(value)
    return given === undefined || !isSecretKey(name) || /^[A-Za-z]{1,16}$/.test(given) ? [] : [given]
  })
}

/** The direct connection for migrations, from DATABASE_URL or the name that Vercel's integration writes; undefined without one. Throws BatonError not_configured when it is no such URL. */
export function databaseUrl(env: Environment = process.env): string | undefined {
  const problems: ConfigProblem[] = []
  const values = read(variables.pick({ DATABASE_URL: true }), env, problems)
  if (problems.length > 0) throw notConfigured(problems)
  return values.DATABASE_URL
}

/** What a command of an operator needs to reach the database: the environment's name, its tenant and the store. */
export type OperatorConfig = Pick<Config, 'environment' | 'tenantId' | 'supabase'>

/** What a command of an operator needs, and no more. Throws BatonError not_configured that names every problem. */
export function operatorConfig(env: Environment = process.env): OperatorConfig {
  return commandConfig(env, [])
}

/** The same for the bootstrap command, which seals a secret. Throws BatonError not_configured that names every problem. */
export function bootstrapConfig(env: Environment = process.env): OperatorConfig & Pick<Config, 'encryptionKey'> {
  const { encryptionKey, ...rest } = commandConfig(env, ['BATON_ENCRYPTION_KEY'])
  if (encryptionKey === undefined) throw new TypeError('the key was checked above')
  return { ...rest, encryptionKey }
}

function commandConfig(env: Environment, more: readonly (keyof Values)[]): OperatorConfig & { encryptionKey: Uint8Array | undefined } {
  const problems: ConfigProblem[] = []
  const platform = read(platformVariables, env, problems)
  const values = read(variables, env, problems)
  const environment = environmentOf(platform, values, problems)
  for (const variable of ['SUPABASE_URL', 'SUPABASE_SECRET_KEY', ...more] as const) {
    const isNamed = problems.some((problem) => problem.variable === variable)
    if (values[variable] === undefined && !isNamed) problems.push({ variable, problem: 'is missing', cure: cureOf(variable) })
  }
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: secretKey, BATON_ENCRYPTION_KEY: encryptionKey } = values
  if (problems.length > 0 || url === undefined || secretKey === undefined) throw notConfigured(problems)
  const tenantId = platform.BATON_LOCAL ? localTenant : values.BATON_TENANT
  return { environment, tenantId, supabase: { url, secretKey }, encryptionKey }
}

function notConfigured(problems: readonly ConfigProblem[]): BatonError {
  const sentences = problems.map(({ variable, problem, cure }) => `${variable} ${problem}. ${cure}`)
  return new BatonError('not_configured', `Baton is not configured (${problems.length} to mend):\n${sentences.join('\n')}`, { problems })
}

function present(value: string | undefined): string | undefined {
  const trimmed = value?.trim()
  return trimmed === '' ? undefined : trimmed
}

/** Checks the variables of a schema under their names and aliases. Pushes each problem and goes on as if that variable were absent. */
function read<Shape extends z.core.$ZodShape>(schema: z.ZodObject<Shape>, env: Environment, problems: ConfigProblem[]) {
  const given: Record<string, string> = {}
  const sources = new Map<string, string>()
  for (const [name, variable] of Object.entries(schema.shape)) {
    for (const source of [name, ...(about.get(variable)?.aliases ?? [])]) {
      const value = present(env[source])
      if (value === undefined || given[name] !== undefined) continue
      given[name] = value
      sources.set(name, source)
    }
  }
  const result = schema.safeParse(given)
  if (result.success) return result.data
  for (const issue of result.error.issues) {
    const name = String(issue.path[0])
    problems.push({ variable: sources.get(name) ?? name, problem: issue.message, cure: cureOf(name) })
    delete given[name]
  }
  return schema.parse(given)
}

function cureOf(name: string): string {
  const variable = Object.entries(variables.shape).find(([key]) => key === name)?.[1]
  return (variable && about.get(variable)?.says) ?? 'It is set by the platform or the local stack.'
}

/** The name of the environment (5-data, Environments). A name that had to be changed carries a hash, so that two branches never share one. */
function environmentOf(platform: Platform, values: Values, problems: ConfigProblem[]): string {
  if (values.BATON_ENV !== undefined) return values.BATON_ENV
  if (platform.BATON_LOCAL) return 'local'
  if (platform.VERCEL_ENV === 'production') return 'production'
  if (platform.VERCEL_ENV === 'preview') {
    const branch = platform.VERCEL_GIT_COMMIT_REF ?? 'unknown'
    const plain = branch
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, 40)
    return plain === branch ? `preview-${branch}` : `preview-${plain}-${createHash('sha256').update(branch).digest('hex').slice(0, 6)}`
  }
  if (platform.VERCEL_ENV === 'development') return 'development'
  if (problems.some(({ variable }) => variable === 'BATON_ENV')) return ''
  problems.push({
    variable: 'BATON_ENV',
    problem: 'is missing',
    cure: 'Name this environment, such as production; only on Vercel and in local mode has it a name of its own.',
  })
  return ''
}

/** What no variable can say alone. */
function checkTogether(platform: Platform, values: Values, environment: string, problems: ConfigProblem[]): void {
  const local = platform.BATON_LOCAL
  const wrong = (variable: string, problem: string, cure = cureOf(variable)): void => void problems.push({ variable, problem, cure })
  const reported = new Set(problems.map(({ variable }) => variable))
  const required = (name: keyof Values): void => {
    const names = [name, ...(about.get(variables.shape[name])?.aliases ?? [])]
    if (values[name] === undefined && !names.some((known) => reported.has(known))) wrong(name, 'is missing')
  }
  if (local && platform.VERCEL !== undefined)
    wrong('BATON_LOCAL', 'is set on Vercel', 'Remove it: local mode is open to everybody who reaches it.')
  if (local && platform.BATON_LOCAL_SECRET === undefined && !reported.has('BATON_LOCAL_SECRET'))
    wrong('BATON_LOCAL_SECRET', 'is missing', 'Start local mode with npm run dev, which makes it; do not set BATON_LOCAL by hand.')
  if (platform.VERCEL_ENV === 'preview' && environment === 'production') {
    wrong(
      'BATON_ENV',
      'is production in a preview deployment',
      "Set it for Vercel's Production environment only, or a preview takes production's runs.",
    )
  }
  required('SUPABASE_URL')
  required('SUPABASE_SECRET_KEY')
  if (!local) required('BATON_ENCRYPTION_KEY')

  const redisUrl = values.UPSTASH_REDIS_REST_URL !== undefined
  const redisToken = values.UPSTASH_REDIS_REST_TOKEN !== undefined
  if (redisUrl) required('UPSTASH_REDIS_REST_TOKEN')
  if (redisToken) required('UPSTASH_REDIS_REST_URL')

  const inngestDev = values.INNGEST_DEV ?? null
  if (inngestDev !== null && !local && environment === 'production')
    wrong('INNGEST_DEV', 'is set in production', 'Remove it: calls of /api/inngest would not be checked.')
  if (inngestDev === null) {
    required('INNGEST_EVENT_KEY')
    required('INNGEST_SIGNING_KEY')
  }
  const sweepMs = values.BATON_SWEEP_EVERY
  if (!local && sweepMs !== undefined && !evenPeriods.some(({ ms }) => ms === sweepMs))
    wrong('BATON_SWEEP_EVERY', `can be ${evenPeriods.map(({ text }) => text).join(', ')}: no cron keeps another period`)
  if (values.BATON_HARD_MARGIN_MS * 2 > values.BATON_MAX_DURATION_MS)
    wrong('BATON_HARD_MARGIN_MS', 'is more than half of BATON_MAX_DURATION_MS')
  const seconds = platform.VERCEL === undefined ? null : secondsOfBuild()
  if (seconds !== null && values.BATON_MAX_DURATION_MS > seconds * 1_000)
    wrong(
      'BATON_MAX_DURATION_MS',
      `is more than the ${seconds} s of maxDuration in the route files of this build, at which Vercel ends them`,
      'Lower it, or raise maxDuration in all route files and in vercel.json and deploy again: docs/deploy.md has the command.',
    )
  if (values.BATON_MAX_MESSAGE_BYTES > values.BATON_MAX_BODY_BYTES) wrong('BATON_MAX_MESSAGE_BYTES', 'is more than BATON_MAX_BODY_BYTES')
}

/** A misspelt name would be ignored in silence. In local mode the stack has names of its own. */
function checkNames(env: Environment, problems: ConfigProblem[]): void {
  const known = new Set([...Object.keys(variables.shape), ...Object.keys(platformVariables.shape)])
  for (const name of Object.keys(env)) {
    if (name.startsWith('BATON_') && !known.has(name))
      problems.push({ variable: name.slice(0, 100), problem: 'is not a variable of Baton', cure: 'See .env.example for the names.' })
  }
}

function assemble(platform: Platform, values: Values, environment: string): Config {
  const local = platform.BATON_LOCAL
  const { UPSTASH_REDIS_REST_URL: redisUrl, UPSTASH_REDIS_REST_TOKEN: redisToken } = values
  return {
    environment,
    local,
    baseUrl: baseUrlOf(platform, values),
    tenantId: local ? localTenant : values.BATON_TENANT,
    access: accessOf(platform, values),
    supabase: { url: values.SUPABASE_URL ?? '', secretKey: values.SUPABASE_SECRET_KEY ?? '' },
    redis:
      redisUrl === undefined || redisToken === undefined
        ? null
        : { url: redisUrl, token: redisToken, prefix: values.BATON_REDIS_PREFIX ?? `baton:${environment}:` },
    inngest: {
      eventKey: values.INNGEST_EVENT_KEY ?? null,
      signingKey: values.INNGEST_SIGNING_KEY ?? null,
      appId: `baton-${environment}`,
      dev: values.INNGEST_DEV ?? null,
    },
    encryptionKey:
      values.BATON_ENCRYPTION_KEY ??
      new Uint8Array(
        createHash('sha256')
          .update(`baton local ${platform.BATON_LOCAL_SECRET ?? ''}`)
          .digest(),
      ),
    leaseMs: values.BATON_LEASE_MS ?? (local ? 6_000 : 30_000),
    sweepEveryMs: values.BATON_SWEEP_EVERY ?? (local ? 2_000 : 300_000),
    maxDurationMs: values.BATON_MAX_DURATION_MS,
    hardMarginMs: values.BATON_HARD_MARGIN_MS,
    defaultWaitMs: values.BATON_DEFAULT_WAIT_MS,
    haste: values.BATON_HASTE ?? (local ? 10 : 1),
    maxStepCrashes: values.BATON_STEP_CRASHES,
    maxBodyBytes: values.BATON_MAX_BODY_BYTES,
    maxMessageBytes: values.BATON_MAX_MESSAGE_BYTES,
    maxResultBytes: values.BATON_MAX_RESULT_BYTES,
    toolTimeoutMs: values.BATON_TOOL_TIMEOUT_MS,
    modelSilenceMs: values.BATON_MODEL_SILENCE_MS,
    cronEnabled: values.BATON_CRON ?? (local || environment === 'production'),
    corsOrigins: values.BATON_CORS_ORIGINS,
    priceCeiling: values.BATON_PRICE_CEILING === undefined ? null : dollars(values.BATON_PRICE_CEILING),
    metricsToken: values.BATON_METRICS_TOKEN ?? null,
    alertWebhook: values.BATON_ALERT_WEBHOOK ?? null,
    log: { format: values.BATON_LOG_FORMAT ?? (platform.NODE_ENV === 'development' ? 'text' : 'json'), lines: values.BATON_LOG_LINES },
    traces: values.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined && values.OTEL_SDK_DISABLED !== 'true',
    sampling: { by: values.OTEL_TRACES_SAMPLER, ratio: values.OTEL_TRACES_SAMPLER_ARG },
    concurrency: values.BATON_CONCURRENCY,
    migrations,
  }
}

function accessOf(platform: Platform, values: Values): AccessConfig {
  const embedded = platform.BATON_LOCAL && !(platform.BATON_LOCAL_REAL ?? '').split(',').includes('supabase')
  const auth = `${(values.SUPABASE_URL ?? '').replace(/\/+$/, '')}/auth/v1`
  const tenant = values.BATON_USER_TENANT ?? (embedded ? localTenant : null)
  return {
    required: !embedded || values.BATON_LOCAL_ACCESS,
    adminKey: values.BATON_ADMIN_KEY ?? null,
    users: {
      jwtSecret: values.SUPABASE_JWT_SECRET ?? null,
      jwksUrl: embedded ? null : `${auth}/.well-known/jwks.json`,
      issuer: values.BATON_JWT_ISSUER ?? (embedded ? null : auth),
      tenantClaim: values.BATON_TENANT_CLAIM ?? 'tenant_id',
      tenant,
      allowAnonymous: values.BATON_ALLOW_ANONYMOUS,
      enabled: tenant !== null || values.BATON_TENANT_CLAIM !== undefined,
    },
  }
}

function baseUrlOf(platform: Platform, values: Values): string | null {
  if (values.BATON_BASE_URL !== undefined) return values.BATON_BASE_URL.replace(/\/+$/, '')
  const host = platform.VERCEL_ENV === 'production' ? (platform.VERCEL_PROJECT_PRODUCTION_URL ?? platform.VERCEL_URL) : platform.VERCEL_URL
  return host === undefined ? null : `https://${host}`
}
