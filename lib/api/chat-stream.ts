import type { UIMessageChunk } from 'ai'
import type { AgentUid, RunId } from '#lib/core/ids'
import { ChatChunks, errorChunk } from '#lib/api/chat-chunks'
import { Resume, type Position } from '#lib/api/chat-position'
import { feed, type FeedServices, type Follow } from '#lib/api/feed'
import type { StreamContext } from '#lib/api/stream'
import type { Services } from '#lib/services'
import { sseResponse, type SseStream } from '#lib/http/sse'

/** The stream of one run that a chat shows. */
export interface ChatStream {
  agentUid: AgentUid
  runId: RunId
  /** The number of the last event before the stream. */
  after: number
  /** It begins after a pause, in a message that the client has the beginning of. */
  goesOn?: boolean
  /** What the client has of it. */
  position: Position | null
  /** The run waits for somebody: the stream ends as soon as all up to this number has been shown. */
  pausedAt?: { seq: number; state: string }
  /** As of `Follow`. */
  reader?: string | null
  headers?: Record<string, string>
}

/** The id under which a stream is found again: the run's, and where it began in it when that is not the run's beginning. */
export function streamId(runId: string, after: number | null): string {
  return after === null ? runId : `${runId}~${after}`
}

/**
 * The events of a run as a UI message stream of the AI SDK. Its end is clean when the run has ended or waits for somebody; at the
 * function's deadline it breaks, so that no client takes half an answer for a whole one.
 */
export function streamChat(
  { services, request, caller }: Omit<StreamContext, 'services'> & { services: FeedServices & Pick<Services, 'config' | 'log'> },
  chat: ChatStream,
): Response {
  const { config, log } = services
  const { agentUid, runId, after, pausedAt, reader = null } = chat
  const follow: Follow = {
    agentUid,
    runId,
    after,
    channels: null,
    types: null,
    named: false,
    endsWithRun: true,
    endsPaused: true,
    reader,
    ...(pausedAt === undefined ? {} : { endsAt: pausedAt.seq }),
  }
  return sseResponse({
    request,
    caller,
    named: false,
    lifeMs: Math.max(1_000, config.maxDurationMs - config.hardMarginMs),
    headers: { 'x-vercel-ai-ui-message-stream': 'v1', 'x-baton-run-id': runId, ...chat.headers },
    start: (stream) => feed(services, follow, chunksTo(stream, chat)),
    onError: (error) =>
      log.error('a chat stream failed', { runId, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  })
}

/** A stream that takes frames and sends chunks. */
function chunksTo(stream: SseStream, { runId, position, pausedAt, goesOn }: ChatStream): Parameters<typeof feed>[2] {
  const chat = new ChatChunks(runId, goesOn)
  const resume = new Resume(position)
  let paused = pausedAt?.state ?? 'paused'
  let ended = false
  const send = (chunks: readonly UIMessageChunk[]): void => {
    try {
      for (const chunk of resume.take(chunks)) stream.send({ data: chunk })
    } catch (error) {
      stream.send({ data: errorChunk(error) })
      throw error
    }
  }
  send(chat.start())
  return {
    closed: stream.closed,
    room: stream.room,
    retry: stream.retry,
    position: () => undefined,
    send({ event, data }) {
      const frame = { type: String(event), data: data as Record<string, unknown> }
      resume.look(frame, chat)
      const { runState } = frame.data
      if (frame.type === 'state_changed' && typeof runState === 'string') paused = runState
      if (frame.type === 'blocked') paused = 'queued'
      if (frame.type === 'done') ended = true
      send(chat.frame(frame))
    },
    close() {
      if (!ended) send(chat.pause(paused))
      stream.send({ data: '[DONE]' })
      stream.close()
    },
  }
}
