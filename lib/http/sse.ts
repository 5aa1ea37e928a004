import { BatonError } from '#lib/core/errors'
import type { Caller } from '#lib/http/caller'

/** One event; text goes out as it stands, anything else as JSON. `id` is what the browser sends back as Last-Event-ID. */
export interface SseEvent {
  id?: string | number
  event?: string
  data: unknown
}

/** The writing end of an event stream. After its end all calls do nothing. */
export interface SseStream {
  send: (event: SseEvent) => void
  comment: (text: string) => void
  /** Tells browsers how long to wait before they connect again. */
  retry: (milliseconds: number) => void
  /** Sets the id a browser sends back as Last-Event-ID without dispatching anything (WHATWG: an id line without data). */
  position: (id: number) => void
  /** Resolves when little is queued (or the stream has ended): whoever replays much waits here between pages. */
  room: () => Promise<void>
  /** A clean end, which clients take for success. */
  close: () => void
  /** A broken connection, so that no client takes the end for success. */
  breakOff: () => void
  /** Aborts at the end, whoever caused it: close, breakOff, the reader, the process. */
  closed: AbortSignal
}

/** How a stream starts, what keeps it alive and what ends it. */
export interface SseOptions {
  request: Request
  /** Whose stream it is: each has its own share of the process's streams. */
  caller: Pick<Caller, 'kind' | 'rateKey'>
  /** Called at once with the open stream; a rejection is handed to `onError` and breaks the stream. It does not close the stream when it resolves. */
  start: (stream: SseStream) => Promise<void> | void
  onError: (error: unknown) => void
  headers?: Record<string, string>
  heartbeatMs?: number
  /** Milliseconds after which the stream breaks by itself: before the function's own limit does it. */
  lifeMs?: number
  /** False leaves the event lines out, for EventSource's onmessage. */
  named?: boolean
}

/** A reader with more than this queued, in bytes, does not read and is dropped. */
export const maxQueuedBytes = 1_048_576
/** `room()` waits until no more than this is queued, in bytes. */
const roomBytes = 65_536
/** From the moment all has been read to the break, in milliseconds: the server still has to put it on the wire. */
const settleMs = 50
/** How long a stream that is broken off may still send what is queued, in milliseconds. */
const flushMs = 1_000
/** Streams of one process. */
const maxStreams = 5_000
/** Of these, what one caller may have open: a signed-in user, all who have links to one agent's events, a key. Operators share the whole. */
const maxOf: Partial<Record<Caller['kind'], number>> = { user: 100, stream: 100, key: 1_000 }

declare global {
  /** On globalThis, because Next may hold several copies of this module in one process. */
  var batonHttpStreams: Map<SseStream, string> | undefined
}

function openStreams(): Map<SseStream, string> {
  return (globalThis.batonHttpStreams ??= new Map())
}

/**
 * Before anything is kept for a request that asks for a stream: throws BatonError rate_limited when the process, or this caller in it,
 * has as many streams as it may.
 */
export function checkStreams({ kind, rateKey }: SseOptions['caller']): void {
  const streams = openStreams()
  if (streams.size >= maxStreams)
    throw new BatonError('rate_limited', 'This process serves as many streams as it can. Nothing was done; connect again.')
  const limit = maxOf[kind]
  if (limit === undefined || streams.size < limit) return
  let open = 0
  for (const other of streams.values()) if (other === rateKey) open += 1
  if (open < limit) return
  throw new BatonError(
    'rate_limited',
    `This caller has ${limit} streams open in this process, and may have no more. Nothing was done; close some, or ask without a stream.`,
    { hard: false, limit: { name: 'streams', limit } },
  )
}

/** Breaks every stream of this process, for SIGTERM: their clients connect again, elsewhere. Answers how many there were. */
export function endAllStreams(): number {
  const streams = [...openStreams().keys()]
  for (const stream of streams) stream.breakOff()
  return streams.length
}

