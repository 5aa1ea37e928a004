import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'
import { startReceiver, type Arrival, type Receiver } from '#tests/webhooks/receiver'
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

const verify = (secret: string, { body, headers }: Pick<Arrival, 'body' | 'headers'>): unknown => new Webhook(secret).verify(body, headers)
const gone = (id: string): Promise<unknown> => world.http('DELETE', `/api/webhooks/${id}`)
const ping = (id: string): Promise<{ body: Record<string, unknown> }> => world.http('POST', `/api/webhooks/${id}/test`)

test('an event reaches three endpoints and the message’s own address under one id, each signed with its own secret', async () => {
  const paths = ['/fan-1', '/fan-2', '/fan-3']
  const endpoints = await Promise.all(paths.map((path) => registerAt(world, receiver.url(path))))
  const silent = await registerAt(world, receiver.url('/fan-silent'), { events: ['run.failed'] })
  const own = { url: receiver.url('/fan-own'), secret: 'whsec_b3duIHNlY3JldCBvZiB0aGUgbWVzc2FnZQ==' }
  const reply = await world.send('fan', script({ text: 'told' }), { webhook: own })
  const arrivals = await Promise.all([...paths, '/fan-own'].map(async (path) => (await receiver.waitFor(path, 1))[0] as Arrival))
  expect(new Set(arrivals.map((arrival) => arrival.headers['webhook-id'])).size).toBe(1)
  for (const [index, { secret }] of [...endpoints, own].entries()) {
    expect(verify(secret, arrivals[index] as Arrival)).toMatchObject({
      type: 'run.completed',
      data: { runId: reply.body['runId'], output: 'told', state: 'completed' },
    })
    expect(() => verify(endpoints[(index + 1) % 3]?.secret ?? '', arrivals[index] as Arrival)).toThrow(/No matching signature/)
  }
  const run = (await world.http('GET', `/api/runs/${String(reply.body['runId'])}`)).body
  expect(run['webhooks']).toMatchObject([{ url: own.url }])
  expect(receiver.of('/fan-silent')).toEqual([])
  expect(await deliveriesOf(world, silent.id)).toEqual([])
  await Promise.all([...endpoints, silent].map(({ id }) => gone(id)))
})

test('a forged body, a replayed old delivery and another id are refused by the verifier', async () => {
  const { id, secret } = await registerAt(world, receiver.url('/forged'))
  await ping(id)
  const [real] = await receiver.waitFor('/forged', 1)
  if (real === undefined) throw new Error('nothing came')
  expect(verify(secret, real)).toMatchObject({ type: 'webhook.test', data: { webhookId: id } })
  expect(() => verify(secret, { ...real, body: real.body.replace('webhook.test', 'run.completed') })).toThrow(/No matching/)
  expect(() => verify(secret, { ...real, headers: { ...real.headers, 'webhook-id': 'evt_other' } })).toThrow(/No matching/)
  const old = String(Math.floor(Date.now() / 1_000) - 600)
  expect(() => verify(secret, { ...real, headers: { ...real.headers, 'webhook-timestamp': old } })).toThrow(/too old/)
  await gone(id)
})

test('during a rotation a receiver with the old and one with the new secret both verify; afterwards the new one alone', async () => {
  const first = await registerAt(world, receiver.url('/rotating'), { secret: 'whsec_Zmlyc3Qgc2VjcmV0IG9mIHRoZSB0ZXN0' })
  expect(first.secret).toBe('whsec_Zmlyc3Qgc2VjcmV0IG9mIHRoZSB0ZXN0')
  const rotated = await world.http('POST', `/api/webhooks/${first.id}/rotate-secret`, { overlapSeconds: 3_600 })
  const second = String(rotated.body['secret'])
  expect([rotated.status, second.startsWith('whsec_'), rotated.headers.get('cache-control')]).toEqual([200, true, 'no-store'])
  await ping(first.id)
  const [both] = await receiver.waitFor('/rotating', 1)
  expect(both?.headers['webhook-signature']?.split(' ')).toHaveLength(2)
  for (const secret of [first.secret, second]) expect(verify(secret, both as Arrival)).toMatchObject({ type: 'webhook.test' })
  await world.advance(3_601_000)
  await ping(first.id)
  const later = (await receiver.waitFor('/rotating', 2))[1] as Arrival
  // The clock of the world runs ahead of the verifier's: only the signature matters here.
  expect(later.headers['webhook-signature']?.split(' ')).toHaveLength(1)
  const signed = new Webhook(second).sign(
    String(later.headers['webhook-id']),
    new Date(Number(later.headers['webhook-timestamp']) * 1_000),
    later.body,
  )
  expect(later.headers['webhook-signature']).toBe(signed)
  await gone(first.id)
})

