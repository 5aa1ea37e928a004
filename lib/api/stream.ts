import type { AgentUid, RunId } from '#lib/core/ids'
import type { LiveFrame } from '#lib/core/ports'
import { Merger, passes, type Filter } from '#lib/api/reader'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import { sseResponse, type SseStream } from '#lib/http/sse'

const pageSize = 200
/** Frames that wait for the database to be read; beyond that deltas are dropped, the whole text comes with its event. */
const mostFrames = 2_000
/** A look at the database when no frame has told of a commit: Redis and this process's hub may both be silent. */
const shortestLookMs = 500
const longestLookMs = 2_000

/** What a reader of an event stream wants. */
export interface Follow extends Filter {
  /** The last number the reader saw. */
  after: number
  named: boolean
  /** True: the stream ends after this run's `done`. */
  endsWithRun: boolean
}

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

/** The stream of the run that a message has opened, from its first event. */
export function streamRun(
  context: { services: Services; request: Request },
  run: { agentUid: AgentUid; runId: RunId; firstSeq: number | null; headers: Record<string, string> },
): Response {
  const follow = {
    agentUid: run.agentUid,
    runId: run.runId,
    after: Math.max(0, (run.firstSeq ?? 1) - 1),
    channels: null,
    types: null,
    named: true,
    endsWithRun: true,
  }
  return streamEvents(context.services, context.request, follow, { 'x-baton-run-id': run.runId, ...run.headers })
}

async function feed(services: Services, follow: Follow, stream: SseStream): Promise<void> {
  const { store, live, clock } = services
  const merger = new Merger(follow.after)
  let frames: LiveFrame[] = []
  let woken = new AbortController()
  let look = shortestLookMs
  const unwatch = live.watch(follow.agentUid, (frame) => {
    if (follow.runId !== null && frame.runId !== follow.runId && frame.body.type !== 'committed') return
    if (frames.length < mostFrames) frames.push(frame)
    woken.abort()
  })
  const show = (out: ReturnType<Merger['event']>): void => {
    for (const frame of out) {
      if (!passes(frame, follow)) continue
      stream.send({ event: frame.type, data: frame.data, ...(frame.id === undefined ? {} : { id: frame.id }) })
    }
  }
  stream.retry(1_000)
  try {
    while (!stream.closed.aborted) {
      woken = new AbortController()
      const page = await store.listEvents({ agentUid: follow.agentUid, after: merger.cursor, limit: pageSize, ...(follow.runId === null ? {} : { runId: follow.runId as RunId }) })
      if (!page.ok) throw refusalError(page)
      merger.knowEpoch(page.epoch)
      for (const event of page.data) {
        show(merger.event(event))
        if (follow.endsWithRun && event.type === 'done' && event.runId === follow.runId) return stream.close()
      }
      await stream.room()
      if (page.data.length === pageSize) continue
      merger.cursor = Math.max(merger.cursor, page.lastSeq)
      if (page.data.length > 0) look = shortestLookMs
      // Live frames until one tells of a commit that has not been read yet; then the database comes first again.
      for (;;) {
        const waiting = frames
        frames = []
        const ahead = waiting.findIndex((frame) => merger.isAhead(frame))
        const ready = ahead < 0 ? waiting : waiting.slice(0, ahead)
        for (const frame of ready) show(merger.live(frame))
        if (ahead >= 0) {
          frames = [...waiting.slice(ahead).filter((frame) => frame.body.type !== 'committed'), ...frames]
          break
        }
        if (frames.length > 0) continue
        if (ready.length > 0) woken = new AbortController()
        await clock.sleep(look, AbortSignal.any([woken.signal, stream.closed]))
        if (stream.closed.aborted) return
        if (frames.length === 0) {
          look = Math.min(longestLookMs, look * 1.3)
          break
        }
      }
    }
  } finally {
    unwatch()
  }
}
