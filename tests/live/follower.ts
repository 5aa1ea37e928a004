import { createParser } from 'eventsource-parser'
import { poll } from '#local/poll'
import { Client } from '#lib/api/reader.fixture'
import type { OutFrame } from '#lib/api/reader'
import { checkEvent } from '#tests/answers'

/** A reader of an event stream that checks every frame as it comes (ids, offsets, texts). */
export interface Follower {
  readonly frames: OutFrame[]
  readonly comments: string[]
  readonly retryMs: number | null
  readonly lastEventId: string
  readonly client: Client
  /** How the connection ended: by itself, or broken; or what a frame was not. */
  readonly end: Promise<'clean' | 'broken' | Error>
  types(): string[]
  /** Waits for a frame, a minute at most; throws with what there was. */
  until(found: (frame: OutFrame) => boolean, forMs?: number): Promise<OutFrame>
  /** Waits until so much of the text in hand is shown. */
  untilText(part: string, forMs?: number): Promise<void>
  leave(): void
}

export interface FollowOptions extends RequestInit {
  /** The client of an earlier connection, which goes on. */
  client?: Client
  lastEventId?: string
  /** False: filtered streams and such as have no event lines are not checked frame by frame. */
  check?: boolean
}

/** Connects and reads until the end; throws when the answer is not 200. */
export async function followUrl(
  url: string,
  { client = new Client(), lastEventId, check = true, ...init }: FollowOptions = {},
): Promise<Follower> {
  const gone = new AbortController()
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    ...(init.headers as Record<string, string>),
  }
  const response = await fetch(url, { ...init, headers, signal: gone.signal })
  if (response.status !== 200 || response.body === null) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  const body = response.body
  const frames: OutFrame[] = []
  const comments: string[] = []
  let retryMs: number | null = null
  let last = lastEventId ?? ''
  const parser = createParser({
    onComment: (comment) => void comments.push(comment),
    onRetry: (ms) => void (retryMs = ms),
    onEvent({ id, event, data: text }) {
      const data = JSON.parse(text) as Record<string, unknown>
      checkEvent(data)
      const frame: OutFrame = { type: event ?? String(data['type']), data, ...(id === undefined ? {} : { id: Number(id) }) }
      frames.push(frame)
      if (id !== undefined) last = id
      if (check) client.take(frame)
    },
  })
  async function read(): Promise<'clean' | 'broken' | Error> {
    const decoder = new TextDecoder()
    const reader = body.getReader()
    for (;;) {
      let chunk
      try {
        chunk = await reader.read()
      } catch {
        // The connection was broken, here or there: what the tests look for.
        return 'broken'
      }
      if (chunk.done) return 'clean'
      try {
        const text = decoder.decode(chunk.value, { stream: true })
        // A block with an id and no data sets the reader's position and dispatches nothing (WHATWG); the parser does not tell of it.
        for (const [, id] of text.matchAll(/(?:^|\n\n)id: (\d+)\n\n/g)) last = id ?? last
        parser.feed(text)
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error))
      }
    }
  }
  const end = read()
  let failure: Error | null = null
  void end.then((how) => (failure = how instanceof Error ? how : null))

  async function wait(question: () => boolean, what: string, forMs: number): Promise<void> {
    const ok = await poll(() => question() || failure !== null, { everyMs: 10, forMs })
    if (failure !== null) throw failure
    if (!ok)
      throw new Error(`${what} did not come in ${forMs} ms; there were ${frames.map(({ id, type }) => `${id ?? ''}${type}`).join(' ')}`)
  }
  return {
    frames,
    comments,
    client,
    end,
    get retryMs() {
      return retryMs
    },
    get lastEventId() {
      return last
    },
    types: () => frames.map(({ type }) => type),
    async until(found, forMs = 60_000) {
      await wait(() => frames.some(found), 'the frame', forMs)
      return frames.find(found) as OutFrame
    },
    untilText: (part, forMs = 60_000) => wait(() => client.text.includes(part), `the text ${part}`, forMs),
    leave: () => gone.abort(),
  }
}

/** True for a frame of the type. */
export const is =
  (type: string) =>
  (frame: OutFrame): boolean =>
    frame.type === type
