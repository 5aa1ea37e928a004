import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, makeTenant, say, startGuarded, type MadeKey } from '#tests/access/kit'
import { script, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startGuarded({ servers: 2 })
})
afterAll(() => world.close())

const get = (credential: string, path = '/api/agents', server = 0): Promise<Reply> =>
  world.http('GET', path, undefined, bearer(credential), server)
const audit = (action: string, id: string): Promise<Record<string, unknown>[]> =>
  world.sql('select * from baton.audit where action = $1 and scope = $2', [action, `key:${id}`])

test('A86: without a credential, or with one that is none, nobody is let in; the answer says what to send', async () => {
  for (const headers of [
    {},
    { authorization: '' },
    { authorization: 'Basic YTpi' },
    bearer('bt_unknown'),
    bearer('nonsense'),
    bearer(`${adminKey}x`),
  ]) {
    const reply = await world.http('GET', '/api/agents', undefined, headers)
    expect(reply).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
    expect(reply.headers.get('www-authenticate')).toMatch(/^Bearer/)
  }
  const { key } = await makeKey(world, ['admin'])
  for (const query of [`key=${key}`, `token=${key}`, `apikey=${key}`, `access_token=${key}`])
    expect((await world.http('GET', `/api/agents?${query}`)).status).toBe(401)
  expect((await world.http('GET', '/api/agents', undefined, { 'x-api-key': key, apikey: key })).status).toBe(401)
  expect((await world.http('GET', '/api/health')).status).toBe(200)
})

test('an oversized Authorization header is refused and harms nobody', async () => {
  expect((await get('x'.repeat(9_000))).status).toBe(401)
  // Node refuses this one itself, before any of our code.
  expect([400, 431]).toContain((await get('x'.repeat(40_000))).status)
  expect((await get(adminKey)).status).toBe(200)
})

test('a key is shown once; what is stored is its hash', async () => {
  const reply = await world.http('POST', '/api/keys', { name: ' CI ', scopes: ['agents:run'] }, bearer(adminKey))
  const { id, key, prefix } = reply.body as Record<string, string>
  expect(reply).toMatchObject({
    status: 201,
    body: { name: 'CI', scopes: ['agents:run'], active: true, createdBy: 'admin', lastUsedAt: null },
  })
  expect(reply.headers.get('location')).toBe(`/api/keys/${id}`)
  expect(key).toMatch(/^bt_[A-Za-z0-9_-]{43}$/)
  expect(key?.startsWith(String(prefix))).toBe(true)
  expect(String(prefix)).toHaveLength(10)
  const [row] = await world.sql('select k::text as text, hash from baton.api_keys k where id = $1', [id])
  expect(row?.['hash']).toBe(createHash('sha256').update(String(key)).digest('hex'))
  expect(row?.['text']).not.toContain(key)
  for (const path of [`/api/keys/${id}`, '/api/keys']) expect(JSON.stringify((await get(adminKey, path)).body)).not.toContain(key)
  expect(await audit('key.create', String(id))).toMatchObject([{ actor: 'admin', decision: 'allowed', tenant_id: 'ten_local' }])
})

test('who uses a key stands as caller in the rows; its use is written at most once a minute', async () => {
  const { id, key } = await makeKey(world, ['agents:run', 'agents:read'])
  const used = async (): Promise<unknown> => (await get(adminKey, `/api/keys/${id}`)).body['lastUsedAt']
  expect(await used()).toBeNull()
  const reply = await say(world, key, 'by-key')
  expect(reply.status).toBe(200)
  const first = await used()
  expect(first).not.toBeNull()
  expect((await say(world, key, 'by-key')).status).toBe(200)
  expect(await used()).toBe(first)
  const rows = await world.sql('select created_by, owner_id from baton.runs where run_id = $1', [reply.body['runId']])
  expect(rows).toEqual([{ created_by: `key:${id}`, owner_id: null }])
  await world.http('POST', '/api/local/time', { advanceMs: 61_000 }, bearer(adminKey))
  expect((await get(key)).status).toBe(200)
  expect(await used()).not.toBe(first)
})

