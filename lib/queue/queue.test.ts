import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import type { Log, OutboxRow } from '#lib/core/ports'
import { eventNames } from '#lib/queue/events'
import { createQueue } from '#lib/queue/queue'

interface Received {
  path: string
  events: { id: string; name: string; data: unknown; ts?: number }[]
}

const open: Server[] = []
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  for (const server of open.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** An event API that answers as Inngest does; `status` null: it never answers. */
async function eventApi(status: number | null = 200): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      const events = JSON.parse(body) as Received['events']
      received.push({ path: request.url ?? '', events })
      if (status === null) return
      const answer = status === 200 ? { ids: events.map((event) => event.id), status } : { error: 'no such key', status }
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
  })
  open.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received }
}

function setUp(url: string) {
  const lines: { level: string; message: string; fields: unknown }[] = []
  const line = (level: string) => (message: string, fields?: unknown) => void lines.push({ level, message, fields })
  const log: Log = { info: line('info'), warn: line('warn'), error: line('error') }
  const queue = createQueue({
    inngest: { eventKey: 'event-key', signingKey: null, appId: 'baton-test', dev: url },
    log,
    now: () => 1_000_000,
  })
  return { queue, lines }
}

const row = (id: string, dueInMs = 0): OutboxRow => ({
  id,
  kind: 'continue',
  data: { tenantId: 't', agentUid: 'a', runId: 'run_1', epoch: 3 },
  dueInMs,
})

// The first of all: the SDK goes on trying after the others, and would do it with this one's clock and fetch. Its tries are over within 2 s.
test('after its time is over a request is asked for no more, though the SDK tries again', async () => {
  const asked = vi.fn<typeof fetch>(
    (_url, init) => new Promise((_resolve, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason as Error))),
  )
  vi.stubGlobal('fetch', asked)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { queue, lines } = setUp('http://127.0.0.1:1')
  const sent = queue.send([row('out_1')]).catch(String)
  await vi.waitFor(() => expect(asked).toHaveBeenCalledTimes(1), { timeout: 60_000, interval: 20 })
  await vi.advanceTimersByTimeAsync(10_000)
  expect(await sent).toMatch(/no answer within 3000 ms/)
  expect([asked.mock.calls.length, lines.length]).toEqual([1, 1])
})

test('rows become events under their ids; only those for later carry a time', async () => {
  const api = await eventApi()
  const { queue, lines } = setUp(api.url)
  await queue.send([
    row('out_1'),
    row('out_2', 1_500),
    { id: 'out_3', kind: 'webhook', data: { tenantId: 't', deliveryId: 'd', agentUid: 'not for webhooks' }, dueInMs: -5 },
  ])
  expect(api.received).toHaveLength(1)
  expect(api.received[0]?.path).toBe('/e/event-key')
  const [first, second, third] = api.received[0]?.events ?? []
  expect(first).toMatchObject({ id: 'out_1', name: eventNames.continue, data: { tenantId: 't', agentUid: 'a', runId: 'run_1', epoch: 3 } })
  expect(second).toMatchObject({ id: 'out_2', ts: 1_001_500 })
  expect(third).toMatchObject({ id: 'out_3', name: eventNames.webhook, data: { tenantId: 't', deliveryId: 'd' } })
  // The SDK dates what we do not: with its own now, which is not later than ours.
  for (const event of [first, third]) expect(event?.ts ?? 0).toBeLessThanOrEqual(Date.now())
  expect(third?.data).not.toHaveProperty('agentUid')
  expect(lines).toEqual([])
})

test('many rows go in several requests, none in none', async () => {
  const api = await eventApi()
  const { queue } = setUp(api.url)
  await queue.send([])
  expect(api.received).toEqual([])
  await queue.send(Array.from({ length: 230 }, (_, index) => row(`out_${index}`)))
  expect(api.received.map(({ events }) => events.length)).toEqual([100, 100, 30])
})

test('an incomplete row is named in the log and does not keep the others back', async () => {
  const api = await eventApi()
  const { queue, lines } = setUp(api.url)
  await queue.send([{ id: 'out_bad', kind: 'continue', data: { tenantId: 't' }, dueInMs: 0 }, row('out_good')])
  expect(api.received[0]?.events.map(({ id }) => id)).toEqual(['out_good'])
  expect(lines).toMatchObject([{ level: 'error', fields: { rowId: 'out_bad', missing: ['agentUid', 'runId', 'epoch'] } }])
})

test('a refusal, silence and absence throw within the time-out and say that nothing is lost', async () => {
  const refusing = setUp((await eventApi(401)).url).queue
  const silent = await eventApi(null)
  const away = setUp('http://127.0.0.1:1').queue
  await Promise.all([
    expect(refusing.send([row('out_1')])).rejects.toThrow(/did not take 1 of 1 events .*no such key.*outbox/),
    expect(setUp(silent.url).queue.send([row('out_1')])).rejects.toThrow(/no answer within 3000 ms/),
    expect(away.send([row('out_1')])).rejects.toThrow(/outbox/),
  ])
  expect(silent.received).toHaveLength(1)
})
