import type { Verdict } from '#lib/core/budget'
import type { AgentDefinition } from '#lib/core/define'
import type { ModelMessage } from 'ai'
import { BatonError, reasonOf } from '#lib/core/errors'
import type { CommitId } from '#lib/core/ids'
import type { Opened, StopReason } from '#lib/core/run'
import type { CommitAnswer, Gates, Happened, Intends, Reservation, RunError } from '#lib/core/commit'
import { settleLate } from '#lib/engine/late'
import { guardLease, LeaseLost, type LeaseGuard, type LeaseStamp } from '#lib/engine/lease'
import type { EngineServices } from '#lib/engine/services'
import { Stopped } from '#lib/engine/stopped'

/** The three times of a slice as monotonic milliseconds: after `sliceAt` no step starts, at `hardAt` all is aborted. */
export interface Deadlines {
  sliceAt: number
  hardAt: number
}

/** Money set aside for a model call; `none` means that nobody has asked yet. */
export interface ReservationInHand {
  state: Verdict['reserved']
  entry: Reservation | null
  /** What was granted where it is less than was asked, and why nothing was. */
  granted: NonNullable<Verdict['granted']> | null
  refusal: NonNullable<Verdict['refusal']> | null
  /** True once its call was made: without an answer it is booked in full. */
  spent: boolean
  /** True when a message has entered since: the call may cost more than was reserved. */
  stale: boolean
}

/** The state of one slice in this process. Everything durable in it came from the database's answers. */
export interface Session {
  services: EngineServices
  definition: AgentDefinition
  opened: Opened
  opening: ModelMessage | null
  deadlines: Deadlines
  guard: LeaseGuard
  /** What is reserved for the next model call. */
  reservation: ReservationInHand
  /** Aborts at the hard limit, when the run is asked to stop, when the lease is gone and when the slice breaks off. */
  signal: AbortSignal
  /** Milliseconds until the gate of the model opens, as far as the last answers of the database know; 0 when it is open. */
  gateMs(model: string): number
  /** True once the authority of the run has ended, as far as the last answers of the database know. */
  expired(): boolean
  /** How many calls the agent's rate still allows, and in how many milliseconds its window ends; no rate allows all. */
  rate(): { left: number; resetInMs: number }
  /** True once a commit has given the lease back: the run ended, waits or was handed over. */
  released: boolean
  stopReason: StopReason | null
  output: string | null
  error: RunError | null
  commit(happened: Happened, intends: Intends): Promise<CommitAnswer>
  /** Milliseconds of work since the last commit took them; each is told once. */
  takeWorkMs(): number
  /** Asks the database for the flags until it answers; throws LeaseLost. Aborts the work in hand when the run is to stop. */
  lookAtFlags(): Promise<void>
  /**
   * Sets money aside beside a commit, or with no entry only looks how things stand. Asked again under the same id while the lease is held;
   * throws LeaseLost after that.
   */
  reserve(entry?: Reservation): Promise<Verdict>
  pastSlice(): boolean
  leftMs(): number
  /** SIGTERM: no step starts any more, the one in hand goes on until `hardAt` (a monotonic instant). */
  endSlice(hardAt: number): void
  /** Aborts what is still at work when the slice breaks off: nothing that it does is wanted any more. */
  abandon(): void
  close(): Promise<void>
}

/** The reservation as the database has answered. */
export function inHand(entry: Reservation | null, verdict: Verdict, stale = false): ReservationInHand {
  const { reserved: state, granted = null, refusal = null } = verdict
  return { state, entry: state === 'granted' ? entry : null, granted, refusal, spent: false, stale }
}

/** What a session is made of. */
export interface SessionInput {
  services: EngineServices
  definition: AgentDefinition
  opened: Opened
  opening: ModelMessage['content'] | null
  gates: Gates
  asked: LeaseStamp
  reservation: Session['reservation']
  deadlines: Deadlines
}

/** A commit that the database refuses is made again so often, within about 1.5 s, before its run is given up. */
const mostRefusals = 5