/** An event-stream response (WHATWG HTML, Server-sent events). Throws BatonError rate_limited as `checkStreams` does, for a request that only reads. */
export function sseResponse(options: SseOptions): Response {
  const { request, caller, named = true, heartbeatMs = 5_000 } = options
  const streams = openStreams()
  // What another method has kept goes on whether it is shown or not: such a request is refused before.
  if (request.method === 'GET') checkStreams(caller)
  const ended = new AbortController()
  const encoder = new TextEncoder()
  const waiting: (() => void)[] = []
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null
  let timers: NodeJS.Timeout[] = []
  let breaking = false

  const queued = (): number => (controller === null ? 0 : maxQueuedBytes - (controller.desiredSize ?? maxQueuedBytes))
  const release = (): void => {
    for (const resolve of waiting.splice(0)) resolve()
  }
  const end = (finish: (open: ReadableStreamDefaultController<Uint8Array>) => void): void => {
    const open = controller
    if (ended.signal.aborted || open === null) return
    streams.delete(stream)
    for (const timer of timers) clearTimeout(timer)
    timers = []
    request.signal.removeEventListener('abort', drop)
    finish(open)
    ended.abort()
    release()
  }
  const drop = (): void => end((open) => open.error(brokenOff()))
  // An error throws away what is queued: what was sent before goes out first, unless the reader does not take it.
  const breakAfterQueued = (open: ReadableStreamDefaultController<Uint8Array>): void => {
    if (queued() === 0) return open.error(brokenOff())
    breaking = true
    setTimeout(() => open.error(brokenOff()), flushMs).unref()
  }
  const write = (text: string): void => {
    if (ended.signal.aborted || controller === null) return
    const bytes = encoder.encode(text)
    // One frame may be longer than all that may be queued: whoever has read everything before it gets it.
    if (queued() > roomBytes && queued() + bytes.byteLength > maxQueuedBytes) drop()
    else controller.enqueue(bytes)
  }

  const stream: SseStream = {
    send: ({ id, event, data }) => {
      const text = typeof data === 'string' ? data : (JSON.stringify(data) ?? 'null')
      const idLine = id === undefined ? '' : `id: ${oneLine(String(id))}\n`
      const eventLine = event === undefined || !named ? '' : `event: ${oneLine(event)}\n`
      write(`${idLine}${eventLine}${prefixLines('data: ', text)}\n`)
    },
    comment: (text) => write(`${prefixLines(': ', text)}\n`),
    retry: (milliseconds) => write(`retry: ${Math.max(0, Math.round(milliseconds))}\n\n`),
    position: (id) => write(`id: ${id}\n\n`),
    room: () => (ended.signal.aborted || queued() <= roomBytes ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    close: () => end((open) => open.close()),
    breakOff: () => end(breakAfterQueued),
    closed: ended.signal,
  }

  const body = new ReadableStream<Uint8Array>(
    {
      start: (opened) => {
        controller = opened
      },
      pull: (opened) => {
        if (breaking && queued() === 0) setTimeout(() => opened.error(brokenOff()), settleMs).unref()
        if (queued() <= roomBytes) release()
      },
      cancel: () => end(() => undefined),
    },
    { highWaterMark: maxQueuedBytes, size: (chunk) => chunk.byteLength },
  )
  streams.set(stream, caller.rateKey)
  timers.push(setInterval(() => stream.comment('heartbeat'), heartbeatMs))
  if (options.lifeMs !== undefined) timers.push(setTimeout(stream.breakOff, options.lifeMs))
  for (const timer of timers) timer.unref()
  if (request.signal.aborted) drop()
  else request.signal.addEventListener('abort', drop, { once: true })

  void run(stream, options)
  return new Response(body, { headers: { ...options.headers, ...sseHeaders } })
}

const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

/** Next destroys the connection for any error, and writes those of another name than AbortError to its log. */
function brokenOff(): DOMException {
  return new DOMException('the stream was broken off', 'AbortError')
}

/** Never rejects: a failed start is told to `onError` and breaks the stream. */
async function run(stream: SseStream, options: SseOptions): Promise<void> {
  try {
    await options.start(stream)
  } catch (error) {
    // What fails because the reader has gone is no error.
    if (!stream.closed.aborted) options.onError(error)
    stream.breakOff()
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n\0]/g, '')
}

function prefixLines(prefix: string, text: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `${prefix}${line}\n`)
    .join('')
}
