import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createParser } from 'eventsource-parser'
import pg from 'pg'
import { inject } from 'vitest'
import type { AgentView, StoredEvent } from '#lib/core/pages'
import type { RunView } from '#lib/core/store'
import { poll } from '#local/poll'
import type { ScriptedAnswer } from '#local/scripted/script'
import { startStack, type Stack, type StackOptions } from '#local/stack'
import type { Effect } from '#scripts/chaos/effects'
import { checkAnswers, checkEvent } from '#tests/answers'
import { restWhereAsked } from '#tests/rests'

/** One answer of the scripted model, as a caller writes it. */
export type Answer = Partial<ScriptedAnswer>

/** An HTTP answer with its JSON. */
export interface Reply {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

/** A frame of an event stream. */
export interface Frame {
  id: string | undefined
  event: string | undefined
  data: Record<string, unknown>
}

export interface SendOptions {
  template?: string
  prefer?: string
  key?: string
  limits?: Record<string, number>
  onBusy?: string
  webhook?: { url: string; secret?: string }
  headers?: Record<string, string>
  server?: number
}

export type EffectLine = Effect

/** Text for the scripted model: the n-th answer is the n-th model call's. */
export function script(...answers: Answer[]): string {
  return JSON.stringify({ script: answers })
}

/** What holds a step of the scripted template until the test has seen enough: `gate: file` of an answer or of the tool `wait`. */
export interface Gate {
  file: string
  open(): Promise<void>
}

/** A stack of its own for a test file: real servers, real Postgres, real HTTP. */
export interface World {
  stack: Stack
  /** Folder of the stack's keys, logs and effects. */
  dataDir: string
  base(server?: number): string
  http(method: string, path: string, body?: unknown, headers?: Record<string, string>, server?: number): Promise<Reply>
  send(agent: string, message: string, options?: SendOptions): Promise<Reply>
  /** Sends with Accept: text/event-stream and hands out the frames until the stream ends; throws when it breaks. */
  stream(path: string, init?: RequestInit, onFrame?: (frame: Frame) => void | Promise<void>, server?: number): Promise<Frame[]>
  run(runId: string): Promise<RunView & { explain: string }>
  /** Polls until the run has ended; throws after `forMs`. */
  ended(runId: string, forMs?: number): Promise<RunView & { explain: string }>
  events(agent: string): Promise<(StoredEvent & Record<string, unknown>)[]>
  agent(agent: string): Promise<AgentView>
  messages(agent: string): Promise<{ seq?: number; role: string; content: unknown; state: string }[]>
  effects(filter?: { key?: string; runId?: string }): Promise<EffectLine[]>
  /** A closed gate. */
  gate(): Gate
  advance(ms: number): Promise<void>
  sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** The embedded executor's chaos controls. */
  chaos(settings: Record<string, unknown>): Promise<void>
  close(): Promise<void>
}

/** How a world is made; `ownCluster` gives it a PostgreSQL of its own, which tests may stop. */
export interface WorldOptions extends StackOptions {
  ownCluster?: boolean
}

/** Starts a stack on a database of its own. Call `close` in afterAll. */
export async function startWorld({ ownCluster = false, ...options }: WorldOptions = {}): Promise<World> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'baton-world-')))
  const stack = await startStack({
    built: true,
    port: 0,
    quiet: true,
    ...(ownCluster ? { fsync: false } : { postgresUrl: inject('clusterUrl'), template: inject('template') }),
    ...options,
    dataDir,
  })
  const pool = new pg.Pool({
    connectionString: String(stack.info.databaseUrl),
    max: 2,
    query_timeout: 60_000,
    connectionTimeoutMillis: 60_000,
  })
  // A database that is stopped on purpose cuts idle connections; the next query opens a new one.
  pool.on('error', () => undefined)
  /** One statement, which is a transaction of its own: what Postgres ends for a deadlock with the servers' work is asked again, as the store does. */
  const sql = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> => {
    for (let more = 20; ; more--) {
      try {
        return (await pool.query<Row>(text, values)).rows
      } catch (error) {
        if (more === 0 || (error as { code?: unknown }).code !== '40P01') throw error
      }
    }
  }
  await restWhereAsked({ sql })
  const base = (server = 0): string => stack.info.baseUrls[server] ?? ''
  let gates = 0
  const endChecks = checkAnswers(() => stack.info.baseUrls)

  const http: World['http'] = async (method, path, body, headers = {}, server = 0) => {
    const json =
      body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } }
    const response = await fetch(base(server) + path, { method, headers, ...json, signal: AbortSignal.timeout(60_000) })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json') ?? false
    // Streams and metrics are text.
    const shown = isJson ? (JSON.parse(text) as Record<string, unknown>) : text === '' ? {} : { text }
    return { status: response.status, headers: response.headers, body: shown }
  }
  const data = async <Row>(path: string, headers?: Record<string, string>): Promise<Row[]> => {
    const reply = await http('GET', path, undefined, headers)
    if (reply.status !== 200) throw new Error(`GET ${path}: ${reply.status} ${JSON.stringify(reply.body)}`)
    return reply.body['data'] as Row[]
  }
  const rowEnded = async (runId: string): Promise<boolean> => {
    const asked = sql('select 1 from baton.runs where run_id = $1 and ended_at is not null', [runId])
    return (await asked.catch(() => [])).length > 0 // a database that is stopped on purpose says nothing
  }
  const run: World['run'] = async (runId) => (await http('GET', `/api/runs/${runId}`)).body as unknown as RunView & { explain: string }

  return {
    stack,
    dataDir,
    base,
    http,
    run,
    send(agent, message, { template = 'scripted', prefer, key, headers, server, ...body } = {}) {
      const all = { ...(prefer && { prefer }), ...(key && { 'idempotency-key': key }), ...headers }
      return http('POST', `/api/agents/${agent}/messages`, { message, template, ...body }, all, server)
    },
    async stream(path, init, onFrame, server = 0) {
      const response = await fetch(base(server) + path, {
        ...init,
        headers: { accept: 'text/event-stream', ...Object.fromEntries(new Headers(init?.headers)) },
      })
      if (response.status !== 200 || response.body === null) throw new Error(`${path}: ${response.status} ${await response.text()}`)
      // A dialect's stream has frames of its own.
      const isEvents = /^\/api\/(?:agents?|runs)\//.test(path)
      const frames: Frame[] = []
      const parser = createParser({
        onEvent({ id, event, data: text }) {
          const shown = JSON.parse(text) as Record<string, unknown>
          if (isEvents) checkEvent(shown)
          frames.push({ id, event, data: shown })
        },
      })
      const decoder = new TextDecoder()
      let handed = 0
      for await (const chunk of response.body) {
        parser.feed(decoder.decode(chunk, { stream: true }))
        for (; handed < frames.length; handed++) await onFrame?.(frames[handed] as Frame)
      }
      return frames
    },
    async ended(runId, forMs = 60_000) {
      let last: RunView | undefined
      let turn = 0
      const over = await poll(
        async () => {
          // Between the seconds only where the row says so: a question of HTTP takes 11 ms of the server's processor.
          if (turn++ % 10 > 0 && !(await rowEnded(runId))) return false
          last = await run(runId).catch(() => undefined)
          return last?.endedAt != null
        },
        { everyMs: 100, forMs },
      )
      if (!over) throw new Error(`run ${runId} has not ended in ${forMs} ms: ${JSON.stringify(last)}`)
      return last as RunView & { explain: string }
    },
    events: (agent) => data(`/api/agents/${agent}/events?after=0&limit=200`, { accept: 'application/json' }),
    agent: async (agent) => (await http('GET', `/api/agents/${agent}`)).body as unknown as AgentView,
    messages: (agent) => data(`/api/agents/${agent}/messages?limit=200`),
    effects: (filter = {}) => data(`/api/local/effects?${new URLSearchParams(filter as Record<string, string>).toString()}`),
    gate() {
      const file = join(dataDir, `gate-${(gates += 1)}`)
      return { file, open: () => writeFile(file, '') }
    },
    async advance(ms) {
      const reply = await http('POST', '/api/local/time', { advanceMs: ms })
      if (reply.status !== 200) throw new Error(`the clock did not move: ${JSON.stringify(reply.body)}`)
    },
    sql,
    async chaos(settings) {
      const response = await fetch(`${stack.info.inngestUrl}/chaos`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(settings),
      })
      if (!response.ok) throw new Error(`chaos: ${response.status} ${await response.text()}`)
    },
    async close() {
      await pool.end()
      await stack.stop()
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
      endChecks()
    },
  }
}
