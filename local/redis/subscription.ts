import type { IncomingMessage, ServerResponse } from 'node:http'
import { answerJson } from '#local/parts/http'
import { connectRedis } from '#local/redis/connection'
import { RedisReplyError, type Reply } from '#local/redis/resp'

/** One subscription over server-sent events. */
export interface SubscriptionOptions {
  request: IncomingMessage
  response: ServerResponse
  redisUrl: string
  command: 'subscribe' | 'psubscribe'
  channels: string[]
}

/** Bytes that may wait for a slow reader before the stream is cut; the client reads again from its cursor. */
const backlogLimit = 4 * 1024 * 1024

/** Proxies and clients drop a stream that says nothing; a comment line keeps it open. */
const heartbeatMs = 15_000

function describe(reply: Reply): string {
  return Array.isArray(reply) ? reply.map((part) => String(part)).join(',') : String(reply)
}

/**
 * Holds one Redis connection for the client and sends each pub/sub message as `data: message,CHANNEL,TEXT`, the form
 * that `redis.subscribe()` of `@upstash/redis` reads. Ends when the client or Redis goes.
 */
export async function serveSubscription({ request, response, redisUrl, command, channels }: SubscriptionOptions): Promise<void> {
  // From the beginning: a client that gives up while Redis is asked would leave its connection open for ever.
  const gone = new Promise<void>((done) => {
    response.once('close', done)
    request.once('aborted', done)
  })
  const connection = await connectRedis(redisUrl)
  const send = (reply: Reply): void => {
    if (response.destroyed) return
    // a line break would end the event: pub/sub texts are one line, as the client reads line by line
    response.write(`data: ${describe(reply).replaceAll(/\r?\n/g, ' ')}\n\n`)
    if (response.writableLength > backlogLimit) response.destroy()
  }
  connection.onPush(send)
  const confirmation = (await connection.send([[command.toUpperCase(), ...channels]]))[0] ?? null
  if (confirmation instanceof RedisReplyError) {
    connection.close()
    return answerJson(response, 400, { error: confirmation.message })
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform', connection: 'keep-alive' })
  send(confirmation)
  const heartbeat = setInterval(() => response.write(': ping\n\n'), heartbeatMs)
  await Promise.race([gone, connection.closed])
  clearInterval(heartbeat)
  connection.close()
  response.end()
}
