import { decodeJwt, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, refusalsOf, say, signUp, startGuarded, tokenOf, type Forgery, type SignedUp } from '#tests/access/kit'
import { script, type Reply, type World } from '#tests/world'

let world: World
let alice: SignedUp
let bob: SignedUp
let carol: SignedUp
beforeAll(async () => {
  world = await startGuarded()
  alice = await signUp(world, 'alice@example.com')
  bob = await signUp(world, 'bob@example.com')
  carol = await signUp(world, 'carol@example.com')
})
afterAll(() => world.close())

const ask = (who: SignedUp, method: string, path: string, body?: unknown): Promise<Reply> =>
  world.http(method, path, body, { ...bearer(who.token), prefer: 'wait=20' })
const idsOf = (reply: Reply): unknown[] => (reply.body['data'] as { id: unknown }[]).map(({ id }) => id)

test('the embedded stack signs as Supabase does: HS256, audience and role authenticated', () => {
  expect(decodeJwt(alice.token)).toMatchObject({ sub: alice.id, aud: 'authenticated', role: 'authenticated' })
})

test("the console's session of a user ends with the token that it holds, at the latest", async () => {
  const before = Date.now()
  const body = { email: 'alice@example.com', password: 'a-long-password-1' }
  const reply = await world.http('POST', '/api/console/session', body)
  expect(reply).toMatchObject({ status: 200, body: { signedIn: true, kind: 'user', actor: `user:${alice.id}` } })
  const { exp = 0, iat = 0 } = decodeJwt(alice.token)
  const tookMs = Date.now() - before
  expect(Date.parse(String(reply.body['expiresAt'])) - before).toBeLessThanOrEqual((exp - iat) * 1_000 + tookMs)
  expect(Number(/Max-Age=(\d+)/.exec(reply.headers.get('set-cookie') ?? '')?.[1])).toBeLessThanOrEqual(exp - iat)
})

test('a user owns what it makes, and its rows say so', async () => {
  const reply = await say(world, alice.token, 'alice-1')
  expect(reply.status).toBe(200)
  expect((await ask(alice, 'GET', '/api/agents/alice-1')).body).toMatchObject({ userId: alice.id })
  const rows = await world.sql('select owner_id, created_by, tenant_id from baton.runs where run_id = $1', [reply.body['runId']])
  expect(rows).toEqual([{ owner_id: alice.id, created_by: `user:${alice.id}`, tenant_id: 'ten_local' }])
  for (const path of [
    '/api/agents/alice-1/messages',
    '/api/agents/alice-1/tool-calls',
    '/api/agents/alice-1/runs',
    `/api/runs/${String(reply.body['runId'])}`,
  ])
    expect((await ask(alice, 'GET', path)).status).toBe(200)
})

test("A86: whatever is another user's answers 404, by every address, and lists show own rows only", async () => {
  const mine = await say(world, alice.token, 'alice-2', {
    message: script({ tools: [{ name: 'echo', input: { value: 'x' } }] }, { text: 'done' }),
  })
  const run = String(mine.body['runId'])
  expect((await say(world, bob.token, 'bob-2')).status).toBe(200)
  const calls: [string, string, unknown?][] = [
    ['GET', '/api/agents/alice-2'],
    ['PATCH', '/api/agents/alice-2', { metadata: { mine: true } }],
    ['DELETE', '/api/agents/alice-2'],
    ['GET', '/api/agents/alice-2/messages'],
    ['GET', '/api/agents/alice-2/tool-calls'],
    ['GET', '/api/agents/alice-2/runs'],
    ['GET', '/api/agents/alice-2/events'],
    ['POST', '/api/agents/alice-2/interrupt', {}],
    ['POST', '/api/agents/alice-2/messages', { message: 'x', template: 'scripted' }],
    ['POST', '/api/agents/alice-2/messages', { message: 'x' }],
    ['POST', '/api/agent/alice-2', { message: 'x', template: 'scripted' }],
    ['POST', '/api/agents', { id: 'alice-2', template: 'scripted' }],
    ['GET', `/api/runs/${run}`],
    ['GET', `/api/runs/${run}/events`],
    ['POST', `/api/runs/${run}/cancel`, {}],
    ['POST', `/api/runs/${run}/retry`],
  ]
  for (const [method, path, body] of calls) {
    const reply = await ask(bob, method, path, body)
    // A message without a template of its own meets the first of the registry, which is not open to users.
    const expected = path.endsWith('/messages') && method === 'POST' && !JSON.stringify(body).includes('template') ? 403 : 404
    expect({ method, path, status: reply.status, body: JSON.stringify(reply.body).includes(alice.id) }).toEqual({
      method,
      path,
      status: expected,
      body: false,
    })
  }
  for (const [who, other] of [
    [alice, 'bob'],
    [bob, 'alice'],
  ] as const) {
    const agents = idsOf(await ask(who, 'GET', '/api/agents?limit=200'))
    expect(agents.length).toBeGreaterThan(0)
    expect(agents.filter((id) => String(id).startsWith(other))).toEqual([])
    const runs = (await ask(who, 'GET', `/api/runs?limit=200`)).body['data'] as { agentId: string }[]
    expect(runs.filter(({ agentId }) => agentId.startsWith(other))).toEqual([])
  }
  expect(idsOf(await ask(bob, 'GET', `/api/agents?user=${alice.id}`))).toEqual([])
  expect(idsOf(await ask(bob, 'GET', `/api/runs?user=${alice.id}`))).toEqual([])
  // It is all there for its owner and for a key of the tenant.
  expect((await ask(alice, 'GET', '/api/agents/alice-2')).body).toMatchObject({ messages: 4 })
  const { key } = await makeKey(world, ['agents:read'])
  expect((await world.http('GET', '/api/agents/alice-2', undefined, bearer(key))).status).toBe(200)
})

