import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type World } from '#tests/world'
import { startReceiver, type Receiver } from '#tests/webhooks/receiver'
import { deliveriesOf, newestIs, registerAt } from '#tests/webhooks/world'

let world: World
let receiver: Receiver
beforeAll(async () => {
  ;[world, receiver] = await Promise.all([startWorld(), startReceiver()])
})
afterAll(async () => {
  await receiver.close()
  await world.close()
})

const url = 'https://example.com/hook'
const get = (path: string) => world.http('GET', path)
const gone = (id: string) => world.http('DELETE', `/api/webhooks/${id}`)
const audit = (webhook: string | null) =>
  world.sql<{ action: string; decision: string; code: string | null; actor: string; request_id: string | null }>(
    `select action, decision, code, actor, request_id from baton.audit where data ->> 'webhook' is not distinct from $1 and action like 'webhook.%' order by id`,
    [webhook],
  )

test('registered, read, listed, changed, rotated, deleted: the secret is shown when it is made and never again', async () => {
  const made = await world.http('POST', '/api/webhooks', {
    url: `${url}#part`,
    events: ['run.failed', 'agent.killed'],
    description: 'pager',
  })
  expect([made.status, made.headers.get('cache-control')]).toEqual([201, 'no-store'])
  const { id, secret } = made.body as { id: string; secret: string }
  expect(made.headers.get('location')).toBe(`/api/webhooks/${id}`)
  expect(made.body).toMatchObject({ url, events: ['agent.killed', 'run.failed'], description: 'pager', enabled: true, createdBy: 'local' })
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)

  const own = { url, secret: 'a secret of the caller, in plain words' }
  const given = await registerAt(world, own.url, { secret: own.secret })
  expect(given).toMatchObject({ secret: own.secret, events: null, description: null })
  const listed = await get('/api/webhooks')
  expect((listed.body['data'] as { id: string }[]).map((one) => one.id)).toEqual([id, given.id])
  const first = await get('/api/webhooks?limit=1')
  const second = await get(`/api/webhooks?limit=1&cursor=${String(first.body['nextCursor'])}`)
  expect((second.body['data'] as { id: string }[]).map((one) => one.id)).toEqual([given.id])

  const patched = await world.http('PATCH', `/api/webhooks/${id}`, { url: `${url}2`, events: null })
  expect(patched.body).toMatchObject({ url: `${url}2`, events: null, description: 'pager', enabled: true })
  const off = await world.http('PATCH', `/api/webhooks/${id}`, { enabled: false, description: null, events: [] })
  expect(off.body).toMatchObject({ url: `${url}2`, events: null, description: null, enabled: false, disabledReason: 'caller' })
  const rotated = await world.http('POST', `/api/webhooks/${id}/rotate-secret`)
  expect(rotated.body['secret']).not.toBe(secret)
  const read = await get(`/api/webhooks/${id}`)
  expect(read.body['secrets']).toHaveLength(2)
  for (const { body } of [listed, patched, off, read, await get(`/api/webhooks/${given.id}`)]) {
    const text = JSON.stringify(body)
    for (const hidden of [secret, own.secret, String(rotated.body['secret']), 'v1.']) expect(text).not.toContain(hidden)
  }
  expect((await gone(id)).status).toBe(204)
  expect([(await get(`/api/webhooks/${id}`)).status, (await gone(id)).status]).toEqual([404, 404])
  expect(await audit(id)).toMatchObject(
    ['create', 'update', 'update', 'rotate', 'delete'].map((verb) => ({
      action: `webhook.${verb}`,
      decision: 'allowed',
      actor: 'local',
      request_id: expect.stringMatching(/^req_/),
    })),
  )
  await gone(given.id)
})

