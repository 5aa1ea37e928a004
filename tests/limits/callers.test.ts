import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, makeTenant, say, signUp, startGuarded } from '#tests/access/kit'
import { until } from '#tests/engine/helpers'
import type { Reply, World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startGuarded({ servers: 2, env: { BATON_USER_TENANT: 'ten_local' } })
})
afterAll(() => world.close())

const put = (by: string, scope: string, values: Record<string, number>) =>
  world.http('PUT', `/api/limits/${encodeURIComponent(scope)}`, values, bearer(by))
const statuses = (replies: Reply[]) => replies.map(({ status }) => status).toSorted((one, other) => one - other)
const said = (credential: string, agent: string, server: number) =>
  world.http(
    'POST',
    `/api/agents/${agent}/messages`,
    { message: 'x', template: 'scripted' },
    { ...bearer(credential), prefer: 'respond-async' },
    server,
  )

test('a user sends 60 messages a minute, whatever the processes; the 61st is refused with Retry-After', async () => {
  const user = await signUp(world, 'sixty@example.com')
  // At once, for a minute is soon over on a slow machine.
  const replies: Reply[] = await Promise.all(Array.from({ length: 60 }, (_, n) => said(user.token, 'sixty', n % 2)))
  replies.push(await said(user.token, 'sixty', 0))
  expect(replies.slice(0, 60).filter(({ status }) => status === 429)).toEqual([])
  expect(replies[60]).toMatchObject({
    status: 429,
    body: { code: 'rate_limited', hard: false, limit: { name: 'user-messages', limit: 60 } },
  })
  expect(Number(replies[60]?.headers.get('retry-after'))).toBeLessThanOrEqual(60)
  // Somebody else, and reading, are not concerned.
  const other = await signUp(world, 'other@example.com')
  expect((await said(other.token, 'other', 0)).status).not.toBe(429)
  expect((await world.http('GET', '/api/agents', undefined, bearer(user.token))).status).toBe(200)
})

test('A64: limits of key:ID, key:* and agent hold for keys of any right, from their first request in each process on', async () => {
  const { id, key } = await makeKey(world, ['agents:run'])
  expect((await put(adminKey, `key:${id}`, { messagesPerMinute: 3 })).status).toBe(200)
  const replies = await Promise.all(Array.from({ length: 8 }, (_, n) => said(key, `k-${n}`, n % 2)))
  expect(statuses(replies)).toEqual([202, 202, 202, 429, 429, 429, 429, 429])
  expect(replies.find(({ status }) => status === 202)?.headers.get('ratelimit-policy')).toBe('"key";q=600;w=60, "key-messages";q=3;w=60')
  const second = await makeKey(world, ['agents:run'])
  expect((await put(adminKey, 'agent:busy', { messagesPerMinute: 1 })).status).toBe(200)
  expect(statuses([await say(world, second.key, 'busy'), await say(world, second.key, 'busy')])).toEqual([200, 429])
  const audit = await world.http('GET', '/api/limits', undefined, bearer(adminKey))
  expect(audit.status).toBe(200)
  const refusals = () =>
    world.sql(`select actor, decision, code from baton.audit where action = 'request.admit' and actor = $1`, [`key:${id}`])
  await until('it is told', async () => (await refusals()).length > 0)
  expect((await refusals()).length).toBeLessThanOrEqual(2)
  // No entry says that a right was missing: none was asked for.
  expect(await world.sql(`select 1 from baton.audit where action = 'request.authorize' and actor = $1`, [`key:${id}`])).toEqual([])
})