test("an agent of nobody's is not a user's either, and its name cannot be taken", async () => {
  expect((await say(world, adminKey, 'of-the-tenant')).status).toBe(200)
  expect((await say(world, alice.token, 'of-the-tenant')).status).toBe(404)
  expect((await ask(alice, 'GET', '/api/agents/of-the-tenant')).status).toBe(404)
})

test('a user may send, stop, retry, name and delete what is its own', async () => {
  const first = await say(world, alice.token, 'alice-3', { metadata: { a: 1 }, onBusy: 'enqueue', limits: { maxSteps: 3 } })
  expect(first.status).toBe(200)
  expect((await ask(alice, 'PATCH', '/api/agents/alice-3', { metadata: { b: 2 } })).status).toBe(200)
  const ended = String(first.body['runId'])
  expect((await ask(alice, 'POST', `/api/runs/${ended}/cancel`, { reason: 'late' })).status).toBe(200)
  expect((await ask(alice, 'POST', '/api/agents/alice-3/interrupt', { reason: 'x' })).status).toBe(200)
  expect((await ask(alice, 'POST', `/api/runs/${ended}/retry`)).body['code']).toBe('nothing_to_retry')
  expect((await ask(alice, 'DELETE', '/api/agents/alice-3')).status).toBe(204)
})

test('a user has no more agents than may be: the one more is refused by every road, what is there goes on, and a deletion makes room', async () => {
  const dora = await signUp(world, 'dora@example.com')
  const set = (scope: string, values: object): Promise<Reply> => world.http('PUT', `/api/limits/${scope}`, values, bearer(adminKey))
  const listed = await world.http('GET', '/api/limits', undefined, bearer(adminKey))
  expect(listed.body['defaults']).toMatchObject({ 'user:*': { agents: 10_000 } })
  expect((await set(`user:${dora.id}`, { agents: 2 })).body).toMatchObject({ agents: 2 })
  for (const name of ['dora-1', 'dora-2']) expect((await say(world, dora.token, name)).status).toBe(200)
  const roads: [string, unknown][] = [
    ['/api/agents/dora-3/messages', { message: 'hello', template: 'scripted' }],
    ['/api/agents', { id: 'dora-3', template: 'scripted' }],
    ['/api/chat', { id: 'dora-3', messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'hi' }] }], template: 'scripted' }],
  ]
  for (const [path, body] of roads) {
    const reply = await world.http('POST', path, body, { ...bearer(dora.token), accept: 'application/json' })
    expect(reply.body, path).toMatchObject({ status: 409, code: 'conflict', reason: 'too_many_agents', most: 2 })
    expect(reply.body['detail']).toContain('delete one first')
  }
  // Not where a twin has made it since it was looked for.
  for (const [name, refused] of [
    ['dora-2', false],
    ['dora-3', true],
  ])
    expect(
      await world.sql('select baton.agents_refusal($1) is not null as refused', [
        { tenant: 'ten_local', ownerId: dora.id, agent: { name } },
      ]),
    ).toEqual([{ refused }])
  const response = await ask(dora, 'POST', '/v1/responses', { model: 'scripted', input: 'hello' })
  expect([response.status, JSON.stringify(response.body)]).toEqual([409, expect.stringContaining('delete one first')])
  expect((await say(world, dora.token, 'dora-2')).status).toBe(200)
  expect((await say(world, adminKey, 'of-a-key')).status).toBe(200)
  expect((await say(world, bob.token, 'bob-3')).status).toBe(200)
  expect((await ask(dora, 'DELETE', '/api/agents/dora-1')).status).toBe(204)
  expect((await say(world, dora.token, 'dora-3')).status).toBe(200)
  expect(idsOf(await ask(dora, 'GET', '/api/agents'))).toEqual(expect.arrayContaining(['dora-2', 'dora-3']))
  // Her own word counts before that of all users.
  await set('user:*', { agents: 0 })
  expect((await say(world, bob.token, 'bob-4')).body).toMatchObject({ reason: 'too_many_agents', most: 0 })
  expect((await say(world, dora.token, 'dora-4')).body).toMatchObject({ reason: 'too_many_agents', most: 2 })
  await set('user:*', {})
  expect((await set('tenant', { agents: 1 })).status).toBe(400)
})

