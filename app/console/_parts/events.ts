import { Problem, send } from '#app/console/_parts/api'
import { unlooked, untilLooked } from '#app/console/_parts/looked'
import type { Looked } from '#app/console/_parts/rounds'

/** A frame of an event stream: durable ones have a number. */
export interface StreamFrame {
  seq: number | null
  type: string
  data: Record<string, unknown>
}

export interface FollowOptions {
  path: string
  /** The last number that is known already. */
  after: number
  signal: AbortSignal
  onFrame: (frame: StreamFrame) => void
  /** Told when the stream is there, and when it is not. */
  onLive: (live: boolean) => void
  /** Events have gone that nobody can have any more, or the id is another agent's now; the stream goes on from what is kept. */
  onGap: () => void
  /** While nobody looks at it the stream is given up, 10 s after they have gone; without one it is followed always. */
  page?: Looked
}

/** A stream without a word for so long, in milliseconds, is taken for dead: the server sends a heartbeat every 5 s. */
const silenceMs = 16_000
const shortestPauseMs = 400
const longestPauseMs = 10_000
/** A stream that has lived so long, in milliseconds, was well, though nothing has happened in it. */
const wellMs = 10_000
/** A page that nobody looks at gives its connection back after so long, in milliseconds: over HTTP/1.1 a browser has six, for all tabs together. */
const unseenMs = 10_000

/**
 * Follows an event stream over fetch, which unlike EventSource may be told a position of our own and says why it failed. Comes back with
 * Last-Event-ID after every break, until the signal aborts; resolves then, and where the server refuses for good.
 */
export async function follow(options: FollowOptions): Promise<void> {
  const { signal, page } = options
  let after = options.after
  let pauseMs = shortestPauseMs
  let known: string | null = null
  while (!signal.aborted) {
    if (page !== undefined) await untilLooked(page, signal)
    const unseen = page === undefined ? null : unlooked(page, unseenMs)
    const wanted = unseen === null ? signal : AbortSignal.any([signal, unseen.signal])
    const since = Date.now()
    try {
      await readOnce({ ...options, signal: wanted }, after, (seq, agentUid) => {
        if (agentUid !== null && agentUid !== (known ??= agentUid)) throw new Problem(410, { code: 'cursor_expired', oldestSeq: 1 })
        if (seq === null) return
        after = seq
        pauseMs = shortestPauseMs
      })
    } catch (error) {
      if (signal.aborted) return
      options.onLive(false)
      if (unseen?.signal.aborted === true) continue
      if (error instanceof Problem && error.code === 'cursor_expired') {
        after = Math.max(0, Number(error.body['oldestSeq']) - 1)
        known = null
        options.onGap()
      } else if (error instanceof Problem && [401, 403, 404].includes(error.status)) return
    } finally {
      unseen?.end()
    }
    options.onLive(false)
    if (Date.now() - since >= wellMs) pauseMs = shortestPauseMs
    await pause(pauseMs, signal)
    pauseMs = Math.min(longestPauseMs, pauseMs * 2)
  }
}

/** `seen` is told of the agent whose events come (null where nobody says), and of each number. */
async function readOnce(options: FollowOptions, after: number, seen: (seq: number | null, agentUid: string | null) => void): Promise<void> {
  const silent = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const heard = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => silent.abort(), silenceMs)
  }
  heard()
  try {
    const response = await send('GET', options.path, {
      headers: { accept: 'text/event-stream', 'last-event-id': String(after) },
      signal: AbortSignal.any([options.signal, silent.signal]),
    })
    if (response.body === null) return
    const agentUid = response.headers.get('x-baton-agent-uid')
    seen(null, agentUid)
    options.onLive(true)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    const parser = createFrameParser((frame) => {
      seen(frame.seq, agentUid)
      options.onFrame(frame)
    })
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      heard()
      parser(value)
    }
  } finally {
    clearTimeout(timer)
    silent.abort()
  }
}

/** Reads the event stream format (HTML standard, 9.2.6) as far as Baton writes it: whole frames end with an empty line. */
export function createFrameParser(onFrame: (frame: StreamFrame) => void): (chunk: string) => void {
  let rest = ''
  return (chunk) => {
    const lines = (rest + chunk).split('\n\n')
    rest = lines.pop() ?? ''
    for (const block of lines) {
      const frame = frameOf(block)
      if (frame !== null) onFrame(frame)
    }
  }
}

function frameOf(block: string): StreamFrame | null {
  let id: number | null = null
  const data: string[] = []
  for (const line of block.split('\n')) {
    if (line.startsWith('id:')) id = Number(line.slice(3).trim())
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
  }
  if (data.length === 0) return null
  const parsed: unknown = JSON.parse(data.join('\n'))
  if (typeof parsed !== 'object' || parsed === null || !('type' in parsed)) return null
  return { seq: id, type: String(parsed.type), data: { ...parsed } }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
