import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { timingSafeEqual } from 'node:crypto'
import { ZodError } from 'zod'
import { createServer } from '#local/node-http'
import { BodyTooLarge, answerJson, readBody } from '#local/parts/http'
import { commandSchema, pipelineSchema, prepareCommand, RefusedCommand } from '#local/redis/command'
import { connectRedis, type RedisConnection } from '#local/redis/connection'
import { RedisReplyError, type Reply } from '#local/redis/resp'
import { createScriptTable } from '#local/redis/scripts'
import { serveSubscription } from '#local/redis/subscription'

/** Largest request body, in bytes (Upstash's own limit on the free plan is 10 MB, on others up to 100 MB). */
const bodyLimit = 10 * 1024 * 1024

/** What the gateway stands in front of, and the bearer token it asks for. */
export interface GatewayOptions {
  redisUrl: string
  token: string
}

type Json = null | number | string | Json[]
type Result = { result: Json } | { error: string }

function encode(reply: Reply, base64: boolean): Json {
  if (reply === null || typeof reply === 'number') return reply
  if (reply instanceof RedisReplyError) return reply.message
  if (Array.isArray(reply)) return reply.map((item) => encode(item, base64))
  // like Upstash: OK is never encoded, all other text is
  if (reply === 'OK' || !base64) return reply.toString()
  return Buffer.from(reply).toString('base64')
}

function toResult(reply: Reply, base64: boolean): Result {
  return reply instanceof RedisReplyError ? { error: reply.message } : { result: encode(reply, base64) }
}

function isAuthorized(request: IncomingMessage, url: URL, token: string): boolean {
  const given = Buffer.from((request.headers.authorization ?? '').replace(/^Bearer /i, '') || (url.searchParams.get('_token') ?? ''))
  const wanted = Buffer.from(token)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

function segments(url: URL): string[] {
  return url.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent)
}

/** Connects lazily, and again after the connection was lost: Redis may go and come back at any time. */
function sharedConnection(redisUrl: string): { connection: () => Promise<RedisConnection>; close: () => void } {
  let current: Promise<RedisConnection> | undefined
  const close = (): void => {
    current?.then(
      (connection) => connection.close(),
      () => undefined, // it never opened
    )
  }
  const connection = (): Promise<RedisConnection> => {
    if (current !== undefined) return current
    const fresh = connectRedis(redisUrl)
    const forget = (): void => {
      if (current === fresh) current = undefined
    }
    fresh.then((connection) => connection.closed.then(forget), forget)
    current = fresh
    return fresh
  }
  return { connection, close }
}

/** Makes an HTTP server that speaks Upstash's REST protocol (what `@upstash/redis` 1.39 uses) over a Redis server. */
export function createGateway({ redisUrl, token }: GatewayOptions): Server {
  const { connection, close } = sharedConnection(redisUrl)
  const scripts = createScriptTable()

  const prepare = (command: Parameters<typeof prepareCommand>[0]): string[] => {
    const words = prepareCommand(command)
    const name = words[0]?.toUpperCase()
    if (name === 'EVAL' || name === 'EVAL_RO') scripts.learn(String(command[1]), words[1] ?? '')
    if (name === 'SCRIPT') scripts.learn(String(command[2]), words[2] ?? '')
    if (name === 'EVALSHA' || name === 'EVALSHA_RO') words[1] = scripts.translate(words[1] ?? '')
    return words
  }

  const single = async (body: unknown, base64: boolean): Promise<Result> => {
    const [reply] = await (await connection()).send([prepare(commandSchema.parse(body))])
    return toResult(reply ?? null, base64)
  }

  const pipeline = async (body: unknown, base64: boolean): Promise<Result[]> => {
    const prepared = pipelineSchema.parse(body).map((command) => {
      try {
        return prepare(command)
      } catch (error) {
        if (error instanceof RefusedCommand) return error // the others of the pipeline still run
        throw error
      }
    })
    const replies = await (await connection()).send(prepared.filter((command) => Array.isArray(command)))
    return prepared.map((command) => (Array.isArray(command) ? toResult(replies.shift() ?? null, base64) : { error: command.message }))
  }

  const transaction = async (body: unknown, base64: boolean): Promise<Result[] | { error: string }> => {
    const commands = pipelineSchema.parse(body).map(prepare)
    const replies = await (await connection()).send([['MULTI'], ...commands, ['EXEC']])
    const outcome = replies.at(-1)
    if (Array.isArray(outcome)) return outcome.map((reply) => toResult(reply, base64))
    const queued = replies.slice(1, -1).find((reply) => reply instanceof RedisReplyError)
    const cause = queued ?? outcome
    return { error: cause instanceof RedisReplyError ? cause.message : 'EXECABORT Transaction discarded' }
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (url.pathname === '/health') {
      await (await connection()).send([['PING']])
      return answerJson(response, 200, { status: 'ok' })
    }
    if (!isAuthorized(request, url, token)) return answerJson(response, 401, { error: 'WRONGPASS invalid or missing auth token' })
    const [first, ...rest] = segments(url)
    if ((first === 'subscribe' || first === 'psubscribe') && rest.length > 0) {
      return serveSubscription({ request, response, redisUrl, command: first, channels: rest })
    }
    const base64 = request.headers['upstash-encoding'] === 'base64'
    const text = request.method === 'GET' ? '' : (await readBody(request, bodyLimit)).toString()
    const body: unknown = text === '' ? undefined : JSON.parse(text)
    if (first === 'pipeline') return answerJson(response, 200, await pipeline(body, base64))
    if (first === 'multi-exec') {
      const results = await transaction(body, base64)
      return answerJson(response, Array.isArray(results) ? 200 : 400, results)
    }
    // curl style: the words are the path, a body is the last word
    const command = first === undefined ? body : [first, ...rest, ...(text === '' ? [] : [text])]
    const result = await single(command, base64)
    answerJson(response, 'error' in result ? 400 : 200, result)
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) return void response.destroy()
      const message = error instanceof Error ? error.message : String(error)
      if (error instanceof BodyTooLarge) answerJson(response, 413, { error: `ERR ${message}` })
      else if (error instanceof RefusedCommand) answerJson(response, 400, { error: message })
      else if (error instanceof ZodError || error instanceof SyntaxError || error instanceof URIError)
        answerJson(response, 400, { error: `ERR failed to parse command: ${message}` })
      else answerJson(response, 503, { error: `ERR Redis is not available: ${message}` })
    })
  })
  server.once('close', close)
  return server
}
