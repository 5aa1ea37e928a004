import type { UserContent } from 'ai'
import { onTestFinished, vi } from 'vitest'
import type { AgentDefinition } from '#lib/core/define'
import type { Narrowing } from '#lib/core/overrides'
import type { Clock, LiveFrame, ModelPort } from '#lib/core/ports'
import type { ModelPrice } from '#lib/core/prices'
import { noRates } from '#lib/core/rate'
import { redact } from '#lib/core/redact'
import type { EngineStore } from '#lib/core/store'
import type { Advanced } from '#lib/engine/advance'
import { openMessage } from '#lib/engine/open'
import type { EngineServices } from '#lib/engine/services'
import { continueRun, startSlice } from '#lib/engine/slices'
import { deployTemplates } from '#lib/engine/templates'
import { systemClock } from '#lib/system/clock'
import { scriptedAnswers, type ScriptedAnswer } from '#lib/testing/scripted-answers'
import { authority, ids, ok, type StoreKit } from '#tests/store/kit'

/** The executor's own two clocks, which a test sets forward; they differ from each other as after a suspended machine. */
export interface MovedClock extends Clock {
  forward(by: { monotonic?: number; wall?: number }): void
}

/** A clock of the machine that can be set forward. */
export function movedClock(): MovedClock {
  const real = systemClock()
  const by = { monotonic: 0, wall: 0 }
  return {
    ...real,
    monotonic: () => real.monotonic() + by.monotonic,
    now: () => real.now() + by.wall,
    forward({ monotonic = 0, wall = 0 }) {
      by.monotonic += monotonic
      by.wall += wall
    },
  }
}

/**
 * From here to the end of the test heartbeats wake only in the milliseconds that the answer lets pass on the executor's clocks: beside a lease of
 * minutes nothing counts that holds a machine up for seconds.
 */
export function heartbeatsByHand(clock: MovedClock): (ms: number) => void {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  return (ms) => {
    clock.forward({ monotonic: ms, wall: ms })
    vi.advanceTimersByTime(ms)
  }
}

/** Resolves when the signal has been aborted: what a tool, a hook or a model does until somebody stops it. Throws after a minute. */
export async function isAborted(signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>()
  // In the turn in which it is told: who is given up a second later has ended long before, however busy the machine is.
  if (signal.aborted) aborted.resolve()
  else signal.addEventListener('abort', () => aborted.resolve(), { once: true })
  const late = setTimeout(() => aborted.reject(new Error('nobody has aborted it')), 60_000)
  await aborted.promise.finally(() => clearTimeout(late))
}

/** The engine of one process on the real store, with a model that plays a script. */
export interface Executor {
  services: EngineServices
  /** What went to watchers. */
  frames: LiveFrame[]
  /** The effects that were begun, as the local mode would log them. */
  effects: string[]
  /** The outbox rows that it has sent on. */
  sent: string[]
  /** Somebody elsewhere begins to watch. */
  join(): void
  /** Sends a message and runs its slice in this process. */
  send(agent: string, narrowing?: Narrowing, content?: UserContent): Promise<Advanced>
  /** Takes over an agent and runs one slice. */
  goOn(agentUid: string): Promise<Advanced | string>
}

/** Lets the executor look at its flags at once, as a signal of Redis does. */
export function haltOf({ services }: Executor): () => void {
  let look = (): void => undefined
  services.live.onHalt = (_agentUid, onHalt) => {
    look = () => onHalt(null)
    return () => void (look = () => undefined)
  }
  return () => look()
}

const samePrice = (): ModelPrice => ({ inputMicrosPerMillion: 1_000_000, outputMicrosPerMillion: 1_000_000 })
const hourMs = 3_600_000

/** Slices are counted by the process, which test files share: one that a test leaves at work would be waited for by the SIGTERM of another. */
function ended<Answer>(slice: Promise<Answer>): Promise<Answer> {
  onTestFinished(async () => void (await Promise.allSettled([slice])))
  return slice
}

