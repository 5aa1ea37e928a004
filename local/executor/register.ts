import { Cron } from 'croner'
import { filterExpression, keyExpression, type Expression } from '#local/executor/expressions'
import { USE_THE_DEV_SERVER, type FunctionConfig } from '#local/executor/protocol'

/** One concurrency limit of a function; `slot` names the counter that an event's run takes a place in. */
export interface ConcurrencyLimit {
  readonly limit: number
  readonly slot: Expression<string>
}

/** What starts a function. */
export type Trigger =
  | { readonly kind: 'event'; readonly event: string; readonly matches: Expression<boolean> }
  | { readonly kind: 'cron'; readonly expression: string; readonly next: (after: Date) => Date | null }

/** A registered function, checked and ready to run. */
export interface FunctionDefinition {
  readonly id: string
  readonly triggers: readonly Trigger[]
  readonly limits: readonly ConcurrencyLimit[]
  /** Attempts in all: the first one and `retries`; Inngest's default is 4 retries. */
  readonly maxAttempts: number
}

const DEFAULT_RETRIES = 4
const KNOWN_FIELDS = new Set(['id', 'name', 'triggers', 'steps', 'concurrency'])
const KNOWN_TRIGGER_FIELDS = new Set(['event', 'expression', 'cron'])
const INTERNAL_EVENTS_SENT = new Set(['inngest/function.failed', 'inngest/scheduled.timer'])

/** Thrown for a configuration that the executor does not implement; the message names the function, the field and the way out. */
export class RegistrationRefused extends Error {
  /** Makes the refusal of one part of one function. */
  constructor(functionId: string, part: string) {
    super(`function "${functionId}": ${part} ${USE_THE_DEV_SERVER}`)
    this.name = 'RegistrationRefused'
  }
}

/** Checks one function's configuration; throws RegistrationRefused at the first thing that is not implemented. */
export function defineFunction(config: FunctionConfig): FunctionDefinition {
  for (const [field, value] of Object.entries(config)) {
    if (!KNOWN_FIELDS.has(field) && value !== undefined && value !== null) throw new RegistrationRefused(config.id, `\`${field}\``)
  }
  const steps = Object.values(config.steps)
  const step = steps[0]
  if (steps.length !== 1 || !step || step.runtime.type !== 'http')
    throw new RegistrationRefused(config.id, 'a runtime other than one HTTP step')
  return {
    id: config.id,
    triggers: config.triggers.map((trigger) => defineTrigger(config.id, trigger)),
    limits: defineLimits(config),
    maxAttempts: (step.retries?.attempts ?? DEFAULT_RETRIES) + 1,
  }
}

function defineTrigger(functionId: string, trigger: FunctionConfig['triggers'][number]): Trigger {
  for (const [field, value] of Object.entries(trigger)) {
    if (!KNOWN_TRIGGER_FIELDS.has(field) && value !== undefined && value !== null)
      throw new RegistrationRefused(functionId, `the trigger's \`${field}\``)
  }
  if (trigger.cron !== undefined) return defineCron(functionId, trigger.cron)
  const event = trigger.event ?? ''
  if (event === '' || event.includes('*')) throw new RegistrationRefused(functionId, `the event pattern "${event}"`)
  if (event.startsWith('inngest/') && !INTERNAL_EVENTS_SENT.has(event))
    throw new RegistrationRefused(functionId, `the internal event "${event}"`)
  if (trigger.expression === undefined) return { kind: 'event', event, matches: () => true }
  const matches = filterExpression(trigger.expression)
  if (!matches) throw new RegistrationRefused(functionId, `the filter "${trigger.expression}"`)
  return { kind: 'event', event, matches }
}

function defineCron(functionId: string, expression: string): Trigger {
  const parts = /^TZ=(\S+)\s+(.*)$/.exec(expression)
  try {
    const cron = new Cron(parts?.[2] ?? expression, { paused: true, timezone: parts?.[1] ?? 'UTC' })
    // A time zone that does not exist shows only when it is used.
    cron.nextRun()
    return { kind: 'cron', expression, next: (after) => cron.nextRun(after) }
  } catch (error) {
    throw new RegistrationRefused(functionId, `the cron "${expression}" (${error instanceof Error ? error.message : String(error)})`)
  }
}

function defineLimits(config: FunctionConfig): ConcurrencyLimit[] {
  const given = config.concurrency ?? []
  const list = typeof given === 'number' ? [{ limit: given }] : Array.isArray(given) ? given : [given]
  // Inngest reads a limit of 0 as no limit.
  return list.filter(({ limit }) => limit > 0).map((limit) => defineLimit(config.id, limit))
}

function defineLimit(functionId: string, given: { limit: number; key?: string | undefined; scope?: string | undefined }): ConcurrencyLimit {
  const scope = given.scope ?? 'fn'
  const owner = scope === 'fn' ? `fn:${functionId}` : scope
  if (given.key === undefined) {
    if (scope !== 'fn') throw new RegistrationRefused(functionId, `a concurrency limit of scope "${scope}" without a key`)
    return { limit: given.limit, slot: () => owner }
  }
  const key = keyExpression(given.key)
  if (!key) throw new RegistrationRefused(functionId, `the concurrency key "${given.key}"`)
  return { limit: given.limit, slot: (input) => `${owner}:${given.key}:${key(input)}` }
}
