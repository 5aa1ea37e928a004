import { feed } from '#lib/api/feed'
import { mostBytes } from '#lib/api/listing'
import type { OutFrame } from '#lib/api/reader'
import { ResponseLog, type ResponseEvent } from '#lib/api/responses-log'
import { responseObject, statusOf, type Ending, type ResponseHead } from '#lib/api/responses-object'
import { messageItem } from '#lib/api/responses-items'
import type { Position } from '#lib/api/responses-position'
import { cursorProblem, type StreamContext } from '#lib/api/stream'
import { isEnd } from '#lib/core/run'
import type { StoredEvent } from '#lib/core/pages'
import type { RunView } from '#lib/core/store'
import type { Services } from '#lib/services'
import { sseResponse, type SseStream } from '#lib/http/sse'

const pageSize = 200

/** A response as far as rows tell it: its log, the events that the reader has not seen, and where rows end. */
export interface ReadResponse {
  log: ResponseLog
  events: ResponseEvent[]
  /** The agent's last event that was read. */
  after: number
}

function frameOf({ seq, at, channel, type, runId, step, data }: StoredEvent): OutFrame {
  return { id: seq, type, data: { ...data, seq, at, channel, type, runId, step } }
}

/** Reads all rows of a run into its response. Throws BatonError cursor_expired where the first are gone, invalid_cursor for a bad place. */
export async function readResponse(services: Services, run: RunView, head: ResponseHead, from: Position | null): Promise<ReadResponse> {
  const hooks = services.templates.get(run.template)?.hooks ?? []
  const log = new ResponseLog(head, { from, liveText: hooks.every((hook) => hook.postModel === undefined) })
  const events = log.begin()
  let after = Math.max(0, (run.firstSeq ?? run.lastSeq + 1) - 1)
  for (;;) {
    const page = await services.store.listEvents({ agentUid: run.agentUid, runId: run.id, after, limit: pageSize, bytes: mostBytes })
    if (!page.ok) throw cursorProblem(page)
    for (const event of page.data) events.push(...log.frame(frameOf(event)))
    if (!page.more) {
      log.caughtUp()
      return { log, events, after: Math.max(after, page.lastSeq) }
    }
    after = page.data.at(-1)?.seq ?? after
  }
}

/** The response of a run whose events are no longer kept: its last text and how it ended. */
export function responseOfRow(run: RunView, head: ResponseHead): Record<string, unknown> {
  const { state, stopReason, usage, error, endedAt, output } = run
  const ending: Ending | null = isEnd(state) ? { state, stopReason, usage, error, at: endedAt } : null
  const items = output === null ? [] : [messageItem(`msg_${run.id.slice(4)}_0`, 'completed', output)]
  return responseObject(head, { output: items, status: ending === null ? 'in_progress' : statusOf(ending), ending })
}

/** The stream of a response: what rows tell, then live. It breaks, never ends cleanly, when the function must end before the run does. */
export function streamResponse(
  context: StreamContext,
  run: RunView,
  { log, events, after }: ReadResponse,
  headers: Record<string, string> = {},
  reader: string | null = null,
): Response {
  const { services, request, caller } = context
  const { config } = services
  return sseResponse({
    request,
    caller,
    headers,
    lifeMs: Math.max(1_000, config.maxDurationMs - config.hardMarginMs),
    async start(stream) {
      for (const event of events) {
        await stream.room()
        send(stream, event)
      }
      if (log.ending !== null || log.paused) return stream.close()
      const follow = {
        agentUid: run.agentUid,
        runId: run.id,
        after,
        channels: null,
        types: null,
        named: true,
        endsWithRun: true,
        endsPaused: true,
        reader,
      }
      await feed(services, follow, translated(stream, log))
    },
    onError: (error) =>
      services.log.error('a response stream failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  })
}

function send(stream: Pick<SseStream, 'send'>, event: ResponseEvent): void {
  stream.send({ event: event.type, data: event })
}

/** The stream as the feed sees it: frames go in, events of the response come out. Clients of this dialect know no ids and no positions. */
function translated(stream: SseStream, log: ResponseLog): Parameters<typeof feed>[2] {
  return {
    closed: stream.closed,
    room: stream.room,
    close: stream.close,
    retry: () => undefined,
    position: () => undefined,
    send({ id, event = '', data }) {
      const frame = { ...(typeof id === 'number' ? { id } : {}), type: event, data: data as OutFrame['data'] }
      for (const made of log.frame(frame)) send(stream, made)
    },
  }
}