test('a changed address, filter or secret holds for what was waiting', async () => {
  receiver.behave('/old', (_n, response) => response.writeHead(500).end())
  const { id } = await registerAt(world, receiver.url('/old'))
  await world.http('POST', `/api/webhooks/${id}/test`)
  await receiver.waitFor('/old', 1)
  await expect.poll(async () => (await get(`/api/webhooks/${id}`)).body['failures']).toBe(1)
  const moved = await world.http('PATCH', `/api/webhooks/${id}`, { url: receiver.url('/new') })
  expect(moved.body).toMatchObject({ failures: 0, failingSince: null, lastError: null })
  await world.http('POST', `/api/webhooks/${id}/rotate-secret`, { overlapSeconds: 0 })
  await world.advance(40_000)
  await receiver.waitFor('/new', 1)
  expect(await newestIs(world, id, 'delivered')).toMatchObject({ url: receiver.url('/new') })
  await gone(id)
})

test('a delivery to the address of a message can be repeated through its run', async () => {
  const hook = { url: receiver.url('/of-message'), secret: 'whsec_bWVzc2FnZSBzZWNyZXQgb2YgdGhlIHRlc3Q=' }
  const { body } = await world.send('own', 'hi', { webhook: hook })
  await receiver.waitFor('/of-message', 1)
  const runId = String(body['runId'])
  await expect
    .poll(async () => ((await world.run(runId)) as unknown as { webhooks: { state: string }[] }).webhooks[0]?.state)
    .toBe('delivered')
  const [delivery] = ((await world.run(runId)) as unknown as { webhooks: { id: string; eventId: string }[] }).webhooks
  const again = await world.http('POST', `/api/runs/${runId}/webhooks/${delivery?.id ?? ''}/redeliver`)
  expect([again.status, again.body['eventId']]).toEqual([202, delivery?.eventId])
  const arrivals = await receiver.waitFor('/of-message', 2)
  expect(arrivals.map((arrival) => arrival.headers['webhook-id'])).toEqual([delivery?.eventId, delivery?.eventId])
  const wrong = await world.http('POST', `/api/runs/run_0/webhooks/${delivery?.id ?? ''}/redeliver`)
  expect([wrong.status, wrong.body['code']]).toEqual([404, 'delivery_not_found'])
})

test('the twenty-first endpoint is refused', async () => {
  const made = await Promise.all(Array.from({ length: 24 }, () => world.http('POST', '/api/webhooks', { url })))
  expect(made.filter((reply) => reply.status === 201)).toHaveLength(20)
  expect(made.find((reply) => reply.status === 409)?.body).toMatchObject({ code: 'webhook_limit', limit: 20 })
  await Promise.all(made.filter((reply) => reply.status === 201).map((reply) => gone(String(reply.body['id']))))
})