test('a revocation bites at once, in every process, also while the key is in use', async () => {
  const { id, key } = await makeKey(world, ['agents:read'])
  expect((await get(key, '/api/agents', 1)).status).toBe(200)
  expect((await world.http('DELETE', `/api/keys/${id}`, undefined, bearer(adminKey))).status).toBe(204)
  for (const server of [0, 1]) expect(await get(key, '/api/agents', server)).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
  // Again changes nothing, and what is revoked is not brought back.
  expect((await world.http('DELETE', `/api/keys/${id}`, undefined, bearer(adminKey))).status).toBe(204)
  expect(await audit('key.revoke', id)).toHaveLength(1)
  expect((await world.http('PATCH', `/api/keys/${id}`, { expiresAt: null }, bearer(adminKey))).status).toBe(409)
  expect(await world.http('POST', `/api/keys/${id}/rotate`, {}, bearer(adminKey))).toMatchObject({
    status: 409,
    body: { reason: 'not_active' },
  })
  expect((await get(adminKey, `/api/keys/${id}`)).body).toMatchObject({ active: false })
})

test('an expired key is refused', async () => {
  const { body } = await world.http('GET', '/api/local/time', undefined, bearer(adminKey))
  const expiresAt = new Date(Date.parse(String(body['now'])) + 3_600_000).toISOString()
  const { id, key } = await makeKey(world, ['agents:read'], { expiresAt })
  expect((await get(key)).status).toBe(200)
  await world.sql(`update baton.api_keys set expires_at = baton.clock() where id = $1`, [id])
  expect((await get(key)).status).toBe(401)
  const past = await world.http('POST', '/api/keys', { name: 'x', scopes: ['admin'], expiresAt: '2020-01-01T00:00:00Z' }, bearer(adminKey))
  expect(past).toMatchObject({ status: 409, body: { reason: 'expired_already' } })
})

test('rotation: two are active for the overlap, then the new one alone', async () => {
  const { id, key } = await makeKey(world, ['agents:read'])
  const reply = await world.http('POST', `/api/keys/${id}/rotate`, { overlapMs: 3_600_000 }, bearer(adminKey))
  expect(reply).toMatchObject({ status: 201, body: { scopes: ['agents:read'], rotatedFrom: id, old: { id, active: true } } })
  const next = reply.body as unknown as MadeKey
  expect([(await get(key)).status, (await get(next.key)).status]).toEqual([200, 200])
  expect(await world.http('POST', `/api/keys/${id}/rotate`, {}, bearer(adminKey))).toMatchObject({
    status: 409,
    body: { reason: 'already_rotated' },
  })
  expect(await audit('key.rotate', next.id)).toMatchObject([{ actor: 'admin', decision: 'allowed' }])
  await world.sql(`update baton.api_keys set expires_at = baton.clock() where id = $1`, [id])
  expect([(await get(key)).status, (await get(next.key)).status]).toEqual([401, 200])
  const unsaid = await makeKey(world, ['agents:read'])
  expect((await world.http('POST', `/api/keys/${unsaid.id}/rotate`, undefined, bearer(adminKey))).status).toBe(201)
  expect((await get(unsaid.key)).status).toBe(200)
  const other = await makeKey(world, ['agents:read'])
  const atOnce = await world.http('POST', `/api/keys/${other.id}/rotate`, { overlapMs: 0 }, bearer(adminKey))
  expect([(await get(other.key)).status, (await get(String(atOnce.body['key']))).status]).toEqual([401, 200])
})