test('500 twice, then accepted: three attempts under one id, the log tells each; redelivery repeats the id', async () => {
  receiver.behave('/mends', (n, response) => response.writeHead(n < 2 ? 500 : 200).end(n < 2 ? 'broken' : 'fine'))
  const { id } = await registerAt(world, receiver.url('/mends'))
  await ping(id)
  await receiver.waitFor('/mends', 1)
  await newestIs(world, id, 'pending')
  for (const count of [2, 3]) {
    await expect.poll(async () => (await deliveriesOf(world, id))[0]?.log.length, { timeout: 60_000 }).toBe(count - 1)
    await world.advance(count === 2 ? 1_000 : 40_000)
    await receiver.waitFor('/mends', count)
  }
  const done = await newestIs(world, id, 'delivered')
  expect(done.log).toMatchObject([
    { attempt: 1, status: 500, response: 'broken', error: expect.stringContaining('500'), durationMs: expect.any(Number) },
    { attempt: 2, status: 500 },
    { attempt: 3, status: 200, response: 'fine', error: null },
  ])
  const again = await world.http('POST', `/api/webhooks/${id}/deliveries/${done.id}/redeliver`)
  expect([again.status, again.body['eventId']]).toEqual([202, done.eventId])
  const arrivals = await receiver.waitFor('/mends', 4)
  expect(new Set(arrivals.map((arrival) => arrival.headers['webhook-id']))).toEqual(new Set([done.eventId]))
  expect(new Set(arrivals.map((arrival) => arrival.body)).size).toBe(1)
  expect((await newestIs(world, id, 'delivered')).attempts).toBe(4)
  expect((await world.http('GET', `/api/webhooks/${id}`)).body).toMatchObject({ failures: 0, failingSince: null })
  const one = await world.http('GET', `/api/webhooks/${id}/deliveries/${done.id}`)
  expect(one.body).toMatchObject({ id: done.id, payload: { type: 'webhook.test', data: { webhookId: id } } })
  await gone(id)
})

test('410 disables the endpoint at once; enabled again it is called again', async () => {
  receiver.behave('/gone', (n, response) => response.writeHead(n === 0 ? 410 : 204).end())
  const { id } = await registerAt(world, receiver.url('/gone'))
  await ping(id)
  const failed = await newestIs(world, id, 'failed')
  expect(failed).toMatchObject({ attempts: 1, nextAt: null })
  expect((await world.http('GET', `/api/webhooks/${id}`)).body).toMatchObject({ enabled: false, disabledReason: 'gone' })
  const refused = await world.http('POST', `/api/webhooks/${id}/deliveries/${failed.id}/redeliver`)
  expect([refused.status, refused.body['code']]).toEqual([409, 'webhook_disabled'])
  expect((await world.http('PATCH', `/api/webhooks/${id}`, { enabled: true })).body).toMatchObject({ enabled: true, disabledReason: null })
  await world.http('POST', `/api/webhooks/${id}/deliveries/${failed.id}/redeliver`)
  await receiver.waitFor('/gone', 2)
  await newestIs(world, id, 'delivered')
  await gone(id)
})

