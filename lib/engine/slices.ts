import type { Verdict } from '#lib/core/budget'
import type { AgentDefinition } from '#lib/core/define'
import type { AgentUid, SliceId } from '#lib/core/ids'
import { formatVersion, type ToolCall } from '#lib/core/run'
import type { Reservation } from '#lib/core/commit'
import type { ClaimAnswer, ClaimRequest, OpenedAnswer, Refusal } from '#lib/core/store'
import { advance, type Advanced } from '#lib/engine/advance'
import type { LeaseStamp } from '#lib/engine/lease'
import { inHand, openSession, type Deadlines, type Session } from '#lib/engine/session'
import type { EngineServices } from '#lib/engine/services'
import { sliceFields, sliceSpan, tellSlice } from '#lib/engine/traces'

/** A slice at work: its session, to cut it short, and what becomes of it. */
export interface Slice {
  session: Session
  done: Promise<Advanced>
}

/** The slices of this process, so that SIGTERM can hand them over. */
const active = new Set<Slice>()

/** Starts a slice of an opened or claimed run. `done` never rejects: a fault of Baton is logged and the lease runs out. */
export function startSlice(
  services: EngineServices,
  opened: OpenedAnswer,
  at: { asked: LeaseStamp; deadlines: Deadlines; reserve: { entry: Reservation; verdict: Verdict } | null },
): Slice {
  const definition = services.templates.get(opened.opened.settings.template)
  if (definition === undefined) throw new Error(`template ${opened.opened.settings.template} was deployed a moment ago and is gone`)
  heldToOnce(opened.opened.calls, definition)
  const session = openSession({
    services,
    definition,
    ...opened,
    asked: at.asked,
    deadlines: at.deadlines,
    reservation: inHand(at.reserve?.entry ?? null, at.reserve?.verdict ?? { reserved: 'none' }),
  })
  const { telemetry, clock } = services
  // Its open or claim was under way when SIGTERM came: the first turn hands it over.
  if (services.ending()) session.endSlice(clock.monotonic())
  const from = clock.monotonic()
  const done = telemetry.within(sliceFields(opened.opened), () =>
    telemetry.span(sliceSpan(opened.opened), async (span) => {
      const advanced = await advance(session).catch((error: unknown): Advanced => {
        services.log.error('a slice failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
        span.fail(error instanceof Error ? error.name : 'error')
        return { kind: 'lease_lost' }
      })
      span.set(tellSlice(session, advanced, clock.monotonic() - from))
      return advanced
    }),
  )
  const slice: Slice = { session, done }
  active.add(slice)
  void done.then(() => active.delete(slice))
  return slice
}

/** A call was asked for as one that may be repeated, and its tool has been found since not to be: what is deployed counts. */
function heldToOnce(calls: ToolCall[], definition: AgentDefinition): void {
  const once = new Set((definition.tools ?? []).flatMap((tool) => (tool.effect === 'once' ? [tool.name] : [])))
  for (const call of calls) if (call.effect !== 'external' && once.has(call.name)) call.effect = 'once'
}

/**
 * Takes over a due agent and runs one slice. A refusal says why there was nothing to do: another executor holds it, or it is not due.
 * Throws from SIGTERM on: whoever sent the continuation sends it again, to another process.
 */
export async function continueRun(
  services: EngineServices,
  agentUid: AgentUid,
  deadlines: Deadlines,
): Promise<{ advanced: Advanced } | { refused: Refusal }> {
  const { clock, config, store, templates } = services
  if (services.ending()) throw new Error('This process is about to end and takes no run over; another one does when it is asked again.')
  const sliceId: SliceId = services.ids.make('slice')
  const request: ClaimRequest = {
    environment: config.environment,
    agentUid,
    sliceId,
    leaseMs: config.leaseMs,
    versions: templates.versions,
    settings: null,
    jitter: clock.random(),
    haste: config.haste,
    maxStepCrashes: config.maxStepCrashes,
    maxFormat: formatVersion,
  }
  const asked = (): LeaseStamp => ({ monotonic: clock.monotonic(), wall: clock.now() })
  let stamp = asked()
  let answer: ClaimAnswer | Refusal = await store.claim(request)
  if (!answer.ok && answer.code === 'template_changed') {
    stamp = asked()
    answer = await store.claim({ ...request, settings: templates.settings(String(answer['template'])) })
  }
  if (!answer.ok) {
    const outbox = answer['outbox']
    if (Array.isArray(outbox)) services.dispatch(outbox)
    return { refused: answer }
  }
  services.dispatch(answer.outbox)
  const slice = startSlice(services, answer, { asked: stamp, deadlines, reserve: null })
  return { advanced: await slice.done }
}

/** What was aborted has so long to stop and to be handed over, in milliseconds; a slice that hangs is left to its lease. */
const stopMs = 2_000

/**
 * SIGTERM: no step starts any more; steps in hand have `graceMs` to end, then they are aborted as at the hard limit. Answers how many
 * slices there were, those that began meanwhile among them.
 */
export async function handOverAll(graceMs: number, clock: EngineServices['clock']): Promise<number> {
  const hardAt = clock.monotonic() + graceMs
  const handed = new Set<Slice>()
  while (active.size > 0) {
    const leftMs = hardAt + stopMs - clock.monotonic()
    if (leftMs <= 0) break
    const slices = [...active]
    for (const slice of slices) {
      handed.add(slice)
      slice.session.endSlice(hardAt)
    }
    const inTime = new AbortController()
    await Promise.race([Promise.all(slices.map(({ done }) => done)), clock.sleep(leftMs, inTime.signal)])
    inTime.abort()
  }
  return handed.size
}