test('a message that is repeated under the successor of its key is the same run, and the other way round', async () => {
  const { id, key } = await makeKey(world, ['agents:run'])
  const next = (await world.http('POST', `/api/keys/${id}/rotate`, { overlapMs: 3_600_000 }, bearer(adminKey))).body as unknown as MadeKey
  const message = { template: 'scripted', message: script({ tools: [{ name: 'outside', input: {} }] }) }
  for (const [idempotencyKey, sender, repeater] of [
    ['old', key, next.key],
    ['new', next.key, key],
  ] as const) {
    const send = (by: string): Promise<Reply> =>
      world.http('POST', '/api/agents/line/messages', message, {
        ...bearer(by),
        'idempotency-key': idempotencyKey,
        prefer: 'respond-async',
      })
    const { runId } = (await send(sender)).body
    expect(runId).toMatch(/^run_/)
    expect((await send(repeater)).body['runId']).toBe(runId)
    const stopped = await world.http('POST', `/api/runs/${String(runId)}/cancel`, { reason: 'mine' }, bearer(repeater))
    expect(stopped).toMatchObject({ body: { run: { stopNote: 'mine' } } })
  }
})

test('two keys that make an agent without an id under one Idempotency-Key make one each', async () => {
  const made = async (): Promise<Reply> => {
    const { key } = await makeKey(world, ['agents:run', 'agents:read'])
    return world.http('POST', '/api/agents', { template: 'scripted' }, { ...bearer(key), 'idempotency-key': 'the-same' })
  }
  const [one, other] = [await made(), await made()]
  expect([one.status, other.status]).toEqual([201, 201])
  expect(other.body['id']).not.toBe(one.body['id'])
})

test('what stands against a key stands against its successor: kill, budgets and limits, and the audit says so', async () => {
  const { id, key } = await makeKey(world, ['agents:run'])
  const admin = (method: string, path: string, body?: object): Promise<Reply> => world.http(method, path, body, bearer(adminKey))
  const settings = [
    await admin('PUT', `/api/budgets/key:${id}`, { limitMicros: 0, period: 'month' }),
    await admin('PUT', `/api/limits/key:${id}`, { messagesPerMinute: 3 }),
    await admin('POST', '/api/kill', { scope: `key:${id}`, mode: 'kill', reason: 'leak' }),
  ]
  expect(settings.map(({ status }) => status)).toEqual([200, 200, 200])
  expect(await say(world, key, 'rotated')).toMatchObject({ status: 423, body: { code: 'killed', scope: `key:${id}` } })
  const next = (await admin('POST', `/api/keys/${id}/rotate`, { overlapMs: 0 })).body as unknown as MadeKey
  expect(await say(world, next.key, 'rotated')).toMatchObject({ status: 423, body: { scope: `key:${next.id}`, reason: 'leak' } })
  expect((await admin('DELETE', `/api/kill/key:${next.id}`)).status).toBe(200)
  expect(await say(world, next.key, 'rotated')).toMatchObject({ status: 402, body: { scope: `key:${next.id}`, period: 'month' } })
  expect((await say(world, next.key, 'rotated')).headers.get('ratelimit-policy')).toContain('"key-messages";q=3')
  expect(await audit('key.rotate', next.id)).toMatchObject([
    { data: { inherited: { switch: 'kill', budgets: ['month'], limits: { messagesPerMinute: 3 } } } },
  ])
})

test('name and expiry can be changed, rights cannot; the list is paged', async () => {
  const { id } = await makeKey(world, ['agents:read'])
  const patched = await world.http('PATCH', `/api/keys/${id}`, { name: 'renamed', expiresAt: '2040-01-01T00:00:00Z' }, bearer(adminKey))
  expect(patched).toMatchObject({ status: 200, body: { name: 'renamed', scopes: ['agents:read'] } })
  expect((await world.http('PATCH', `/api/keys/${id}`, { scopes: ['admin'] }, bearer(adminKey))).status).toBe(400)
  const first = await get(adminKey, '/api/keys?limit=2')
  expect(first.body['data']).toHaveLength(2)
  const second = await get(adminKey, `/api/keys?limit=2&cursor=${String(first.body['nextCursor'])}`)
  const idsOf = (reply: Reply): string[] => (reply.body['data'] as MadeKey[]).map((key) => key.id)
  expect(new Set([...idsOf(first), ...idsOf(second)]).size).toBe(4)
})