/** An executor of its own clock and script; `over` replaces parts of it, such as a store whose replies are lost. */
export function startExecutor(
  kit: StoreKit,
  definition: AgentDefinition,
  script: readonly ScriptedAnswer[],
  over: {
    clock?: Clock
    leaseMs?: number
    sliceMs?: number
    /** From the beginning of a slice to its hard limit. */
    hardMs?: number
    ending?: () => boolean
    store?: Partial<EngineStore>
    model?: Partial<ModelPort>
    price?: (model: string) => ModelPrice | null
    onEffect?: EngineServices['onEffect']
    /** Deployed before it, so that it is not the one of messages that name none; and messages name none. */
    before?: readonly AgentDefinition[]
  } = {},
): Executor {
  const { clock = systemClock(), leaseMs = 30_000, price = samePrice } = over
  const none = (): void => undefined
  const frames: LiveFrame[] = []
  const effects: string[] = []
  const sent: string[] = []
  let joined: () => void = none
  const deadlines = () => ({
    sliceAt: clock.monotonic() + (over.sliceMs ?? over.hardMs ?? hourMs),
    hardAt: clock.monotonic() + (over.hardMs ?? hourMs),
  })
  const services: EngineServices = {
    config: {
      environment: 'test',
      leaseMs,
      haste: 1,
      maxStepCrashes: 3,
      maxResultBytes: 65_536,
      toolTimeoutMs: 60_000,
      modelSilenceMs: 60_000,
      maxDurationMs: hourMs,
      hardMarginMs: 1_000,
      log: { format: 'json', lines: [] },
    },
    store: { ...kit.store, ...over.store },
    model: { ...scriptedAnswers(script).model, ...over.model },
    live: {
      emit: (frame) => void frames.push(frame),
      watch: () => none,
      onWatcher: (_agentUid, onJoin) => {
        joined = onJoin
        return () => void (joined = none)
      },
      halt: () => Promise.resolve(),
      haltAll: () => Promise.resolve(),
      onHalt: () => none,
      forget: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    clock,
    ids,
    log: { info: none, warn: none, error: none },
    telemetry: {
      within: (_fields, work) => work(),
      span: (_info, work) => work({ set: none, fail: none }),
      traceparent: () => null,
      flush: () => Promise.resolve(),
    },
    redact,
    templates: deployTemplates([...(over.before ?? []), definition], price),
    price,
    async onEffect(effect) {
      await over.onEffect?.(effect)
      effects.push(effect.kind === 'model' ? 'model' : String(effect.name))
    },
    rates: noRates,
    dispatch: (rows) => void sent.push(...rows.map(({ id }) => id)),
    ending: over.ending ?? (() => false),
  }
  return {
    services,
    frames,
    effects,
    sent,
    join: () => joined(),
    async send(agent, narrowing, content = 'hello') {
      const { answer, asked, reserve } = await openMessage(
        services,
        {
          authority,
          agentName: agent,
          template: over.before === undefined ? definition.id : null,
          mustExist: false,
          content,
          kind: 'message',
          metadata: {},
          onBusy: null,
          limits: null,
          narrowed: narrowing === undefined ? null : { overrides: {}, narrowing },
          webhook: null,
          traceparent: null,
          idempotency: null,
          execute: true,
        },
        () => Promise.resolve(false),
      )
      const { opened, gates = {}, opening = null } = answer
      if (opened === undefined) throw new Error('the agent was busy')
      const reserved = reserve === null ? null : { entry: reserve, verdict: answer }
      return ended(startSlice(services, { opened, gates, opening }, { asked, deadlines: deadlines(), reserve: reserved }).done)
    },
    async goOn(agentUid) {
      const result = await ended(continueRun(services, agentUid, deadlines()))
      return 'advanced' in result ? result.advanced : result.refused.code
    },
  }
}

/** What stops the run of an agent and lets its executor know; it resolves when the executor has heard of it. */
export function stopping(kit: StoreKit, agent: string, executor: Executor): () => Promise<void> {
  const halt = haltOf(executor)
  return async () => {
    ok(await kit.store.stop(authority, { agent }, 'cancelled', null))
    const told = Promise.withResolvers<void>()
    // Only a question that began after the stop has it in its answer.
    const { renew } = executor.services.store
    executor.services.store.renew = async (request) => {
      const answer = await renew(request)
      setImmediate(told.resolve)
      return answer
    }
    halt()
    await told.promise
  }
}
