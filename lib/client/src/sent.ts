import { BatonError, statusOfEnd, type Problem } from '#client/errors'
import type { BatonEvent, Blocked, Done, RunState, StateChanged, Usage } from '#client/events'
import { stoppable, type Leavable } from '#client/follow'
import { sharedLog } from '#client/shared-log'
import { texts } from '#client/text'
import type { ExternalCall, PendingApproval, RunDetails } from '#client/types'

/** What every outcome says. */
interface Told {
  agentId: string
  runId: string
  usage: Usage
  costMicros: number
  lastSeq: number
}

/**
 * How a message came out: answered, or paused until somebody decides or answers; with `blockedBy` it is the run before it that is paused, and
 * the message waits for its turn. A run that ended otherwise is a BatonError.
 */
export type Outcome =
  | (Told & { status: 'done'; output: string; stopReason: string })
  | (Told & { status: 'paused'; approvals: PendingApproval[]; externalCalls: ExternalCall[] } & Partial<
        Pick<Blocked, 'blockedBy' | 'blockingRunId'>
      >)

/**
 * A message on its way. Await it for the outcome; iterate over it for the events, or over `text` for the answer as it must be shown; all of it
 * any number of times, from the beginning. It is sent at once, and read while somebody waits or iterates. Leaving never stops the run.
 */
export interface SentMessage extends PromiseLike<Outcome>, AsyncIterable<BatonEvent> {
  readonly agentId: string
  /** Under which the message is sent however often it takes: it starts one run. */
  readonly idempotencyKey: string
  /** Resolves with the run as soon as the message is stored. */
  readonly accepted: Promise<{ runId: string }>
  /** The answer being written, whole each time it has changed; the last one is the stored output. */
  readonly text: AsyncIterable<string>
  /** The same as awaiting it, as a real promise. */
  outcome(): Promise<Outcome>
  /** Ends the run. */
  cancel(reason?: string): Promise<void>
}

/** The answer to a message as JSON; it says more where the run has ended. */
export interface Answered
  extends Told, Pick<RunDetails, 'approvals' | 'externalCalls'>, Partial<Pick<Blocked, 'blockedBy' | 'blockingRunId'>> {
  status: 'done' | 'paused' | 'processing'
}

/** What a sent message needs of the client. */
export interface SentParts {
  agentId: string
  idempotencyKey: string
  /** The run's events; `accepted` is called with its id as soon as it is known. */
  events: (accepted: (runId: string) => void) => Leavable
  getRun: (runId: string) => Promise<RunDetails>
  /** What the message is answered now: nothing of it runs anew. */
  ask: () => Promise<Answered>
  /** The run when it has ended or is paused. */
  waitRun: (runId: string) => Promise<RunDetails>
  cancel: (runId: string, reason?: string) => Promise<unknown>
}

