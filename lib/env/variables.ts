import { z } from 'zod'
import { about, longSecret, webUrl } from '#lib/env/about'
import { watchVariables } from '#lib/env/watch-variables'

export { about } from '#lib/env/about'

const text = z.string().max(10_000)
const flag = z.enum(['0', '1', 'false', 'true'], { error: 'must be 1 or 0' }).transform((value) => value === '1' || value === 'true')
const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
/** A duration such as 500ms, 2s, 5m or 1h, in milliseconds. */
const duration = z.string().transform((value, context) => {
  const [, count, unit] = /^(\d{1,9})(ms|s|m|h)$/.exec(value) ?? []
  const milliseconds = Number(count) * (units[unit ?? ''] ?? Number.NaN)
  if (milliseconds >= 500 && milliseconds <= 86_400_000) return milliseconds
  context.addIssue({ code: 'custom', message: 'must be a duration such as 2s, 5m or 1h, at least 500ms and at most 24h' })
  return z.NEVER
})

/** Two prices as dollars per million tokens: input, then output. */
const dollarPrices = z.string().transform((value, context) => {
  const [input = Number.NaN, output = Number.NaN, ...rest] = value
    .split(',')
    .map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  if (input >= 0 && output >= 0 && input <= 100_000 && output <= 100_000 && rest.length === 0) return { input, output }
  context.addIssue({ code: 'custom', message: 'must be two numbers, dollars per million input and output tokens, such as 20,100' })
  return z.NEVER
})

const environmentName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z 0-9 -')
const tenant = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')

/** 32 bytes as 64 hex digits or as base64 (with or without padding, also base64url). */
const key32 = z.string().transform((value, context) => {
  const bytes = /^[0-9a-fA-F]{64}$/.test(value) ? Buffer.from(value, 'hex') : Buffer.from(value, 'base64')
  if (bytes.byteLength === 32 && /^[A-Za-z0-9+/_-]+={0,2}$/.test(value)) return new Uint8Array(bytes)
  context.addIssue({ code: 'custom', message: 'must be 32 bytes as base64 or as 64 hex digits' })
  return z.NEVER
})

const origins = z.string().transform((value, context) => {
  const listed = value
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '')
  for (const origin of listed) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin || !/^https?:/.test(origin)) {
      context.addIssue({
        code: 'custom',
        message: 'must be origins separated by commas, such as https://app.example.com, without a path and without *',
      })
      return z.NEVER
    }
  }
  return listed
})

/** `1` for the Inngest dev server at its usual place, or its URL. */
const inngestDev = z.union([z.enum(['0', 'false']).transform(() => null), z.enum(['1', 'true']), webUrl], {
  error: 'must be 1 or the URL of the dev server',
})

const deployment = 'Deployment'
const access = 'Who may call (API keys are made with `npm run bootstrap` and /api/keys)'
const limits = 'Limits and times'

