import { createRedactor } from '#lib/core/redact'
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Store } from '#lib/core/pages'
import type { DeliveryRecord, TakenDelivery } from '#lib/core/webhooks'
import { testServices } from '#lib/http/services.fixture'
import { deliverWebhook } from '#lib/jobs/deliver-webhook'
import { attemptTimeoutMs } from '#lib/webhooks/deliver'
import { mostAttempts } from '#lib/webhooks/schedule'
import { sealSecret } from '#lib/webhooks/seal'
import { makeWebhookSecret } from '#lib/webhooks/secret'
import { createTelemetry } from '#lib/telemetry/telemetry'
import { systemIds } from '#lib/system/ids'

let server: Server
let status = 204
let said = 'said'
const arrivals: { headers: IncomingHttpHeaders; body: string }[] = []
beforeAll(async () => {
  server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      arrivals.push({ headers: request.headers, body })
      response.writeHead(status, status === 429 ? { 'retry-after': '7' } : {}).end(said)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterAll(() => void server.close())

/** Services whose store hands out one delivery and keeps what is recorded of it. */
function worker(over: Partial<TakenDelivery> = {}) {
  const { lines, config, log } = testServices()
  const records: DeliveryRecord[] = []
  const sent: string[] = []
  const holds: number[] = []
  const next = { id: 'out_next', kind: 'webhook', dueInMs: 5_000, data: {} }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  const taken = {
    ok: true,
    id: 'dlv_1',
    eventId: 'evt_1',
    endpointId: 'whe_1',
    url,
    secrets: [],
    payload: { type: 'x' },
    attempt: 3,
    tries: 1,
    ...over,
  }
  const store = {
    takeDelivery: ({ holdMs }: { holdMs: number }) => (holds.push(holdMs), Promise.resolve(taken)),
    recordDelivery(record: DeliveryRecord) {
      records.push(record)
      return Promise.resolve({
        ok: true,
        outbox: record.retryInMs === null ? [] : [next],
        disabled: null,
        failures: null,
        failingSince: null,
      })
    },
  } as unknown as Store
  const clock = { now: Date.now, monotonic: () => 0, sleep: () => Promise.resolve(), random: () => 0 }
  const telemetry = createTelemetry({ ids: systemIds(), recorder: null, log: console })
  const services = {
    clock,
    config,
    log,
    store,
    telemetry,
    dispatch: (rows: readonly { id: string }[]) => void sent.push(...rows.map(({ id }) => id)),
    redact: createRedactor([]),
    settled: () => Promise.resolve(),
  }
  return { lines, config, records, sent, holds, run: () => deliverWebhook(services, 'dlv_1') }
}

test('signs with every secret that opens; one that does not is told in the log and does not stop the delivery', async () => {
  status = 204
  const secrets = [makeWebhookSecret(), makeWebhookSecret()]
  const { config } = worker()
  const foreign = sealSecret('whsec_c2VhbGVkIHdpdGggYW5vdGhlciBrZXk=', randomBytes(32))
  const { run, records, lines } = worker({ secrets: [...secrets.map((secret) => sealSecret(secret, config.encryptionKey)), foreign] })
  expect(await run()).toEqual({ outcome: 'delivered', status: 204 })
  const { headers, body } = arrivals.at(-1) ?? { headers: {}, body: '' }
  for (const secret of secrets) expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toEqual({ type: 'x' })
  expect(headers['webhook-id']).toBe('evt_1')
  expect(records).toMatchObject([{ attempt: 3, delivered: true, retryInMs: null, environment: 'test' }])
  expect(lines.filter((line) => line.level === 'error')).toMatchObject([
    { fields: { error: expect.stringContaining('BATON_ENCRYPTION_KEY') } },
  ])
  expect(JSON.stringify(lines)).not.toContain('whsec_')
})

test('when no secret opens nothing is sent unsigned: the attempt fails by schedule, and the endpoint is not blamed', async () => {
  const before = arrivals.length
  const { run, records, lines } = worker({ secrets: [sealSecret('a secret of another key', randomBytes(32))] })
  expect(await run()).toMatchObject({ outcome: 'retry' })
  expect(records).toMatchObject([
    { delivered: false, blame: false, status: null, retryInMs: 500, error: expect.stringContaining('BATON_ENCRYPTION_KEY') },
  ])
  expect(lines.map((line) => line.level)).toContain('error')
  const last = worker({ secrets: [sealSecret('a secret of another key', randomBytes(32))], tries: mostAttempts })
  expect(await last.run()).toMatchObject({ outcome: 'failed' })
  expect(last.records).toMatchObject([{ retryInMs: null }])
  expect(arrivals).toHaveLength(before)
})

test('410 ends the delivery at once, 429 waits as long as it asks, a redelivery begins the schedule anew', async () => {
  status = 410
  const gone = worker()
  expect(await gone.run()).toEqual({ outcome: 'failed', status: 410 })
  expect(gone.records).toMatchObject([{ gone: true, retryInMs: null, snippet: 'said' }])
  status = 429
  const limited = worker({ attempt: 31, tries: 1 })
  expect(await limited.run()).toEqual({ outcome: 'retry', status: 429 })
  expect(limited.records).toMatchObject([{ gone: false, retryInMs: 7_000 }])
  expect([gone.sent, limited.sent], 'the next attempt is sent on at once').toEqual([[], ['out_next']])
})

test('a delivery is held for longer than its attempt may take, so that no other worker sends it meanwhile', async () => {
  status = 204
  const { run, holds } = worker()
  await run()
  expect(holds).toHaveLength(1)
  expect(holds[0]).toBeGreaterThanOrEqual(2 * attemptTimeoutMs)
})

test('an address of the inside is refused, and the record says so', async () => {
  const { run, records } = worker({ url: 'https://10.0.0.1/' })
  expect(await run()).toMatchObject({ outcome: 'retry', status: null })
  expect(records).toMatchObject([{ refused: true, blame: true }])
})

test('what goes out and what comes back is stored and sent without the secrets in it', async () => {
  const secret = 'Bearer zyx987.wvu654'
  status = 500
  said = `got ${secret}`
  const { run, records } = worker({ payload: { type: 'x', data: { output: `use ${secret}` } } })
  await run()
  said = 'said'
  expect(JSON.stringify([arrivals.at(-1)?.body, records])).not.toContain('zyx987')
  expect([JSON.parse(arrivals.at(-1)?.body ?? ''), records]).toMatchObject([
    { data: { output: expect.stringContaining('[redacted]') } },
    [{ snippet: expect.stringMatching(/^got .*\[redacted\]/) }],
  ])
})
