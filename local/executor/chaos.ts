import { z } from 'zod'
import type { Delivery, Events } from '#local/executor/events'

/** The body of POST /chaos: how posted events are ill-treated, for tests. What is absent stays as it is. */
export const chaosSchema = z.strictObject({
  /** Accept and lose the next n events, or all. */
  dropEvents: z.union([z.number().int().min(0), z.literal('all')]).optional(),
  /** Deliver each event twice, past the recognition of copies. */
  duplicateEvents: z.boolean().optional(),
  /** Deliver each event this much later, on the executor's clock. */
  delayEventsMs: z.number().min(0).optional(),
  /** Accept events and keep them. */
  holdEvents: z.boolean().optional(),
  /** Deliver what was kept. */
  releaseHeld: z.literal(true).optional(),
  /** In which order to deliver what was kept. */
  order: z.enum(['arrival', 'reverse']).optional(),
})

/** Stands between the intake and the delivery of posted events. */
export interface Chaos {
  /** Delivers an event, or does to it what the settings say; false when there is no room. */
  pass(delivery: Delivery): boolean
  /** Changes the settings and returns them. */
  set(change: z.infer<typeof chaosSchema>): object
  /** The settings, how many events were dropped and how many are kept. */
  report(): object
}

const LARGEST_HOLD = 10_000

/** Makes a chaos that does nothing yet. */
export function createChaos(events: Events): Chaos {
  const settings = { dropEvents: 0 as number | 'all', duplicateEvents: false, delayEventsMs: 0, holdEvents: false, order: 'arrival' }
  let held: Delivery[] = []
  let dropped = 0

  function send(delivery: Delivery): boolean {
    const late = { ...delivery, delayMs: delivery.delayMs + settings.delayEventsMs }
    return events.deliver(late) && (!settings.duplicateEvents || events.deliver({ ...late, copy: true }))
  }

  function release(): void {
    const waiting = settings.order === 'reverse' ? held.toReversed() : held
    held = []
    for (const delivery of waiting) if (!send(delivery)) held.push(delivery)
  }

  const report = (): object => ({ ...settings, held: held.length, dropped })
  return {
    pass(delivery) {
      if (settings.dropEvents === 'all' || settings.dropEvents > 0) {
        if (settings.dropEvents !== 'all') settings.dropEvents -= 1
        dropped += 1
        return true
      }
      if (!settings.holdEvents) return send(delivery)
      if (held.length >= LARGEST_HOLD) return false
      held.push(delivery)
      return true
    },
    set({ releaseHeld, ...change }) {
      Object.assign(settings, change)
      if (releaseHeld) release()
      return report()
    },
    report,
  }
}