test('a user has 100 streams in a process; links and others are not shut out, and no message is kept for a stream that is refused', async () => {
  const user = await signUp(world, 'streams@example.com')
  expect((await say(world, user.token, 'streamed')).status).toBe(200)
  const { links } = (await world.http('GET', '/api/agents/streamed', undefined, bearer(user.token))).body as { links: { events: string } }
  const own = { ...bearer(user.token), accept: 'text/event-stream' }
  const leaving = new AbortController()
  const read = (address: string, headers = {}, { signal } = leaving) => fetch(new URL(address, world.base()), { headers, signal })
  const events = '/api/agents/streamed/events'
  try {
    const first = new AbortController()
    const opened = await Promise.all(Array.from({ length: 100 }, (_, n) => read(events, own, n === 0 ? first : leaving)))
    expect(opened.filter(({ status }) => status !== 200)).toEqual([])
    const refused = await read(events, own)
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({ code: 'rate_limited', hard: false, limit: { name: 'streams', limit: 100 } })
    const message = await world.http('POST', '/api/agents/streamed/messages', { message: 'unseen', template: 'scripted' }, own)
    expect(message).toMatchObject({ status: 429, body: { limit: { name: 'streams' } } })
    const chat = { id: 'streamed', messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'unseen' }] }] }
    expect((await world.http('POST', '/api/chat', chat, own)).status).toBe(429)
    // Nor is an answer taken that a chat sends of itself: nobody would see what comes of it.
    const answered = { type: 'dynamic-tool', toolCallId: 'c', toolName: 't', state: 'output-available', input: {}, output: 'x' }
    const sentOn = { id: 'streamed', trigger: 'submit-message', messages: [{ id: 'a', role: 'assistant', parts: [answered] }] }
    expect((await world.http('POST', '/api/chat', sentOn, own)).status).toBe(429)
    const kept = await world.sql('select content from baton.messages union all select content from baton.inbox')
    expect(JSON.stringify(kept)).not.toContain('unseen')
    const link = await read(links.events)
    expect({ status: link.status, policy: link.headers.get('ratelimit-policy') }).toEqual({ status: 200, policy: '"stream";q=600;w=60' })
    first.abort()
    await until('the place is free', async () => (await read(events, own)).status === 200)
  } finally {
    leaving.abort()
  }
})

test('only an admin reads and sets limits, and of its own tenant only', async () => {
  const { key } = await makeKey(world, ['agents:run', 'agents:read'])
  const user = await signUp(world, 'setter@example.com')
  for (const credential of [key, user.token]) {
    expect((await put(credential, 'tenant', { requestsPerMinute: 1 })).status).toBe(403)
    expect((await world.http('GET', '/api/limits', undefined, bearer(credential))).status).toBe(403)
  }
  const foreign = await makeTenant(world, 'ten_foreign')
  expect((await put(foreign.key, 'tenant', { requestsPerMinute: 2 })).status).toBe(200)
  expect((await world.http('GET', '/api/limits', undefined, bearer(foreign.key))).status).toBe(200)
  const last = [1, 2, 3].map(() => world.http('GET', '/api/agents', undefined, bearer(foreign.key)))
  expect(statuses(await Promise.all(last)).filter((status) => status === 429).length).toBeGreaterThanOrEqual(1)
  for (let n = 0; n < 5; n++) expect((await world.http('GET', '/api/agents', undefined, bearer(key))).status).toBe(200)
})

test('A12: a user has 5 running runs, over both processes', async () => {
  const user = await signUp(world, 'five@example.com')
  const long = JSON.stringify({ script: [{ gate: world.gate().file, text: 'long' }] })
  const start = (n: number) =>
    world.http(
      'POST',
      `/api/agents/five-${n}/messages`,
      { message: long, template: 'scripted' },
      { ...bearer(user.token), prefer: 'respond-async' },
      n % 2,
    )
  const replies = await Promise.all(Array.from({ length: 9 }, (_, n) => start(n)))
  expect(statuses(replies)).toEqual([...Array<number>(5).fill(202), ...Array<number>(4).fill(429)])
  expect(replies.find(({ status }) => status === 429)?.body).toMatchObject({ code: 'queue_full', scope: `user:${user.id}`, limit: 5 })
})

test('a credential that nobody knows is 401, and still counted', async () => {
  const reply = await world.http('GET', '/api/agents', undefined, bearer(`bt_${'x'.repeat(40)}`))
  expect(reply.status).toBe(401)
  expect(reply.headers.get('ratelimit-policy')).toBe('"key";q=600;w=60')
})

test('a message counts against the limit of its caller in every dialect', async () => {
  const chat = (agent: string) => ({ id: agent, template: 'scripted', messages: [{ role: 'user', parts: [{ type: 'text', text: 'x' }] }] })
  const dialects: [string, (agent: string) => object][] = [
    ['/api/chat', chat],
    ['/v1/responses', (agent) => ({ conversation: agent, model: 'scripted', input: 'x' })],
    ['/api/agent/{id}', () => ({ message: 'x', template: 'scripted' })],
  ]
  for (const [n, [path, body]] of dialects.entries()) {
    const { id, key } = await makeKey(world, ['agents:run', 'agents:read'])
    expect((await put(adminKey, `key:${id}`, { messagesPerMinute: 1 })).status).toBe(200)
    const send = (agent: string) => world.http('POST', path.replace('{id}', agent), body(agent), bearer(key))
    expect([path, statuses([await send(`dialect-${n}-a`), await send(`dialect-${n}-b`)])]).toEqual([path, [200, 429]])
  }
})