/** Every variable that Baton reads. Empty and blank values count as absent. What is optional here may be required by lib/env. */
export const variables = z.object({
  BATON_ENV: environmentName.optional().register(about, {
    group: deployment,
    says: 'The name of this environment; what belongs to another name is never touched.',
    otherwise: 'on Vercel production or preview-<branch>, in local mode local, elsewhere required',
  }),
  BATON_BASE_URL: webUrl.optional().register(about, {
    group: deployment,
    says: 'Where this deployment is reached from outside, without a slash at the end.',
    otherwise: "Vercel's own URL of the deployment; elsewhere none: then `callbackUrl` of an external tool is a path without a host",
  }),
  BATON_TENANT: tenant
    .default('ten_default')
    .register(about, { group: deployment, says: 'The tenant to which work without another tenant belongs.' }),
  BATON_ENCRYPTION_KEY: key32.optional().register(about, {
    group: deployment,
    says: 'Seals stored secrets and signs stream tokens: 32 bytes, made with `openssl rand -base64 32`; keep it, or sealed secrets are lost.',
    otherwise: 'required; in local mode made from BATON_LOCAL_SECRET',
  }),
  BATON_CORS_ORIGINS: origins.default([]).register(about, {
    group: deployment,
    says: 'Origins whose pages may call the API from a browser, separated by commas.',
    otherwise: 'none',
  }),
  BATON_CRON: flag.optional().register(about, {
    group: deployment,
    says: 'Whether this deployment registers its crons (sweeper, retention).',
    otherwise: '1 in production and local, 0 elsewhere',
  }),

  BATON_ADMIN_KEY: longSecret.optional().register(about, {
    group: access,
    says: 'A first key with all rights for the tenant BATON_TENANT, to make API keys with: at least 32 characters, such as of `openssl rand -hex 32`.',
    otherwise: 'none',
  }),
  BATON_USER_TENANT: tenant.optional().register(about, {
    group: access,
    says: 'The tenant of Supabase users whose token names none; without it they are refused.',
    otherwise: 'none; in local mode the local tenant',
  }),
  BATON_TENANT_CLAIM: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')
    .optional()
    .register(about, {
      group: access,
      says: "The name under app_metadata (never user_metadata) of a user's token that says the tenant.",
      otherwise: 'tenant_id',
    }),
  BATON_ALLOW_ANONYMOUS: flag
    .default(false)
    .register(about, { group: access, says: 'Whether users of an anonymous sign-in may call.', otherwise: '0' }),
  BATON_JWT_ISSUER: webUrl.optional().register(about, {
    group: access,
    says: 'Who signs the tokens of users, where it is not the Supabase project under its own address (a custom domain).',
    otherwise: '<SUPABASE_URL>/auth/v1; in local mode any',
  }),
  SUPABASE_JWT_SECRET: z.string().min(32, 'must have at least 32 characters').max(1_000).optional().register(about, {
    group: access,
    says: 'The legacy JWT secret of the Supabase project; only for projects whose tokens are still signed with it; remove it once it is revoked there.',
    otherwise: 'none: tokens are checked with the public keys of the project',
  }),
  BATON_LOCAL_ACCESS: flag.default(false).register(about, {
    group: access,
    says: 'Local mode: ask for credentials as production does.',
    otherwise: '0; 1 with a real Supabase',
  }),

  SUPABASE_URL: webUrl.optional().register(about, {
    group: 'Supabase',
    says: 'The URL of the Supabase project (Project Settings, API).',
    aliases: ['NEXT_PUBLIC_SUPABASE_URL'],
    otherwise: 'required',
  }),
  SUPABASE_SECRET_KEY: text.optional().register(about, {
    group: 'Supabase',
    says: 'The secret key of the project (sb_secret_... or the older service_role key); it never reaches a browser.',
    aliases: ['SUPABASE_SERVICE_ROLE_KEY'],
    otherwise: 'required',
  }),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: 'must be a URL beginning with postgres://' })
    .optional()
    .register(about, {
      group: 'Supabase',
      says: 'A direct connection to Postgres, used by `npm run migrate` only.',
      aliases: ['POSTGRES_URL_NON_POOLING'],
      otherwise: 'none',
    }),

  UPSTASH_REDIS_REST_URL: webUrl.optional().register(about, {
    group: 'Upstash Redis (Baton works without it: live text then arrives step by step)',
    says: 'The REST URL of the Upstash database.',
    aliases: ['KV_REST_API_URL'],
    otherwise: 'no Redis',
  }),
  UPSTASH_REDIS_REST_TOKEN: text.optional().register(about, {
    group: 'Upstash Redis (Baton works without it: live text then arrives step by step)',
    says: 'The REST token of the Upstash database (not the read-only one).',
    aliases: ['KV_REST_API_TOKEN'],
    otherwise: 'no Redis',
  }),
  BATON_REDIS_PREFIX: z.string().min(1).max(100).optional().register(about, {
    group: 'Upstash Redis (Baton works without it: live text then arrives step by step)',
    says: 'What all Redis keys begin with.',
    otherwise: 'baton:<environment>:',
  }),

  INNGEST_EVENT_KEY: text
    .optional()
    .register(about, { group: 'Inngest', says: 'The event key: sends continuations.', otherwise: 'required unless INNGEST_DEV is set' }),
  INNGEST_SIGNING_KEY: text.optional().register(about, {
    group: 'Inngest',
    says: 'The signing key: proves that calls of /api/inngest come from Inngest.',
    otherwise: 'required unless INNGEST_DEV is set',
  }),
  INNGEST_DEV: inngestDev.optional().register(about, {
    group: 'Inngest',
    says: 'An Inngest dev server: 1 for its usual address, or a URL; refused in production, where calls must be signed.',
    otherwise: 'none',
  }),

  ANTHROPIC_API_KEY: text.optional().register(about, {
    group: 'Model providers (lib/providers.ts may read others)',
    says: 'For models named anthropic/...',
    otherwise: 'none',
  }),
  OPENAI_API_KEY: text.optional().register(about, {
    group: 'Model providers (lib/providers.ts may read others)',
    says: 'For models named openai/...',
    otherwise: 'none',
  }),

  ...watchVariables,

  BATON_PRICE_CEILING: dollarPrices.optional().register(about, {
    group: limits,
    says: 'What a model without a price in lib/providers.ts is taken to cost: dollars per million input and output tokens, such as 20,100.',
    otherwise: 'such a model is refused (price_unknown)',
  }),
  BATON_LEASE_MS: whole(1_000, 600_000).optional().register(about, {
    group: limits,
    says: 'How long an executor that has died keeps its run, in milliseconds.',
    otherwise: '30000, in local mode 6000',
  }),
  BATON_SWEEP_EVERY: duration.optional().register(about, {
    group: limits,
    says: 'How often the sweeper looks for due work that nobody has taken, a period that comes out even in an hour or a day, from 1m to 24h; every run of it counts at Inngest.',
    otherwise: '5m, in local mode 2s',
  }),
  BATON_CONCURRENCY: whole(3, 10_000).default(5).register(about, {
    group: limits,
    says: 'How many slices, and how many deliveries, Inngest runs at a time; a tenant never takes the last. At most what your plan has; sync the app after a change.',
  }),
  BATON_MAX_DURATION_MS: whole(10_000, 3_600_000).default(60_000).register(about, {
    group: limits,
    says: "The function's own limit in milliseconds. On Vercel that is maxDuration of the route files, which goes before vercel.json: raise both first (docs/deploy.md, Longer functions).",
  }),
  BATON_HARD_MARGIN_MS: whole(1_000, 60_000).default(5_000).register(about, {
    group: limits,
    says: 'Milliseconds before the limit of the function at which everything is aborted and released.',
  }),
  BATON_DEFAULT_WAIT_MS: whole(0, 600_000).default(25_000).register(about, {
    group: limits,
    says: 'How long a caller waits for the answer when Prefer says nothing, in milliseconds.',
  }),
  BATON_STEP_CRASHES: whole(1, 100)
    .default(3)
    .register(about, { group: limits, says: 'How often a step may crash its process before the run fails with step_crashed.' }),
  BATON_MAX_BODY_BYTES: whole(1_024, 4_500_000)
    .default(1_048_576)
    .register(about, { group: limits, says: 'Largest request body in bytes.' }),
  BATON_MAX_MESSAGE_BYTES: whole(1_024, 4_500_000).default(262_144).register(about, { group: limits, says: 'Largest message in bytes.' }),
  BATON_MAX_RESULT_BYTES: whole(1_024, 1_048_576)
    .default(65_536)
    .register(about, { group: limits, says: 'Tool results above this many bytes are cut with a note.' }),
  BATON_TOOL_TIMEOUT_MS: whole(100, 3_600_000)
    .default(60_000)
    .register(about, { group: limits, says: 'How long a tool may take unless it says otherwise, in milliseconds.' }),
  BATON_MODEL_SILENCE_MS: whole(1_000, 300_000)
    .default(60_000)
    .register(about, { group: limits, says: 'How long a model provider may say nothing before the call is given up, in milliseconds.' }),
  BATON_HASTE: whole(1, 1_000).optional().register(about, {
    group: limits,
    says: 'Divides the waiting times after crashes and before re-sends; for tests.',
    otherwise: '1, in local mode 10',
  }),
})

/** The values of the variables after checking. */
export type Values = z.output<typeof variables>

/** Set by the platform or by the local stack, never by hand: not in .env.example. */
export const platformVariables = z.object({
  VERCEL: z.string().optional(),
  VERCEL_ENV: z.string().optional(),
  VERCEL_URL: z.string().optional(),
  VERCEL_PROJECT_PRODUCTION_URL: z.string().optional(),
  VERCEL_GIT_COMMIT_REF: z.string().optional(),
  NODE_ENV: z.string().optional(),
  BATON_LOCAL: flag.default(false),
  /** The parts that the local stack leaves to real services. */
  BATON_LOCAL_REAL: z.string().optional(),
  BATON_LOCAL_SECRET: z.string().min(16, 'must have at least 16 characters').optional(),
})

/** What the platform says. */
export type Platform = z.output<typeof platformVariables>
