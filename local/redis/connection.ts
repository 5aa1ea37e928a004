import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { encodeCommand, parseReply, RedisReplyError, type Reply } from '#local/redis/resp'

/** Largest unparsed answer kept, in bytes. */
const bufferLimit = 64 * 1024 * 1024

/** How long a command may take, in milliseconds; REST has no blocking commands. */
const commandTimeoutMs = 10_000

interface Waiting {
  done: (reply: Reply) => void
  fail: (error: Error) => void
}

/** One connection to a Redis server, in RESP2. */
export interface RedisConnection {
  /** Sends commands in one write (so that nobody else's come between) and resolves with one reply each, errors included. */
  send: (commands: readonly (readonly (string | Buffer)[])[]) => Promise<Reply[]>
  /** Hands every reply that no command waits for (pub/sub messages) to `listener`. */
  onPush: (listener: (reply: Reply) => void) => void
  /** Resolves when the connection has ended, for whatever reason. */
  closed: Promise<void>
  close: () => void
}

async function open(url: URL): Promise<Socket> {
  const port = Number(url.port === '' ? 6379 : url.port)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const secure = url.protocol === 'rediss:'
  const socket = secure ? connectTls({ host, port, servername: host }) : connectPlain({ host, port })
  socket.setTimeout(5_000, () => socket.destroy(new Error('Redis did not accept the connection within 5 s.')))
  await new Promise<void>((done, fail) => {
    socket.once(secure ? 'secureConnect' : 'connect', done)
    socket.once('error', fail)
  })
  socket.setTimeout(0)
  socket.setNoDelay(true)
  return socket
}

/** Connects to `redis://[user:password@]host:port[/db]` (or `rediss:`), authenticates and selects the database. */
export async function connectRedis(address: string): Promise<RedisConnection> {
  const url = new URL(address)
  const socket = await open(url)
  const waiting: Waiting[] = []
  let push: (reply: Reply) => void = () => undefined
  let rest: Buffer = Buffer.alloc(0)

  const read = (chunk: Buffer): void => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    if (rest.length > bufferLimit) throw new Error(`An answer of Redis is larger than ${bufferLimit} bytes.`)
    let start = 0
    for (let parsed = parseReply(rest, start); parsed !== undefined; parsed = parseReply(rest, start)) {
      start = parsed.end
      const first = waiting.shift()
      if (first === undefined) push(parsed.reply)
      else first.done(parsed.reply)
      if (start >= rest.length) break
    }
    rest = rest.subarray(start)
  }

  socket.on('data', (chunk: Buffer) => {
    try {
      read(chunk)
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  })
  let cause = new Error('The connection to Redis has ended.')
  socket.on('error', (error) => {
    cause = error
  })
  const closed = new Promise<void>((done) => {
    socket.once('close', () => {
      for (const one of waiting.splice(0)) one.fail(cause)
      done()
    })
  })

  const send: RedisConnection['send'] = async (commands) => {
    if (socket.destroyed) throw cause
    const replies = commands.map(
      () =>
        new Promise<Reply>((done, fail) => {
          waiting.push({ done, fail })
        }),
    )
    socket.write(Buffer.concat(commands.map(encodeCommand)))
    const timer = setTimeout(() => socket.destroy(new Error(`Redis did not answer within ${commandTimeoutMs} ms.`)), commandTimeoutMs)
    try {
      return await Promise.all(replies)
    } finally {
      clearTimeout(timer)
    }
  }

  const greeting: string[][] = []
  if (url.password !== '') {
    const password = decodeURIComponent(url.password)
    greeting.push(url.username === '' ? ['AUTH', password] : ['AUTH', decodeURIComponent(url.username), password])
  }
  if (url.pathname.length > 1) greeting.push(['SELECT', url.pathname.slice(1)])
  for (const reply of await send(greeting)) {
    if (!(reply instanceof RedisReplyError)) continue
    socket.destroy()
    throw reply
  }
  return { send, onPush: (listener) => (push = listener), closed, close: () => socket.destroy() }
}
