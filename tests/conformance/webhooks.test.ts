import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyWebhook } from '../../lib/client/dist/index.js'
import { script, startWorld, type World } from '#tests/world'

interface Arrival {
  headers: Record<string, string>
  body: string
}

const arrivals: Arrival[] = []
const waiting: ((arrival: Arrival) => void)[] = []
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const arrival = { headers: flat(request.headers), body: Buffer.concat(chunks).toString() }
    arrivals.push(arrival)
    waiting.shift()?.(arrival)
    response.writeHead(204).end()
  })
})
const flat = (headers: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
const next = (): Promise<Arrival> => new Promise((resolve) => waiting.push(resolve))

let world: World
let url: string
beforeAll(async () => {
  world = await startWorld()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await world.close()
})

/** Two verifiers of other makes, and our own. */
const verifiers: [string, (secret: string, arrival: Arrival) => unknown][] = [
  ['standardwebhooks', (secret, { body, headers }) => new StandardWebhook(secret).verify(body, headers)],
  [
    'svix',
    (secret, { body, headers }) => {
      new SvixWebhook(secret).verify(body, headers)
      return JSON.parse(body) as unknown
    },
  ],
  ['baton-client', async (secret, { body, headers }) => (await verifyWebhook(body, headers, secret)).event],
]

test('the secret of an endpoint and both of a rotation: each library accepts what is sent and nothing else', async () => {
  const made = await world.http('POST', '/api/webhooks', { url, events: ['run.completed'] })
  const { id, secret } = made.body as { id: string; secret: string }
  const told = (): Promise<unknown> => world.send('hooked', script({ text: 'Grüße 😀' }))
  const once = next()
  await told()
  const first = await once
  const rotated = (await world.http('POST', `/api/webhooks/${id}/rotate-secret`, { overlapSeconds: 60 })).body['secret'] as string
  const twice = next()
  await told()
  const second = await twice
  expect(second.headers['webhook-signature']?.split(' ')).toHaveLength(2)
  for (const [name, verify] of verifiers) {
    for (const [by, arrival] of [
      [secret, first],
      [secret, second],
      [rotated, second],
    ] as const)
      expect(await verify(by, arrival), name).toMatchObject({ type: 'run.completed', data: { output: 'Grüße 😀', state: 'completed' } })
    const wrong = async (by: string, arrival: Arrival): Promise<unknown> => verify(by, arrival)
    await expect(wrong(rotated, first), name).rejects.toThrow()
    await expect(wrong(secret, { ...first, body: first.body.replace('completed', 'failed') }), name).rejects.toThrow()
    await expect(wrong(secret, { ...first, headers: { ...first.headers, 'webhook-id': 'evt_0' } }), name).rejects.toThrow()
  }
})
