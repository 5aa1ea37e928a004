import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import {
  type AddressInfo,
  createServer as createTcpServer,
  getDefaultAutoSelectFamily,
  isIP,
  type LookupFunction,
  setDefaultAutoSelectFamily,
} from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { deliver } from '#lib/webhooks/deliver'
import { makeWebhookSecret } from '#lib/webhooks/secret'

const open: { close: () => void; closeAllConnections?: () => void }[] = []
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections?.()
    server.close()
  }
})

async function serve(listener: RequestListener, host = '127.0.0.1'): Promise<number> {
  const server: Server = createServer(listener)
  open.push(server)
  await new Promise<void>((done) => server.listen(0, host, done))
  return (server.address() as AddressInfo).port
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += chunk
  return body
}

const message = () => ({
  secrets: [makeWebhookSecret()],
  id: 'msg_1',
  timestamp: Date.now(),
  body: '{"type":"run.completed","text":"ü😀"}',
  local: true,
})

test('the receiver verifies with either secret, and with the base64 of a secret that is any text', async () => {
  let seen: { headers: Record<string, string>; body: string } | undefined
  const port = await serve((request, response) => {
    void bodyOf(request).then((body) => {
      seen = { headers: request.headers as Record<string, string>, body }
      response.writeHead(204).end()
    })
  })
  const [first, second, text] = [makeWebhookSecret(), makeWebhookSecret(), 'any text: ü']
  const outcome = await deliver({ ...message(), url: `http://127.0.0.1:${port}/hook?x=1`, secrets: [first, second, text] })
  expect(outcome).toMatchObject({ ok: true, status: 204, responseSnippet: '', retryAfterMs: null, error: null })
  for (const secret of [first, second, `whsec_${Buffer.from(text).toString('base64')}`]) {
    expect(new Webhook(secret).verify(seen?.body ?? '', seen?.headers ?? {})).toEqual({ type: 'run.completed', text: 'ü😀' })
  }
  expect(() => new Webhook(makeWebhookSecret()).verify(seen?.body ?? '', seen?.headers ?? {})).toThrow(/No matching signature/)
  expect(seen?.headers).toMatchObject({ 'webhook-id': 'msg_1', 'content-type': 'application/json' })
})

test('a secret that no receiver could use fails without a request', async () => {
  const outcome = await deliver({ ...message(), url: 'http://127.0.0.1:1/', secrets: ['whsec_###'] })
  expect(outcome).toMatchObject({ ok: false, status: null, error: expect.stringContaining('base64') })
})