test.each([
  ['no rights', { name: 'x', scopes: [] }],
  ['an unknown right', { name: 'x', scopes: ['agents:write'] }],
  ['a right twice', { name: 'x', scopes: ['admin', 'admin'] }],
  ['no name', { name: '  ', scopes: ['admin'] }],
  ['a date that is none', { name: 'x', scopes: ['admin'], expiresAt: 'tomorrow' }],
  ['a tenant of its own', { name: 'x', scopes: ['admin'], tenantId: 'ten_other' }],
  ['a key of its own', { name: 'x', scopes: ['admin'], key: 'bt_x' }],
])('a key with %s is refused', async (_what, body) => {
  expect((await world.http('POST', '/api/keys', body, bearer(adminKey))).status).toBe(400)
})

test('a tenant has at most 100 active keys, also when they are made at the same time', async () => {
  const { key } = await makeTenant(world, 'ten_many')
  await world.sql(`insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by)
    select 'key_f' || n, 'ten_many', 'local', encode(sha256(n::text::bytea), 'hex'), 'bt_', 'x', '{admin}', 'test' from generate_series(1, 97) n`)
  const made = await Promise.all(
    Array.from({ length: 6 }, (_, n) => world.http('POST', '/api/keys', { name: 'x', scopes: ['agents:read'] }, bearer(key), n % 2)),
  )
  expect(made.filter((reply) => reply.status === 201)).toHaveLength(2)
  expect(made.find((reply) => reply.status === 409)?.body['code']).toBe('too_many_keys')
})

test('keys are in no log and no database text', async () => {
  const { id, key } = await makeKey(world, ['admin'])
  await get(key)
  await world.http('GET', `/api/agents?key=${key}`, undefined, bearer(key))
  await world.http('GET', `/api/agents/x/events?token=${key}`)
  await world.http('POST', '/api/keys', { name: 'x', scopes: ['nothing'] }, bearer(key))
  await world.http('DELETE', `/api/keys/${id}`, undefined, bearer(key))
  await get(key)
  const files = await readdir(world.dataDir, { recursive: true, withFileTypes: true })
  const logs = files.filter((file) => file.isFile() && file.name.endsWith('.log'))
  expect(logs.length).toBeGreaterThan(1)
  for (const file of logs) {
    const text = await readFile(join(file.parentPath, file.name), 'utf8')
    expect(text).not.toContain(key)
    expect(text).not.toContain(adminKey)
  }
  expect(await world.sql('select 1 from baton.audit a where a::text like $1', [`%${key}%`])).toEqual([])
})

test('who may only send is told what their message waits for; reading takes a right of its own', async () => {
  const { key } = await makeKey(world, ['agents:run'])
  const send = (agent: string, message: string, more: object = {}): Promise<Reply> =>
    world.http('POST', `/api/agents/${agent}/messages`, { template: 'scripted', message, ...more }, { ...bearer(key), prefer: 'wait=20' })
  const asks = script({ tools: [{ name: 'charge', input: { key: 'k', cents: 1 } }] }, { text: 'ok' })
  const paused = await send('only-sends', asks, { overrides: { permission: { ask: ['charge'] } } })
  expect(paused).toMatchObject({ status: 202, body: { status: 'paused', approvals: [{ tool: 'charge' }] } })
  const waits = await send('only-sends-too', script({ error: { status: 503, times: 1, retryAfter: 600 }, text: 'late' }))
  expect(waits).toMatchObject({ status: 202, body: { status: 'processing', run: { state: 'waiting' } } })
  for (const { body } of [paused, waits]) expect((await get(key, `/api/runs/${String(body['runId'])}`)).status).toBe(403)
})