test('what is not for users is 403, with the field or the right named, and audited', async () => {
  const webhook = { url: 'https://example.com/hook' }
  const refused: [string, string, unknown, Record<string, unknown>][] = [
    [
      'POST',
      '/api/agents/alice-4/messages',
      { message: 'x', template: 'scripted', webhook },
      { reason: 'fields_not_for_users', fields: ['webhook'] },
    ],
    ['POST', '/api/agents', { id: 'alice-4', template: 'scripted', webhook }, { reason: 'fields_not_for_users' }],
    ['PATCH', '/api/agents/alice-1', { webhook: null }, { reason: 'fields_not_for_users' }],
    ['POST', '/api/keys', { name: 'x', scopes: ['agents:read'] }, {}],
    ['GET', '/api/keys', undefined, { reason: 'right_missing', needed: 'admin' }],
    ['POST', '/api/agents/alice-4/messages', { message: 'x', template: 'basic' }, { reason: 'template_not_public', template: 'basic' }],
    ['POST', '/api/agents', { id: 'alice-4', template: 'basic' }, { reason: 'template_not_public' }],
  ]
  for (const [method, path, body, details] of refused)
    expect({ path, ...(await ask(alice, method, path, body)) }).toMatchObject({
      path,
      status: 403,
      body: { code: 'forbidden', ...details },
    })
  expect((await ask(alice, 'GET', '/api/agents/alice-4')).status).toBe(404)
  const entries = await world.sql(
    `select reason from baton.audit where actor = $1 and decision = 'refused' and code = 'forbidden' and tenant_id = 'ten_local'`,
    [`user:${alice.id}`],
  )
  expect(await refusalsOf(world, `user:${alice.id}`)).toBeGreaterThanOrEqual(refused.length)
  expect(JSON.stringify(entries)).toMatch(/right_missing.*fields_not_for_users|fields_not_for_users.*right_missing/)
  // Limits may be lowered, not raised.
  expect((await say(world, alice.token, 'alice-4', { limits: { maxSteps: 99_999 } })).body['code']).toBe('limit_above_template')
})

test("an agent of a user's whose template is not public takes no message of it, but is read", async () => {
  await say(world, alice.token, 'alice-5')
  await world.sql(`update baton.agents set template = 'basic' where id = 'alice-5'`)
  const refused = await ask(alice, 'POST', '/api/agents/alice-5/messages', { message: 'x' })
  expect(refused.body).toMatchObject({ code: 'forbidden', reason: 'template_not_public', template: 'basic' })
  expect((await ask(alice, 'GET', '/api/agents/alice-5')).status).toBe(200)
})

test("two users may use the same Idempotency-Key; a user's stream link works without a header, for that run alone", async () => {
  const send = (who: SignedUp, agent: string): Promise<Reply> =>
    world.http(
      'POST',
      `/api/agents/${agent}/messages`,
      { message: script({ text: 'x', delayMs: 1_500 }), template: 'scripted' },
      {
        ...bearer(who.token),
        'idempotency-key': 'same',
        prefer: 'respond-async',
      },
    )
  const [a, b] = [await send(alice, 'alice-6'), await send(bob, 'bob-6')]
  expect([a.status, b.status]).toEqual([202, 202])
  expect(a.body['runId']).not.toBe(b.body['runId'])
  const link = String((a.body['links'] as { events: string }).events)
  const frames = await world.stream(link)
  expect(frames.at(-1)?.data).toMatchObject({ type: 'done' })
  const { search } = new URL(link, 'http://h')
  for (const path of [`/api/runs/${String(b.body['runId'])}/events`, '/api/agents/alice-6/events', '/api/agents/bob-6/events'])
    expect((await world.http('GET', path + search)).status).toBe(403)
  for (const path of ['/api/agents', `/api/runs/${String(a.body['runId'])}`])
    expect((await world.http('GET', path + search)).status).toBe(401)
})

