import { backoffMs, linked, reasonOf, sleep } from '#client/backoff'
import { BatonError } from '#client/errors'
import type { BatonEvent } from '#client/events'
import { Shown } from '#client/shown'
import { sseParser, type SseFrame } from '#client/sse'

/** One connection of a stream, which `connection` ends; `lastEventId` null is the beginning. */
export type Open = (lastEventId: string | null, connection: AbortController) => Promise<Response>

/** What is followed and how long. */
export interface Follow {
  open: Open
  /** The position to begin after. */
  after?: number | undefined
  /** True: ends with `done` of the run that is followed. */
  endsWithRun: boolean
  signal?: AbortSignal | undefined
  /** A stream that says nothing for so long is dead: Baton sends a heartbeat every 5 s. In milliseconds. */
  silenceMs?: number
  /** Milliseconds before the next connection after the n-th failure in a row (from 0); null gives the stream up with that error. */
  waitMs?: (error: unknown, failures: number, usual: number) => number | null
  /** Tried in vain for so long it is given up with `connection_lost`, in milliseconds (10 minutes). */
  giveUpMs?: number
  /** Waited for before each connection: for somebody who reads. */
  ready?: () => Promise<void> | undefined
}

/** A stream whose connection may be left while nobody reads, also while the next event is waited for. */
export interface Leavable<Item = BatonEvent> {
  events: AsyncGenerator<Item, void, undefined>
  /** Ends the connection; there is no other before `come`. */
  leave: () => void
  /** Goes on where it was left. */
  come: () => void
}

/** An iterator that may be left while it waits, which generators may not be: `stop` makes their waiting end. */
export function stoppable<Item>(items: AsyncGenerator<Item, void, undefined>, stop: () => void): AsyncIterableIterator<Item, void> {
  let stopped = false
  return {
    next: () =>
      items.next().catch((error: unknown) => {
        if (stopped) return { done: true, value: undefined }
        throw error
      }),
    return() {
      stopped = true
      stop()
      return items.return()
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** A try that takes longer counts no more, in milliseconds: the computer has slept meanwhile. */
const longestTryMs = 60_000

/** The same as `follow`, to be left and come back to. */
export function leavable(stream: Follow): Leavable {
  let present: AbortController | null = null
  let left: AbortController | null = null
  let wanted: Promise<void> | undefined
  let come = (): void => undefined
  const open: Open = (lastEventId, connection) => {
    present = connection
    return stream.open(lastEventId, connection)
  }
  const waitMs: Follow['waitMs'] = (error, failures, usual) => {
    if (present !== null && left === present) return 0
    return stream.waitMs === undefined ? usual : stream.waitMs(error, failures, usual)
  }
  const leave = (): void => {
    wanted ??= new Promise((resolve) => {
      come = () => {
        wanted = undefined
        resolve()
      }
    })
    left = present
    left?.abort()
  }
  return { events: follow({ ...stream, open, waitMs, ready: () => wanted }), leave, come: () => come() }
}

/**
 * The events of a stream over as many connections as it takes: after a break it comes back with Last-Event-ID, later and later and not
 * together with others, until the run's `done`. Throws BatonError for what will not get better, the signal's reason when it aborts.
 */
export async function* follow(stream: Follow): AsyncGenerator<BatonEvent, void, undefined> {
  const { open, after, endsWithRun, signal, waitMs, ready, silenceMs = 20_000, giveUpMs = 600_000 } = stream
  const shown = new Shown()
  let lastEventId = after === undefined ? null : String(after)
  let failures = 0
  // Only what was spent on trying counts: a computer that slept and a reader that came back try again.
  let lostMs = 0
  let retryMs = 1_000
  let opened = false
  for (;;) {
    await ready?.()
    let began = Date.now()
    const { controller, release } = linked(signal)
    let broken: unknown = null
    try {
      const response = await open(lastEventId, controller)
      opened = true
      if (response.status === 204) return
      for await (const frame of framesOf(response, controller, silenceMs)) {
        lostMs = 0
        began = Date.now()
        if (frame === null) continue
        failures = 0
        if (frame.id !== null) lastEventId = frame.id
        if (frame.retry !== null) retryMs = Math.min(frame.retry, 30_000)
        if (frame.data === '') continue
        for (const event of shown.take(eventOf(frame.data))) {
          yield event
          if (endsWithRun && event.type === 'done') return
        }
      }
    } catch (error) {
      if (signal?.aborted === true) throw reasonOf(signal)
      // What is no BatonError is of the caller's own at first; later it may be their network, too.
      if (error instanceof BatonError ? !error.retryable : !opened) throw error
      broken = error
      lostMs += Math.min(Date.now() - began, longestTryMs)
      if (lostMs > giveUpMs) {
        const minutes = Math.round(giveUpMs / 60_000)
        throw new BatonError(`The stream could not be read for ${minutes} minutes; the run goes on without its reader.`, {
          code: 'connection_lost',
          retryable: true,
          cause: error,
        })
      }
    } finally {
      release()
      controller.abort()
    }
    const asked = broken instanceof BatonError ? (broken.retryAfterMs ?? 0) : 0
    const usual = Math.max(asked, backoffMs(failures, { base: retryMs }))
    const wait = waitMs === undefined ? usual : waitMs(broken, failures, usual)
    if (wait === null) throw broken
    lostMs += wait
    await sleep(wait, signal)
    failures += 1
  }
}

function eventOf(data: string): BatonEvent {
  try {
    return JSON.parse(data) as BatonEvent
  } catch (cause) {
    throw new BatonError('An event is not JSON: is this a stream of Baton?', { code: 'invalid_answer', cause })
  }
}

/** The blocks of one connection; null for a sign of life that is none. Ends or rejects when the connection does. */
async function* framesOf(
  response: Response,
  connection: AbortController,
  silenceMs: number,
): AsyncGenerator<SseFrame | null, void, undefined> {
  if (!(response.headers.get('content-type') ?? '').includes('text/event-stream') || response.body === null)
    throw new BatonError('The answer is not an event stream.', { code: 'invalid_answer', status: response.status })
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const feed = sseParser()
  // Node up to 22 lets a read wait for ever when the server has closed the body and its last piece is unread at the abort.
  const leave = (): void => void reader.cancel().catch(() => undefined)
  connection.signal.addEventListener('abort', leave, { once: true })
  if (connection.signal.aborted) leave()
  try {
    for (;;) {
      const silence = setTimeout(() => connection.abort(), silenceMs)
      const { done, value } = await reader.read().finally(() => clearTimeout(silence))
      if (connection.signal.aborted) throw reasonOf(connection.signal)
      if (done) return
      yield null
      yield* feed(decoder.decode(value, { stream: true }))
    }
  } finally {
    connection.signal.removeEventListener('abort', leave)
    // A connection that is broken already rejects: its reader has gone.
    leave()
  }
}