/** Makes the handle of a message, and sends it. */
export function sentMessage({ agentId, idempotencyKey, events, getRun, ask, waitRun, cancel }: SentParts): SentMessage {
  let accept: (run: { runId: string }) => void = () => undefined
  let refuse: (error: unknown) => void = () => undefined
  const accepted = new Promise<{ runId: string }>((resolve, reject) => {
    accept = resolve
    refuse = reject
  })
  // Whoever iterates or awaits the outcome is told as well.
  accepted.catch(() => undefined)
  const log = sharedLog(
    events((runId) => accept({ runId })),
    refuse,
  )
  log.prime(accepted)

  async function ended(runId: string): Promise<Outcome> {
    const run = await waitRun(runId)
    return run.endedAt === null ? pausedOutcome(runTold(run), run) : endOutcome(runTold(run), { ...run, stopReason: run.stopReason ?? '' })
  }

  /** Null where the run goes on already. */
  async function waiting(runId: string, event: StateChanged | Blocked): Promise<Outcome | null> {
    const run = await getRun(runId).catch((error: unknown) => {
      if (isForbidden(error)) return null
      throw error
    })
    if (run !== null && run.state !== 'queued') return isPaused(run) ? pausedOutcome(runTold(run), run) : null
    // The answer to the message is for who may only send, too, and tells of a run before it that is paused.
    try {
      const answer = await ask()
      const { status, blockedBy, blockingRunId } = answer
      const paused = pausedOutcome(toldOf(answer), answer)
      if (status === 'paused') return paused
      return blockedBy === undefined || blockingRunId === undefined ? null : { ...paused, blockedBy, blockingRunId }
    } catch (error) {
      // A message that is not sent again, for its key has gone: who may read looks at the run before it.
      if (run === null || !(error instanceof BatonError) || error.code !== 'connection_lost') throw error
      if (event.type !== 'blocked') return null
      const { blockedBy, blockingRunId } = event
      const before = await getRun(blockingRunId)
      return isPaused(before) ? { ...pausedOutcome(runTold(run), before), blockedBy, blockingRunId } : null
    }
  }

  async function outcome(): Promise<Outcome> {
    try {
      for await (const event of log.read()) {
        const { runId } = await accepted
        if (event.type === 'done') return endOutcome(toldOf({ ...event, agentId, runId, lastSeq: event.seq }), event)
        // What it tells of was true then: a handle that is awaited again reads it again.
        const paused = tellsPause(event) ? await waiting(runId, event) : null
        if (paused !== null) return paused
      }
    } catch (error) {
      // The end is in the run's row, too, when its events are no longer kept.
      if (!(error instanceof BatonError) || error.code !== 'cursor_expired') throw error
    }
    return ended((await accepted).runId)
  }

  return {
    agentId,
    idempotencyKey,
    accepted,
    text: {
      [Symbol.asyncIterator]() {
        const events = log.read()
        return stoppable(texts(events), () => void events.return?.())
      },
    },
    outcome,
    then: (onDone, onFailed) => outcome().then(onDone, onFailed),
    async cancel(reason) {
      await cancel((await accepted).runId, reason)
    },
    [Symbol.asyncIterator]: () => log.read(),
  }
}

/** True for a caller who lacks the right: keys that may only send, for example. */
export function isForbidden(error: unknown): boolean {
  return error instanceof BatonError && error.status === 403
}

/** True for what says that nothing runs now: of the run itself, or of the one before it. */
export function tellsPause(event: BatonEvent): event is StateChanged | Blocked {
  return event.type === 'blocked' || (event.type === 'state_changed' && event.state === 'paused')
}

/** True where nothing runs until a person or the outside answers. */
export function isPaused(run: Pick<RunDetails, 'state' | 'wait'>): boolean {
  return run.state === 'awaiting_approval' || (run.state === 'waiting' && run.wait?.kind === 'external')
}

function runTold(run: RunDetails): Told {
  return toldOf({ ...run, runId: run.id })
}

function toldOf({ agentId, runId, usage, costMicros, lastSeq }: Told): Told {
  return { agentId, runId, usage, costMicros, lastSeq }
}

function pausedOutcome(
  told: Told,
  { approvals = [], externalCalls = [] }: Pick<RunDetails, 'approvals' | 'externalCalls'>,
): Outcome & { status: 'paused' } {
  return { status: 'paused', approvals, externalCalls, ...told }
}

interface End {
  state: RunState
  stopReason: string
  output?: string | null
  error?: Done['error'] | null
}

/** What HTTP answers as 200, or the problem of the stop reason. Throws BatonError. */
function endOutcome(told: Told, { state, stopReason, output, error }: End): Outcome {
  const answered = output != null && (stopReason === 'end_turn' || stopReason === 'max_tokens')
  if (state === 'completed' || answered) return { status: 'done', output: output ?? '', stopReason, ...told }
  const status = statusOfEnd(stopReason)
  const detail = error?.message ?? `The run ended as ${state}.`
  const problem: Problem = { ...error?.details, ...told, status, detail, code: stopReason, stopReason, state, retryable: false }
  throw new BatonError(detail, { code: stopReason, status, problem })
}