/** So long after its hard limit a slice keeps its lease: what is still at work then may never end, and its run goes on elsewhere. */
const stoppingMs = 5_000

/** Opens the session of a slice: heartbeat, fence, commit queue and stop signals run until `close`. */
export function openSession(input: SessionInput): Session {
  const { services, opened } = input
  const { clock, store, live } = services
  const guard = guardLease(clock, opened.lease.leaseMs, input.asked)
  const stop = new AbortController()
  const deadlines = { ...input.deadlines }
  let queue: Promise<unknown> = Promise.resolve()
  let lastContact = clock.monotonic()
  let workSince = clock.monotonic()
  let closed = false
  let gates = new Map<string, number>()
  let expiresAt = Number.POSITIVE_INFINITY
  let rate = { left: Number.POSITIVE_INFINITY, resetsAt: 0 }
  takeGates(input.gates)
  takeNarrowing(opened.flags)

  function takeNarrowing({ expiresInMs, rate: told }: Opened['flags']): void {
    const now = clock.monotonic()
    expiresAt = expiresInMs == null ? Number.POSITIVE_INFINITY : now + expiresInMs
    rate = told == null ? { left: Number.POSITIVE_INFINITY, resetsAt: 0 } : { left: told.left, resetsAt: now + told.resetInMs }
  }

  function takeGates(closedGates: Gates): void {
    const now = clock.monotonic()
    gates = new Map(Object.entries(closedGates).map(([model, ms]) => [model, now + ms]))
  }

  let hardTimer: NodeJS.Timeout | undefined
  let cut: 'hard_limit' | 'shutdown' = 'hard_limit'
  function armHard(): void {
    clearTimeout(hardTimer)
    hardTimer = setTimeout(() => stop.abort(new Stopped(cut)), Math.max(0, deadlines.hardAt - clock.monotonic()))
    hardTimer.unref()
  }
  armHard()
  const heartbeat = setInterval(
    () => {
      if (clock.monotonic() - lastContact >= opened.lease.leaseMs / 3 - 50) beat()
    },
    Math.max(50, opened.lease.leaseMs / 12),
  )
  heartbeat.unref()
  const unhalt = live.onHalt(opened.agentUid, (runId) => {
    if (runId === null || runId === opened.run.id) beat()
  })

  const looks = new Set<Promise<void>>()
  function beat(): void {
    if (clock.monotonic() > deadlines.hardAt + stoppingMs) return
    lastContact = clock.monotonic()
    const look = lookAtFlags()
      .catch((error: unknown) => services.log.warn('heartbeat failed', { runId: opened.run.id, error: reasonOf(error) }))
      .finally(() => looks.delete(look))
    looks.add(look)
  }

  async function renew(entry?: Reservation): Promise<Verdict> {
    const { agentUid, lease } = opened
    const stamp = guard.stamp()
    const answer = await store.renew({ agentUid, ...lease, ...(entry === undefined ? {} : { reserve: entry }) })
    if (closed) return { reserved: 'none' }
    if (!answer.ok) {
      guard.lose()
      throw new LeaseLost()
    }
    guard.renewed(stamp)
    takeFlags(answer.flags)
    opened.alwaysAllowed = answer.alwaysAllowed ?? opened.alwaysAllowed
    return answer
  }

  async function lookAtFlags(): Promise<void> {
    if (!closed && guard.held()) await renew()
  }

  /** Until the lease's own deadline a call whose reply was lost is made again; its id finds the first result (invariant 3). */
  async function untilAnswered<Answer>(what: string, ask: () => Promise<Answer>): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      if (!guard.held()) throw new LeaseLost()
      try {
        return await ask()
      } catch (error) {
        // What the database has refused so often it will refuse again: the run is ended for it, see advance.
        const refused = error instanceof BatonError && error.code === 'internal_error'
        // What is no answer of the store was never sent, and would not be the next time either.
        if (!(error instanceof BatonError) || (refused && attempt >= mostRefusals)) throw error
        services.log.warn(`${what} got no answer`, { runId: opened.run.id, attempt, error: reasonOf(error) })
        await clock.sleep(Math.min(1_000, 50 * 2 ** attempt), guard.signal)
      }
    }
  }

  function takeFlags(flags: Opened['flags']): void {
    opened.flags = flags
    takeNarrowing(flags)
    if (flags.stop !== null && !stop.signal.aborted) stop.abort(new Stopped('flags'))
  }

  async function send(happened: Happened, intends: Intends): Promise<CommitAnswer> {
    const commitId: CommitId = services.ids.make('commit')
    const request = {
      commitId,
      agentUid: opened.agentUid,
      sliceId: opened.lease.sliceId,
      epoch: opened.lease.epoch,
      leaseMs: opened.lease.leaseMs,
      after: opened.lastCommit,
      happened,
      intends,
    }
    let stamp = guard.stamp()
    const answer = await untilAnswered('a commit', () => {
      stamp = guard.stamp()
      lastContact = stamp.monotonic
      return store.commit(request)
    })
    if (!answer.ok) {
      guard.lose()
      // What a call really cost is the one thing a stale epoch may still say.
      if (happened.settle !== undefined)
        await settleLate(store, { agentUid: opened.agentUid, runId: opened.run.id, settle: happened.settle })
      throw new LeaseLost()
    }
    if (answer.released) guard.close()
    else guard.renewed(stamp)
    opened.lastCommit = commitId
    takeAnswer(answer)
    return answer
  }

  function takeAnswer(answer: CommitAnswer): void {
    opened.lastSeq = answer.lastSeq
    opened.run.state = answer.state
    opened.run.costMicros = answer.costMicros
    opened.run.reservedMicros = answer.reservedMicros
    opened.run.toolCalls = answer.toolCalls
    opened.flags = answer.flags
    opened.windowFrom = answer.windowFrom
    takeGates(answer.gates)
    live.emit({
      agentUid: opened.agentUid,
      runId: opened.run.id,
      epoch: opened.lease.epoch,
      step: opened.run.step,
      attempt: opened.run.attempt,
      afterSeq: answer.lastSeq,
      body: { type: 'committed', seq: answer.lastSeq },
    })
    services.dispatch(answer.outbox)
    if (!answer.released) takeFlags(answer.flags)
  }

  return {
    services,
    definition: input.definition,
    opened,
    opening: input.opening === null ? null : { role: 'user', content: input.opening as string },
    deadlines,
    guard,
    reservation: input.reservation,
    signal: AbortSignal.any([stop.signal, guard.signal]),
    gateMs: (model) => Math.max(0, Math.ceil((gates.get(model) ?? 0) - clock.monotonic())),
    expired: () => clock.monotonic() >= expiresAt,
    rate() {
      const resetInMs = Math.max(0, Math.ceil(rate.resetsAt - clock.monotonic()))
      return { left: resetInMs === 0 ? Number.POSITIVE_INFINITY : rate.left, resetInMs }
    },
    released: false,
    stopReason: null,
    output: null,
    error: null,
    // Commits of a slice go through one queue (invariant 4).
    commit(happened, intends) {
      const next = queue.then(() => send(happened, intends))
      queue = next.catch(() => undefined)
      return next
    },
    takeWorkMs() {
      const worked = Math.round(clock.monotonic() - workSince)
      workSince += worked
      return worked
    },
    lookAtFlags: () => untilAnswered('a look at the flags', lookAtFlags),
    reserve: (entry) => untilAnswered('a reservation', () => renew(entry)),
    pastSlice: () => clock.monotonic() >= deadlines.sliceAt,
    leftMs: () => Math.max(0, deadlines.hardAt - clock.monotonic()),
    endSlice(hardAt) {
      deadlines.sliceAt = Math.min(deadlines.sliceAt, clock.monotonic())
      if (hardAt < deadlines.hardAt) [deadlines.hardAt, cut] = [hardAt, 'shutdown']
      armHard()
    },
    abandon: () => stop.abort(new Stopped('broken_off')),
    async close() {
      closed = true
      clearTimeout(hardTimer)
      clearInterval(heartbeat)
      unhalt()
      guard.close()
      await Promise.allSettled(looks)
    },
  }
}
