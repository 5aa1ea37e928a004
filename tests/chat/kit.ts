import type { UIMessage, UIMessageChunk } from 'ai'
import { uiMessageChunkSchema } from 'ai'
import { createParser } from 'eventsource-parser'
import pg from 'pg'
import { expect } from 'vitest'
import { poll } from '#local/poll'
import type { World } from '#tests/world'

/** What a request to the dialect answers: an error's text, or the chunks of a stream and how it ended. */
export interface Chatted {
  status: number
  headers: Headers
  text: string
  chunks: UIMessageChunk[]
  /** The stream ended by itself and said so; false: it was broken off. */
  clean: boolean
}

export interface AskOptions {
  headers?: Record<string, string>
  method?: string
  body?: unknown
  server?: number
  /** Called with each chunk; true leaves the stream. */
  until?: (chunk: UIMessageChunk, chunks: readonly UIMessageChunk[]) => boolean
}

/** A message of the user as useChat makes it. */
export function user(text: string, ...files: { url: string; mediaType: string }[]): UIMessage {
  return {
    id: `client-${Math.random()}`,
    role: 'user',
    parts: [...files.map((file) => ({ type: 'file' as const, ...file })), { type: 'text', text }],
  }
}

/** Asks and reads the stream to its end; each chunk must be one that the AI SDK knows. */
export async function ask(
  world: World,
  path: string,
  { headers = {}, method = 'GET', body, server = 0, until }: AskOptions = {},
): Promise<Chatted> {
  const left = new AbortController()
  const response = await fetch(world.base(server) + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: AbortSignal.any([left.signal, AbortSignal.timeout(60_000)]),
  })
  const answer: Chatted = { status: response.status, headers: response.headers, text: '', chunks: [], clean: false }
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return { ...answer, text: await response.text() }
  const decoder = new TextDecoder()
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') answer.clean = true
      else answer.chunks.push(JSON.parse(data) as UIMessageChunk)
    },
  })
  let looked = 0
  try {
    for await (const bytes of response.body ?? []) {
      parser.feed(decoder.decode(bytes, { stream: true }))
      for (; looked < answer.chunks.length; looked++) {
        const chunk = answer.chunks[looked]
        if (chunk !== undefined && until?.(chunk, answer.chunks.slice(0, looked + 1)) === true) {
          answer.chunks.length = looked + 1
          left.abort()
          return answer
        }
      }
    }
  } catch {
    // Broken off: `clean` says so.
  }
  for (const chunk of answer.chunks) {
    const checked = await uiMessageChunkSchema().validate?.(chunk)
    expect(checked?.success, JSON.stringify(chunk)).toBe(true)
  }
  return answer
}

/** Sends a message of the user. */
export function send(world: World, id: string, text: string, options: AskOptions & { more?: object } = {}): Promise<Chatted> {
  const { more, ...rest } = options
  return ask(world, '/api/chat', { method: 'POST', body: { id, messages: [user(text)], template: 'scripted', ...more }, ...rest })
}

/** Types in a row, those that repeat once. */
export function types(chunks: readonly UIMessageChunk[]): string[] {
  return chunks.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1])
}

/** The text that a client which knows only chunks ends with: what `reset-step` drops is not in it. */
export function textOf(chunks: readonly UIMessageChunk[]): string {
  let steps: string[] = ['']
  for (const chunk of chunks) {
    if (chunk.type === 'start-step') steps.push('')
    if (chunk.type === 'reset-step') steps = [...steps.slice(0, -1), '']
    if (chunk.type === 'text-delta') steps[steps.length - 1] += chunk.delta
  }
  return steps.join('')
}

/** The messages of a chat. */
export async function history(world: World, id: string, headers: Record<string, string> = {}, query = ''): Promise<UIMessage[]> {
  const response = await fetch(`${world.base()}/api/chat/${id}${query}`, { headers })
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return ((await response.json()) as { messages: UIMessage[] }).messages
}

/** Who said what in a chat, as the page shows it. */
export async function talk(world: World, id: string): Promise<string[]> {
  const words = ({ parts }: UIMessage): string => parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  return (await history(world, id)).map((message) => `${message.role}: ${words(message)}`)
}

/** Requests that are all on their way before the first of them is decided under the agent's lock, which they get in turn. */
export async function inTurn(world: World, id: string, requests: readonly (() => Promise<Chatted>)[]): Promise<Chatted[]> {
  const holder = new pg.Client({ connectionString: String(world.stack.info.databaseUrl) })
  await holder.connect()
  // Sweeps wait for each other, too.
  const locked = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query !~ 'baton_sweep'`
  const answers: Promise<Chatted>[] = []
  try {
    await holder.query('begin')
    await holder.query('select from baton.agents where id = $1 for update', [id])
    for (const request of requests) {
      answers.push(request())
      const waits = await poll(async () => (await world.sql(locked)).length >= answers.length, { everyMs: 10, forMs: 60_000 })
      if (!waits) throw new Error(`request ${answers.length} does not wait for the agent`)
    }
    await holder.query('commit')
    return await Promise.all(answers)
  } finally {
    await holder.end()
  }
}