test('a redirect is a failure and is not followed', async () => {
  let followed = false
  const port = await serve((request, response) => {
    followed ||= request.url === '/elsewhere'
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  const outcome = await deliver({ ...message(), url: `http://127.0.0.1:${port}/` })
  expect(outcome).toMatchObject({ ok: false, status: 307, error: expect.stringContaining('not followed') })
  expect(followed).toBe(false)
})

test('a failure carries status, the beginning of the text and what Retry-After asks', async () => {
  const port = await serve((_request, response) => response.writeHead(503, { 'retry-after': '7' }).end('be\u0000low' + 'x'.repeat(5_000)))
  const outcome = await deliver({ ...message(), url: `http://127.0.0.1:${port}/` })
  expect(outcome).toMatchObject({ ok: false, status: 503, retryAfterMs: 7_000 })
  expect(outcome.responseSnippet).toBe('below' + 'x'.repeat(1_024 - 6))
})

test('an endless body is cut off after 64 KB and the status stands', async () => {
  let sent = 0
  const closed = Promise.withResolvers<void>()
  const port = await serve((_request, response) => {
    const chunk = Buffer.alloc(16_384, 'y')
    const more = () => {
      while (!response.destroyed && response.write(chunk)) sent += chunk.length
    }
    response.writeHead(200).on('drain', more).on('close', closed.resolve)
    more()
  })
  const outcome = await deliver({ ...message(), url: `http://127.0.0.1:${port}/`, timeoutMs: 60_000 })
  expect(outcome).toMatchObject({ ok: true, status: 200, responseSnippet: 'y'.repeat(1_024) })
  expect(outcome.durationMs).toBeLessThan(60_000)
  await closed.promise
  expect(sent).toBeLessThan(20_000_000)
})

test('silence, also after the head, ends at the time-out', async () => {
  const silent = await serve(() => undefined)
  const dawdling = await serve((_request, response) => response.writeHead(200).write('begun'))
  const to = (port: number) => deliver({ ...message(), url: `http://127.0.0.1:${port}/`, timeoutMs: 1_500 })
  expect(await to(silent)).toMatchObject({ ok: false, status: null, error: 'No answer within 1500 ms' })
  // On a machine that was held up not even the head has come: as good a time-out as the first.
  let some = await to(dawdling)
  for (let more = 5; some.status === null && more > 0; more--) some = await to(dawdling)
  expect(some).toMatchObject({ ok: true, status: 200, responseSnippet: 'begun' })
})

test('a receiver has ten seconds, where nothing else is said', async () => {
  const over = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => AbortSignal.abort(new DOMException('over', 'TimeoutError')))
  const silent = await serve(() => undefined)
  expect(await deliver({ ...message(), url: `http://127.0.0.1:${silent}/` })).toMatchObject({ error: 'No answer within 10000 ms' })
  expect(over.mock.calls).toEqual([[10_000]])
  over.mockRestore()
})

test('a receiver that is away, one that hangs up and one that changes the protocol are failures', async () => {
  const port = await serve((request) => request.socket.destroy())
  expect(await deliver({ ...message(), url: `http://127.0.0.1:${port}/` })).toMatchObject({
    ok: false,
    error: expect.stringContaining('ECONNRESET'),
  })
  const switching = createTcpServer((socket) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
  )
  open.push(switching)
  await new Promise<void>((done) => switching.listen(0, '127.0.0.1', done))
  const upgraded = await deliver({ ...message(), url: `http://127.0.0.1:${(switching.address() as AddressInfo).port}/`, timeoutMs: 3_000 })
  expect(upgraded).toMatchObject({ ok: false, status: null })
  expect(await deliver({ ...message(), url: 'http://127.0.0.1:1/' })).toMatchObject({
    ok: false,
    error: expect.stringContaining('ECONNREFUSED'),
  })
})

describe('addresses that are not public', () => {
  const hosts =
    '127.0.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 127.1 0.0.0.0 localhost [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 [fd00::1] [fe80::1] [fec0::1]'

  test.for(hosts.split(' '))('outside local mode %s is not called', async (host) => {
    let called = false
    const port = await serve(() => (called = true), '::')
    const outcome = await deliver({ ...message(), local: false, url: `https://${host}:${port}/`, timeoutMs: 20_000 })
    expect(outcome).toMatchObject({ ok: false, status: null, error: 'The address is not public and was not called' })
    expect(called).toBe(false)
  })

  test('outside local mode http is not spoken at all', async () => {
    const outcome = await deliver({ ...message(), local: false, url: 'http://example.com/' })
    expect(outcome).toMatchObject({ ok: false, status: null, error: expect.stringContaining('https only') })
  })

  test('local mode calls loopback by name and number, and nothing else that is private', async () => {
    const port = await serve((_request, response) => response.writeHead(200).end('here'))
    for (const host of ['127.0.0.1', '2130706433', 'localhost']) {
      expect(await deliver({ ...message(), url: `http://${host}:${port}/` })).toMatchObject({ ok: true, responseSnippet: 'here' })
    }
    for (const host of ['10.0.0.1', '169.254.169.254', '0.0.0.0', '[fd00::1]', '[::ffff:127.0.0.1]']) {
      expect(await deliver({ ...message(), url: `http://${host}:${port}/`, timeoutMs: 20_000 })).toMatchObject({
        ok: false,
        error: expect.stringContaining('not public'),
      })
    }
  })
})

describe('names that lead to addresses that are not public', () => {
  /** A resolver that answers with these addresses in turn, whatever it is asked. */
  const resolver = (...answers: string[]) => {
    let asked = 0
    const lookup: LookupFunction = (_hostname, options, done) => {
      const address = answers[Math.min(asked++, answers.length - 1)] ?? ''
      const family = isIP(address)
      if (options.all === true) done(null, [{ address, family }])
      else done(null, address, family)
    }
    return { lookup, asked: () => asked }
  }
  const inside =
    '127.0.0.1 10.0.0.1 169.254.169.254 100.64.0.1 0.0.0.0 ::1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:7f00:1 64:ff9b::7f00:1 fd00::1 fe80::1 2002:7f00:1:: 4000::1'

  test.for(inside.split(' '))('a name that resolves to %s is not called', async (address) => {
    const { lookup } = resolver(address)
    const outcome = await deliver({ ...message(), local: false, url: 'https://rebound.example.com:8443/', timeoutMs: 20_000, lookup })
    expect(outcome).toMatchObject({ ok: false, status: null, refused: true, error: 'The address is not public and was not called' })
  })

  // The last one is refused by our own list alone.
  test.for(['10.0.0.1', '4000::1'])('one private address among public ones is enough to refuse (%s)', async (address) => {
    const lookup: LookupFunction = (_hostname, _options, done) =>
      done(null, [
        { address: '8.8.8.8', family: 4 },
        { address, family: isIP(address) },
      ])
    const outcome = await deliver({ ...message(), local: false, url: 'https://both.example.com/', timeoutMs: 20_000, lookup })
    expect(outcome).toMatchObject({ ok: false, refused: true })
  })

  test('where Node asks for one address of a name, it is looked at as those of several are', async () => {
    const before = getDefaultAutoSelectFamily()
    setDefaultAutoSelectFamily(false)
    try {
      const { lookup } = resolver('4000::1')
      const outcome = await deliver({ ...message(), local: false, url: 'https://alone.example.com/', timeoutMs: 20_000, lookup })
      expect(outcome).toMatchObject({ ok: false, refused: true })
    } finally {
      setDefaultAutoSelectFamily(before)
    }
  })

  test('the name is resolved once an attempt: what was looked at is what is called', async () => {
    const port = await serve((_request, response) => response.writeHead(200).end('here'))
    const { lookup, asked } = resolver('127.0.0.1', '10.0.0.1')
    const outcome = await deliver({ ...message(), url: `http://rebinding.localhost:${port}/`, lookup })
    expect(outcome).toMatchObject({ ok: true, responseSnippet: 'here' })
    expect(asked()).toBe(1)
    expect(await deliver({ ...message(), url: `http://rebinding.localhost:${port}/`, lookup })).toMatchObject({ ok: false, refused: true })
  })

  test('a name that does not resolve is a failure and no refusal', async () => {
    const lookup: LookupFunction = (hostname, _options, done) =>
      done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), '')
    const outcome = await deliver({ ...message(), local: false, url: 'https://absent.example.com/', lookup })
    expect(outcome).toMatchObject({ ok: false, refused: false, error: expect.stringContaining('ENOTFOUND') })
  })
})