test('a redirect is not followed, and an endless body is cut while its status counts', async () => {
  receiver.behave('/moved', (_n, response) => response.writeHead(308, { location: receiver.url('/moved-to') }).end())
  receiver.behave('/bomb', (_n, response) => {
    const chunk = Buffer.alloc(65_536, 'x')
    const more = (): void => {
      while (!response.destroyed && response.write(chunk)) continue
    }
    response.writeHead(200).on('drain', more)
    more()
  })
  const [moved, bomb] = [await registerAt(world, receiver.url('/moved')), await registerAt(world, receiver.url('/bomb'))]
  await Promise.all([moved, bomb].map(({ id }) => ping(id)))
  const cut = await newestIs(world, bomb.id, 'delivered')
  expect(cut.log[0]?.response).toHaveLength(1_024)
  await expect
    .poll(async () => (await deliveriesOf(world, moved.id))[0]?.log[0])
    .toMatchObject({ status: 308, error: expect.stringContaining('not followed') })
  expect(receiver.of('/moved-to')).toEqual([])
  await Promise.all([moved, bomb].map(({ id }) => gone(id)))
})

test('the log is paged newest first and filtered by state, type, run and time', async () => {
  const { id } = await registerAt(world, receiver.url('/paged'))
  for (let n = 0; n < 5; n++) await ping(id)
  const { body: run } = await world.send('paged', script({ text: 'x' }))
  await receiver.waitFor('/paged', 6)
  await expect.poll(async () => (await deliveriesOf(world, id, '?state=delivered')).length, { timeout: 60_000 }).toBe(6)
  const all = await deliveriesOf(world, id)
  expect(all[0]).toMatchObject({ type: 'run.completed', runId: run['runId'], webhookId: id })
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const page = await world.http('GET', `/api/webhooks/${id}/deliveries?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`)
    seen.push(...(page.body['data'] as { id: string }[]).map((one) => one.id))
    cursor = page.body['nextCursor'] as string | null
  } while (cursor !== null)
  expect(seen).toEqual(all.map((one) => one.id))
  expect(await deliveriesOf(world, id, '?type=webhook.test')).toHaveLength(5)
  expect(await deliveriesOf(world, id, `?runId=${String(run['runId'])}`)).toHaveLength(1)
  expect(await deliveriesOf(world, id, '?state=failed')).toEqual([])
  expect(await deliveriesOf(world, id, `?to=${encodeURIComponent(all.at(-1)?.createdAt ?? '')}`)).toEqual([])
  expect(await deliveriesOf(world, id, `?from=${encodeURIComponent(all[1]?.createdAt ?? '')}`)).toHaveLength(2)
  await gone(id)
})

test('run.handed_off comes when a slice ends before its run, to the endpoint that asked; the end comes to both', async () => {
  const [asking, plain] = [
    await registerAt(world, receiver.url('/asking'), { events: ['run.handed_off', 'run.completed'] }),
    await registerAt(world, receiver.url('/plain')),
  ]
  const wait = { tools: [{ name: 'wait', input: { ms: 700 } }] }
  const reply = await world.send('handed', script(wait, wait, wait, { text: 'done' }), {
    limits: { sliceMs: 1_000 },
    prefer: 'wait=20',
  })
  await world.ended(String(reply.body['runId']))
  await receiver.waitFor('/plain', 1)
  await expect.poll(() => receiver.of('/asking').map((arrival) => arrival.event.type), { timeout: 60_000 }).toContain('run.completed')
  const handed = receiver.of('/asking').filter((arrival) => arrival.event.type === 'run.handed_off')
  expect(handed.length).toBeGreaterThan(0)
  expect(handed[0]?.event.data).toMatchObject({ runId: reply.body['runId'], reason: 'slice_deadline', state: 'running' })
  expect(verify(asking.secret, handed[0] as Arrival)).toMatchObject({ type: 'run.handed_off' })
  expect(receiver.of('/plain').map((arrival) => arrival.event.type)).toEqual(['run.completed'])
  await Promise.all([gone(asking.id), gone(plain.id)])
})
