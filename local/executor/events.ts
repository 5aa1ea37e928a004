import type { ExecutorClock } from '#local/executor/clock'
import { newId, seededId } from '#local/executor/ids'
import { incomingEventsSchema, type FunctionEvent, type RunError } from '#local/executor/protocol'
import type { FunctionDefinition } from '#local/executor/register'
import type { Run } from '#local/executor/run'

/** What the events need. */
export interface EventsOptions {
  readonly clock: ExecutorClock
  readonly functions: () => ReadonlyMap<string, FunctionDefinition>
  /** Starts a run; false when there is no room. */
  readonly start: (definition: FunctionDefinition, event: FunctionEvent, delayMs: number) => boolean
  readonly log: (line: string) => void
}

/** Hands an event to the functions that it triggers. */
export interface Delivery {
  readonly event: FunctionEvent
  /** How long to wait first, on the executor's clock. */
  readonly delayMs: number
  /** True for a copy made on purpose, which must not be recognised as one. */
  readonly copy: boolean
}

/** Events on their way to functions. */
export interface Events {
  /** Checks a posted body and gives each event its id; `seed` is the SDK's `x-inngest-event-id-seed`. */
  read(body: unknown, seed: string | undefined): { deliveries: Delivery[] } | { status: number; error: string }
  /** Starts the runs; false when there is no room for one of them. */
  deliver(delivery: Delivery): boolean
  /** Tells that a run has failed for good: `inngest/function.failed`. */
  runFailed(run: Run, error: RunError): void
  /** Delivers what came before anything was registered. */
  flush(): void
}

const DEDUPE_MS = 24 * 3_600_000
const REMEMBERED_KEYS = 100_000
const HELD_BEFORE_REGISTRATION = 1000
// Inngest's limit on its free plan: what is refused here would be refused there.
const LARGEST_EVENT_BYTES = 256 * 1024

/** Makes the intake of events. */
export function createEvents({ clock, functions, start, log }: EventsOptions): Events {
  // By function and event id, oldest first, as Inngest keeps it: from receipt, whatever the event's `ts`.
  const seen = new Map<string, number>()
  let early: Delivery[] = []

  function firstTime(key: string): boolean {
    const now = clock.now()
    const until = seen.get(key)
    if (until !== undefined && until > now) return false
    seen.delete(key)
    seen.set(key, now + DEDUPE_MS)
    const oldest = seen.keys().next().value
    if (seen.size > REMEMBERED_KEYS && oldest !== undefined) seen.delete(oldest)
    return true
  }

  function deliver(delivery: Delivery): boolean {
    const { event, delayMs, copy } = delivery
    if (functions().size === 0) {
      if (early.length >= HELD_BEFORE_REGISTRATION) return false
      early.push(delivery)
      return true
    }
    for (const definition of functions().values()) {
      const triggered = definition.triggers.some(
        (trigger) => trigger.kind === 'event' && trigger.event === event.name && trigger.matches({ event }),
      )
      if (!triggered) continue
      const key = `${definition.id} ${event.id}`
      if (!firstTime(key) && !copy) continue
      if (!start(definition, event, delayMs)) {
        // The sender is told to come again, so the key must be free for it.
        seen.delete(key)
        return false
      }
    }
    return true
  }

  return {
    read(body, seed) {
      const parsed = incomingEventsSchema.safeParse(body)
      if (!parsed.success) return { status: 400, error: `not an event: ${parsed.error.message}` }
      const realNow = Date.now()
      const deliveries: Delivery[] = []
      for (const [index, given] of parsed.data.entries()) {
        if (Buffer.byteLength(JSON.stringify(given)) > LARGEST_EVENT_BYTES)
          return { status: 413, error: `event "${given.name}" is over ${LARGEST_EVENT_BYTES} bytes` }
        const id = given.id || (seed === undefined ? newId() : seededId(seed, index))
        const ts = given.ts || realNow
        deliveries.push({ event: { ...given, id, ts, data: given.data ?? {} }, delayMs: Math.max(0, ts - realNow), copy: false })
      }
      return { deliveries }
    },
    deliver,
    runFailed(run, error) {
      // The handler of a failure that fails itself must not go round in circles.
      if (run.event.name === 'inngest/function.failed') return
      const data = {
        function_id: run.definition.id,
        run_id: run.id,
        error,
        event: run.event,
        events: [run.event],
        _inngest: { status: 'Failed' },
      }
      const event = { id: newId(), name: 'inngest/function.failed', ts: Date.now(), data }
      if (!deliver({ event, delayMs: 0, copy: false })) log(`no room for inngest/function.failed of run ${run.id}`)
    },
    flush() {
      const waiting = early
      early = []
      for (const delivery of waiting) if (!deliver(delivery)) log(`no room for event ${delivery.event.id}`)
    },
  }
}
