import { z } from 'zod'

/** An event as `inngest.send` posts it; fields beside these (`user`, `v`, `meta`) travel on unread. */
export const incomingEventSchema = z.looseObject({
  id: z.string().max(1000).nullish(),
  name: z.string().min(1).max(500),
  data: z.record(z.string(), z.unknown()).nullish(),
  ts: z.number().nullish(),
})

/** The body of POST /e/:key: one event or several. */
export const incomingEventsSchema = z.union([z.array(incomingEventSchema).max(5000), incomingEventSchema.transform((event) => [event])])

/** An event in the form a function receives. */
export interface FunctionEvent {
  readonly [field: string]: unknown
  readonly id: string
  readonly name: string
  readonly data: Readonly<Record<string, unknown>>
  readonly ts: number
}

const concurrencySchema = z.strictObject({
  limit: z.number(),
  key: z.string().optional(),
  scope: z.enum(['fn', 'env', 'account']).optional(),
})

/** A function's configuration as the SDK registers it. Fields that the executor does not implement are kept for the refusal to name. */
export const functionConfigSchema = z.looseObject({
  id: z.string().min(1),
  name: z.string().optional(),
  triggers: z.array(z.looseObject({ event: z.string().optional(), expression: z.string().optional(), cron: z.string().optional() })),
  steps: z.record(
    z.string(),
    z.looseObject({
      runtime: z.looseObject({ type: z.string(), url: z.string() }),
      retries: z.looseObject({ attempts: z.number().int().min(0).max(100).optional() }).optional(),
    }),
  ),
  concurrency: z.union([z.number(), concurrencySchema, z.array(concurrencySchema).max(2)]).optional(),
})

/** The type of a registered function's configuration. */
export type FunctionConfig = z.infer<typeof functionConfigSchema>

/** The body of POST /fn/register. */
export const registrationSchema = z.looseObject({
  url: z.string(),
  appName: z.string().min(1),
  functions: z.array(functionConfigSchema).max(500),
  sdk: z.string().optional(),
})

/** An error as the SDK serialises it. */
export interface RunError {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
}

/** Reads an error out of whatever an answer holds; never throws. */
export const runErrorSchema = z
  .looseObject({ name: z.string().optional(), message: z.string().optional(), error: z.string().optional(), stack: z.string().optional() })
  .catch({})
  .transform((raw): RunError => ({ name: raw.name ?? 'Error', message: raw.message ?? raw.error ?? 'Unknown error', stack: raw.stack }))

/** One opcode of a 206 answer or of a checkpoint. */
export const opSchema = z.looseObject({
  id: z.string().min(1),
  op: z.string(),
  name: z.string().nullish(),
  displayName: z.string().nullish(),
  opts: z.looseObject({ parallelMode: z.string().optional() }).nullish(),
  data: z.unknown().optional(),
  error: z.unknown().optional(),
})

/** The type of one opcode. */
export type Op = z.infer<typeof opSchema>

/** The body of a 206 answer: opcodes, or a single one. */
export const opsSchema = z.union([z.array(opSchema).max(2000), opSchema.transform((op) => [op])])

/** The body of POST /v1/checkpoint/:run/async, which the SDK sends after each step it runs on without returning. */
export const checkpointSchema = z.looseObject({ run_id: z.string(), qi_id: z.string(), steps: z.array(opSchema).max(2000) })

/** The result of a step, in the form in which the next request carries it. */
export type StepState = { readonly type: 'data'; readonly data: unknown } | { readonly type: 'error'; readonly error: RunError }

/** What refused configurations and opcodes end with. */
export const USE_THE_DEV_SERVER = 'is not implemented by the local executor; use a real Inngest with `npx inngest-cli dev`'
