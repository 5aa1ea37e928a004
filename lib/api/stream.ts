import type { AgentUid, RunId } from '#lib/core/ids'
import { feed, type Follow } from '#lib/api/feed'
import type { Services } from '#lib/services'
import { sseResponse } from '#lib/http/sse'

/** An SSE response that replays from Postgres and then follows live; it breaks (never ends cleanly) when the function must end. */
export function streamEvents(services: Services, request: Request, follow: Follow, headers: Record<string, string> = {}): Response {
  const { config, log } = services
  return sseResponse({
    request,
    headers,
    named: follow.named,
    lifeMs: Math.max(1_000, config.maxDurationMs - config.hardMarginMs),
    start: (stream) => feed(services, follow, stream),
    onError: (error) => log.error('an event stream failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  })
}

/** The stream of the run that a message has opened, from its first event. `lastSeq` is the agent's: a run that still waits begins after it. */
export function streamRun(
  context: { services: Services; request: Request },
  run: { agentUid: AgentUid; runId: RunId; firstSeq: number | null; lastSeq: number; headers: Record<string, string> },
): Response {
  const follow = {
    agentUid: run.agentUid,
    runId: run.runId,
    after: run.firstSeq === null ? run.lastSeq : run.firstSeq - 1,
    channels: null,
    types: null,
    named: true,
    endsWithRun: true,
  }
  return streamEvents(context.services, context.request, follow, { 'x-baton-run-id': run.runId, ...run.headers })
}