const get = (token: string): Promise<Reply> => world.http('GET', '/api/agents', undefined, bearer(token))
const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const soon = (): number => Math.floor(Date.now() / 1_000) + 600

test('a token of the project is taken, also one signed here with its secret', async () => {
  expect((await get(carol.token)).status).toBe(200)
  expect((await get(await tokenOf(world, carol.id))).status).toBe(200)
})

test.each<[string, Forgery]>([
  ['of another secret', { secret: 'another-secret-of-the-right-length-0123456789' }],
  ['that has expired', { expires: Math.floor(Date.now() / 1_000) - 60 }],
  ['that never expires', { expires: null }],
  ['for another audience', { claims: { aud: 'other' } }],
  ['without an audience', { claims: { aud: undefined } }],
  ['that is not valid yet', { claims: { nbf: Math.floor(Date.now() / 1_000) + 600 } }],
  ['of the service role', { claims: { role: 'service_role' } }],
  ['of the anon role', { claims: { role: 'anon' } }],
  ['without a role', { claims: { role: undefined } }],
  ['whose subject is no user id', { claims: { sub: 'admin' } }],
  ['without a subject', { claims: { sub: undefined } }],
])('a token %s is 401', async (_what, forgery) => {
  expect(await get(await tokenOf(world, carol.id, forgery))).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
})

test('alg none, another algorithm, a public key taken for a secret, and changed parts are 401', async () => {
  const claims = { sub: carol.id, role: 'authenticated', aud: 'authenticated', exp: soon() }
  const [head = '', , signature = ''] = carol.token.split('.')
  const { privateKey } = await generateKeyPair('ES256')
  const forged = [
    `${base64({ alg: 'none' })}.${base64(claims)}.`,
    `${base64({ alg: 'None' })}.${base64(claims)}.${signature}`,
    `${base64({ alg: 'HS512' })}.${base64(claims)}.${signature}`,
    `${base64({ typ: 'JWT' })}.${base64(claims)}.${signature}`,
    `${head}.${base64({ ...claims, sub: '00000000-0000-4000-8000-000000000000' })}.${signature}`,
    await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'mine' }).sign(privateKey),
    await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', jku: 'https://evil.example/jwks.json' }).sign(privateKey),
    await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(String(world.stack.info.publishableKey))),
    `${carol.token}.extra`,
    carol.token.slice(0, -2),
    'a.b.c',
    '..',
  ]
  for (const token of forged) expect({ token, status: (await get(token)).status }).toEqual({ token, status: 401 })
})

test('the tenant is that of app_metadata, never of user_metadata; a tenant that does not exist holds nothing', async () => {
  const inUserMetadata = await tokenOf(world, carol.id, { claims: { user_metadata: { tenant_id: 'ten_other' } } })
  await world.http('POST', '/api/agents', { id: 'carols', template: 'scripted' }, bearer(carol.token))
  expect((await get(inUserMetadata)).body['data']).toHaveLength(1)
  const elsewhere = await tokenOf(world, carol.id, { claims: { app_metadata: { tenant_id: 'ten_nowhere' } } })
  expect(await get(elsewhere)).toMatchObject({ status: 200, body: { data: [] } })
  const made = await world.http('POST', '/api/agents', { id: 'x', template: 'scripted' }, bearer(elsewhere))
  expect(made).toMatchObject({ status: 403, body: { code: 'tenant_missing' } })
  for (const tenant_id of ['', 7, '../x', { a: 1 }]) {
    const token = await tokenOf(world, carol.id, { claims: { app_metadata: { tenant_id } } })
    expect(await get(token)).toMatchObject({ status: 403, body: { reason: 'no_tenant' } })
  }
})

test('anonymous sign-ins are refused', async () => {
  const token = await tokenOf(world, carol.id, { claims: { is_anonymous: true } })
  expect(await get(token)).toMatchObject({ status: 403, body: { reason: 'anonymous' } })
})
