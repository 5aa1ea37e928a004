import type { Server } from 'node:http'
import { connect } from 'node:net'
import { Redis } from '@upstash/redis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { listen } from '#local/parts/part'
import { poll } from '#local/poll'
import { startEngine } from '#local/redis/engine'
import { createGateway } from '#local/redis/gateway'

const given = process.env['REDIS_URL']
const key = (name: string): string => `baton-test-${process.pid}:${name}`

let closeEngine: () => Promise<void> = async () => undefined
let server: Server
let url: string
let redis: Redis

beforeAll(async () => {
  let redisUrl = given ?? ''
  if (redisUrl === '') {
    const engine = await startEngine()
    closeEngine = () => engine.close()
    redisUrl = engine.url
  }
  server = createGateway({ redisUrl, token: 'right' })
  await listen(server, 0)
  const address = server.address()
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  redis = new Redis({ url, token: 'right', enableTelemetry: false, automaticDeserialization: false, retry: false })
})

afterAll(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  await closeEngine()
})

beforeEach(async () => {
  const keys = await redis.keys(key('*'))
  if (keys.length > 0) await redis.del(...keys)
})

async function raw(path: string, body: unknown, token = 'right'): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url + path, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) })
  return { status: response.status, body: await response.json() }
}

describe('commands', () => {
  test('text survives both ways, whatever it holds', async () => {
    const text = 'ü\r\n"{}" \u{1f600} OK'
    expect(await redis.set(key('a'), text)).toBe('OK')
    expect(await redis.get(key('a'))).toBe(text)
    expect(await redis.get(key('missing'))).toBeNull()
  })

  test('SET NX PX is a lock with an expiry', async () => {
    expect(await redis.set(key('lock'), '1', { nx: true, px: 600_000 })).toBe('OK')
    expect(await redis.set(key('lock'), '2', { nx: true, px: 600_000 })).toBeNull()
    expect(await redis.pttl(key('lock'))).toBeGreaterThan(0)
  })

  test('streams: XADD with MAXLEN ~, XRANGE, XREAD, EXPIRE', async () => {
    const trim = { type: 'MAXLEN', comparison: '~', threshold: 100 } as const
    const first = await redis.xadd(key('s'), '*', { d: '{"n":1}' }, { trim })
    await redis.xadd(key('s'), '*', { d: 'two' }, { trim })
    expect(Object.keys(await redis.xrange(key('s'), '-', '+'))).toHaveLength(2)
    expect(JSON.stringify(await redis.xread(key('s'), first))).toContain('two')
    expect(JSON.stringify(await redis.xread(key('s'), first))).not.toContain('"n"')
    expect(await redis.expire(key('s'), 60)).toBe(1)
  })

  test('a pipeline answers each command, errors beside results', async () => {
    const { body } = await raw('/pipeline', [
      ['SET', key('t'), 'text'],
      ['LPUSH', key('t'), 'x'],
      ['GET', key('t')],
      ['BLPOP', key('q'), 0],
    ])
    expect(body).toEqual([
      { result: 'OK' },
      { error: expect.stringContaining('WRONGTYPE') },
      { result: 'text' },
      { error: expect.stringContaining('not available') },
    ])
  })

  test('multi-exec is one transaction', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, () => redis.multi().incr(key('n')).incr(key('n')).exec<[number, number]>()),
    )
    for (const [one, two] of results) expect(two).toBe(one + 1)
    expect(Number(await redis.get(key('n')))).toBe(40)
  })

  test('curl style: the path is the command', async () => {
    expect(await raw(`/set/${key('c')}`, 'v')).toEqual({ status: 200, body: { result: 'OK' } })
    expect((await fetch(`${url}/get/${key('c')}?_token=right`)).status).toBe(200)
  })
})

describe('scripts', () => {
  const script = '#!lua flags=allow-key-locking\nreturn redis.call("INCRBY", KEYS[1], ARGV[1])'

  test('the flag line of @upstash/ratelimit is stripped, for EVAL, SCRIPT LOAD and EVALSHA alike', async () => {
    expect(await redis.eval(script, [key('e')], ['2'])).toBe(2)
    const sha = await redis.scriptLoad(script)
    expect(await redis.evalsha(sha, [key('e')], ['3'])).toBe(5)
    expect(await redis.createScript<number>(script).exec([key('e')], ['4'])).toBe(9)
  })

  test('an unknown digest says NOSCRIPT, which clients answer with EVAL', async () => {
    await expect(redis.evalsha('0'.repeat(40), [], [])).rejects.toThrow(/NOSCRIPT/)
  })
})

describe('subscriptions', () => {
  test('SUBSCRIBE and PSUBSCRIBE deliver what is published, also text with commas', async () => {
    const got: unknown[] = []
    const direct = redis.subscribe<string>(key('news'))
    const pattern = redis.psubscribe<string>(key('*'))
    const open = Promise.all([new Promise((done) => direct.on('subscribe', done)), new Promise((done) => pattern.on('psubscribe', done))])
    direct.on('message', (message) => got.push(message))
    pattern.on('pmessage', (message) => got.push(message))
    await open
    await redis.publish(key('news'), '{"a":[1,2]}')
    expect(await poll(() => got.length === 2, { everyMs: 5, forMs: 60_000 })).toBe(true)
    expect(got).toContainEqual({ channel: key('news'), message: '{"a":[1,2]}' })
    await direct.unsubscribe()
    await pattern.unsubscribe()
    // the gateway must let go of its connections, else they add up
    expect(await poll(async () => (await redis.publish(key('news'), 'x')) === 0, { everyMs: 10, forMs: 60_000 })).toBe(true)
  })

  test('a client that gives up before its subscription stands leaves none behind', async () => {
    const { hostname, port } = new URL(url)
    const head = `POST /subscribe/${key('gone')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\nContent-Length: 0\r\n\r\n`
    for (let time = 0; time < 20; time++) {
      const socket = connect(Number(port), hostname)
      await new Promise<void>((sent) => socket.write(head, () => sent()))
      socket.destroy()
    }
    // A subscription that is left is heard for ever; one that is on its way may come after the first look.
    let silent = 0
    const left = async (): Promise<boolean> => (silent = Number(await redis.publish(key('gone'), 'x')) === 0 ? silent + 1 : 0) >= 10
    expect(await poll(left, { everyMs: 20, forMs: 60_000 })).toBe(true)
  })
})

describe('refusals', () => {
  test('401 for a wrong token, 400 for what is no command, 400 for connection commands', async () => {
    expect((await raw('/', ['GET', 'x'], 'wrong')).status).toBe(401)
    expect((await raw('/', { no: 'list' })).status).toBe(400)
    expect((await raw('/', ['SELECT', '1'])).status).toBe(400)
    expect((await raw('/', ['XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'])).status).toBe(400)
    expect((await raw('/', ['NOSUCHCOMMAND'])).status).toBe(400)
  })

  test('503 while Redis is away', async () => {
    const alone = createGateway({ redisUrl: 'redis://127.0.0.1:1', token: 't' })
    await listen(alone, 0)
    const address = alone.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: { authorization: 'Bearer t' }, body: '["PING"]' })
    expect(response.status).toBe(503)
    await response.text()
    alone.closeAllConnections()
    await new Promise((done) => alone.close(done))
  })
})