const post = ['POST', '/api/webhooks'] as const
const bad: [name: string, method: string, path: string, body: unknown, status: number, code: string, says: RegExp][] = [
  ['no address', ...post, {}, 400, 'validation', /url/],
  ['an unknown event', ...post, { url, events: ['run.exploded'] }, 400, 'validation', /events/],
  ['an unknown field', ...post, { url, event: 'run.failed' }, 400, 'validation', /event/],
  ['a short secret', ...post, { url, secret: 'short' }, 400, 'validation', /secret/],
  ['a secret that is no base64', ...post, { url, secret: 'whsec_###not-base64###' }, 400, 'webhook_refused', /base64/],
  ['an address that is too long', ...post, { url: `${url}/${'x'.repeat(2_048)}` }, 400, 'validation', /url/],
  ['http outside loopback', ...post, { url: 'http://example.com/' }, 400, 'webhook_refused', /https/],
  ['credentials', ...post, { url: 'https://user:pass@example.com/' }, 400, 'webhook_refused', /credentials/],
  ['no URL', ...post, { url: 'example' }, 400, 'webhook_refused', /not a URL/],
  ['another protocol', ...post, { url: 'file:///etc/passwd' }, 400, 'webhook_refused', /https/],
  ['a private address', ...post, { url: 'https://10.0.0.1/' }, 400, 'webhook_refused', /not public/],
  ['a private address as one number', ...post, { url: 'https://167772161/' }, 400, 'webhook_refused', /not public/],
  ['a private address in hex', ...post, { url: 'https://0xa.0.0.1/' }, 400, 'webhook_refused', /not public/],
  ['the metadata service', ...post, { url: 'https://169.254.169.254/latest' }, 400, 'webhook_refused', /not public/],
  ['the metadata service by name', ...post, { url: 'https://metadata.google.internal/' }, 400, 'webhook_refused', /private network/],
  ['a mapped address', ...post, { url: 'https://[::ffff:10.0.0.1]/' }, 400, 'webhook_refused', /not public/],
  ['a port of something else', ...post, { url: 'https://example.com:22/' }, 400, 'webhook_refused', /port 22/],
  ['no such endpoint', 'GET', '/api/webhooks/whe_0', undefined, 404, 'webhook_not_found', /no webhook/],
  ['no such endpoint to change', 'PATCH', '/api/webhooks/whe_0', { enabled: true }, 404, 'webhook_not_found', /no webhook/],
  ['a change into a private address', 'PATCH', '/api/webhooks/whe_0', { url: 'https://10.0.0.1/' }, 400, 'webhook_refused', /not public/],
  ['a change of the secret', 'PATCH', '/api/webhooks/whe_0', { secret: 'x'.repeat(20) }, 400, 'validation', /secret/],
  [
    'an overlap of more than a week',
    'POST',
    '/api/webhooks/whe_0/rotate-secret',
    { overlapSeconds: 7 * 86_400 + 1 },
    400,
    'validation',
    /overlapSeconds/,
  ],
  ['a test of none', 'POST', '/api/webhooks/whe_0/test', {}, 404, 'webhook_not_found', /no webhook/],
  ['the log of none', 'GET', '/api/webhooks/whe_0/deliveries', undefined, 404, 'webhook_not_found', /no webhook/],
  ['an unknown state', 'GET', '/api/webhooks/whe_0/deliveries?state=lost', undefined, 400, 'validation', /state/],
  ['a time without a day', 'GET', '/api/webhooks/whe_0/deliveries?from=noon', undefined, 400, 'validation', /from/],
  [
    'a cursor of another list',
    'GET',
    '/api/webhooks/whe_0/deliveries?cursor=cnVuczphc2M6cnVuXzE',
    undefined,
    400,
    'invalid_cursor',
    /cursor/,
  ],
  ['a delivery of none', 'GET', '/api/webhooks/whe_0/deliveries/dlv_0', undefined, 404, 'delivery_not_found', /no delivery/],
  ['a redelivery of none', 'POST', '/api/webhooks/whe_0/deliveries/dlv_0/redeliver', undefined, 404, 'delivery_not_found', /no delivery/],
]

test.for(bad)('bad input: %s', async ([_name, method, path, body, status, code, says]) => {
  const reply = await world.http(method, path, body)
  expect([reply.status, reply.body['code']]).toEqual([status, code])
  expect(JSON.stringify(reply.body)).toMatch(says)
  expect(reply.headers.get('content-type')).toContain('application/problem+json')
})

test('nothing of all that was kept, and the audit shows each refused address', async () => {
  expect((await get('/api/webhooks')).body['data']).toEqual([])
  const refused = (await audit(null)).filter((entry) => entry.decision === 'refused' && entry.code === 'webhook_refused')
  expect(refused).toHaveLength(
    bad.filter(([, method, , , , code, says]) => method === 'POST' && code === 'webhook_refused' && !says.test('base64')).length,
  )
  expect((await audit('whe_0')).filter((entry) => entry.code === 'webhook_refused')).toMatchObject([{ action: 'webhook.update' }])
  await expect(deliveriesOf(world, 'whe_0')).rejects.toThrow(/404/)
})
