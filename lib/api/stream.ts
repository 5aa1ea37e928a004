import type { AgentUid, RunId } from '#lib/core/ids'
import { BatonError } from '#lib/core/errors'
import { feed, type Follow } from '#lib/api/feed'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import { sseResponse, type SseOptions } from '#lib/http/sse'

/** Who reads a stream, by which request. */
export interface StreamContext {
  services: Services
  request: Request
  caller: SseOptions['caller']
}

/** Which agent the numbers of events are of: after a deletion another one may have its id. */
export function ofAgent(agentUid: AgentUid): Record<string, string> {
  return { 'x-baton-agent-uid': agentUid }
}

/** An SSE response that replays from Postgres and then follows live; it breaks (never ends cleanly) when the function must end. */
export function streamEvents({ services, request, caller }: StreamContext, follow: Follow, headers: Record<string, string> = {}): Response {
  const { config, log } = services
  return sseResponse({
    request,
    caller,
    headers: { ...ofAgent(follow.agentUid), ...headers },
    named: follow.named,
    lifeMs: Math.max(1_000, config.maxDurationMs - config.hardMarginMs),
    start: (stream) => feed(services, follow, stream),
    onError: (error) =>
      log.error('an event stream failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  })
}

/** Before a stream begins, so that a bad cursor is a problem document and not a broken stream. Throws BatonError cursor_expired. */
export async function checkCursor(services: Pick<Services, 'store'>, agentUid: AgentUid, after: number): Promise<void> {
  const answer = await services.store.listEvents({ agentUid, after, limit: 1 })
  if (!answer.ok) throw cursorProblem(answer)
}

/** The problem of a refused read; for a cursor before or beyond what there is with the number of the oldest kept event. */
export function cursorProblem(refusal: Parameters<typeof refusalError>[0]): BatonError {
  if (refusal.code !== 'cursor_expired') return refusalError(refusal)
  const [oldestSeq, lastSeq] = [Number(refusal['oldestSeq']), refusal['lastSeq']]
  const text =
    lastSeq === undefined
      ? `Events before ${oldestSeq} are no longer kept: read the messages, then follow from ${oldestSeq - 1}.`
      : `The last event is ${Number(lastSeq)}: the agent was made anew or restored since. Read the messages, then follow from ${oldestSeq - 1}.`
  return new BatonError('cursor_expired', text, { oldestSeq })
}

/**
 * The stream of the run that a message has opened, from its first event. `lastSeq` is the agent's: a run that still waits begins after
 * it. `fresh` is false for a run that may have begun long ago (a repeat, a steered message), whose first events may be gone: cursor_expired.
 */
export async function streamRun(
  context: StreamContext,
  run: {
    agentUid: AgentUid
    runId: RunId
    firstSeq: number | null
    lastSeq: number
    fresh: boolean
    goesOnWith: () => Promise<RunId | null>
    reader: string | null
    headers: Record<string, string>
  },
): Promise<Response> {
  const follow = {
    agentUid: run.agentUid,
    runId: run.runId,
    after: run.firstSeq === null ? run.lastSeq : run.firstSeq - 1,
    channels: null,
    types: null,
    named: true,
    endsWithRun: true,
    goesOnWith: run.goesOnWith,
    reader: run.reader,
    endsPaused: true,
  }
  if (!run.fresh) await checkCursor(context.services, run.agentUid, follow.after)
  return streamEvents(context, follow, { 'x-baton-run-id': run.runId, ...run.headers })
}
