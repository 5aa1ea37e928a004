import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StreamClaims } from '#lib/http/token'
import { signStreamToken } from '#lib/http/token'
import { localKeys } from '#local/keys'
import { bearer, makeKey, makeTenant, say, startGuarded, tokenOf } from '#tests/access/kit'
import type { Reply, World } from '#tests/world'

let world: World
let a = ''
let b = ''
let keyOfA = ''
let run = ''
beforeAll(async () => {
  world = await startGuarded()
  const made = await makeTenant(world, 'ten_a')
  a = made.key
  keyOfA = made.id
  b = (await makeTenant(world, 'ten_b')).key
  await ask(a, 'POST', '/api/agents', { id: 'shared-name', template: 'scripted', metadata: { of: 'a' } })
  run = String((await say(world, a, 'shared-name')).body['runId'])
})
afterAll(() => world.close())

const ask = (key: string, method: string, path: string, body?: unknown): Promise<Reply> =>
  world.http(method, path, body, { ...bearer(key), prefer: 'respond-async' })

test("A86: another tenant's key finds nothing of it, by every address", async () => {
  const calls: [string, string, unknown?][] = [
    ['GET', '/api/agents/shared-name'],
    ['PATCH', '/api/agents/shared-name', { metadata: {} }],
    ['DELETE', '/api/agents/shared-name'],
    ['GET', '/api/agents/shared-name/messages'],
    ['GET', '/api/agents/shared-name/tool-calls'],
    ['GET', '/api/agents/shared-name/runs'],
    ['GET', '/api/agents/shared-name/events'],
    ['POST', '/api/agents/shared-name/interrupt', {}],
    ['GET', `/api/runs/${run}`],
    ['GET', `/api/runs/${run}/events`],
    ['POST', `/api/runs/${run}/cancel`, {}],
    ['POST', `/api/runs/${run}/retry`],
    ['GET', `/api/keys/${keyOfA}`],
    ['PATCH', `/api/keys/${keyOfA}`, { name: 'mine' }],
    ['DELETE', `/api/keys/${keyOfA}`],
    ['POST', `/api/keys/${keyOfA}/rotate`, {}],
  ]
  for (const [method, path, body] of calls)
    expect({ method, path, status: (await ask(b, method, path, body)).status }).toEqual({ method, path, status: 404 })
  expect((await ask(a, 'GET', '/api/agents/shared-name')).body).toMatchObject({ metadata: { of: 'a' } })
})

test('A86: tenant, owner and caller are the credential’s, whatever the request says', async () => {
  for (const field of ['tenant', 'tenantId', 'tenant_id', 'environment', 'ownerId', 'caller', 'credential']) {
    expect((await ask(b, 'POST', '/api/agents', { id: 'x', template: 'scripted', [field]: 'ten_a' })).status).toBe(400)
    expect((await ask(b, 'GET', `/api/agents?${field}=ten_a`)).status).toBe(400)
  }
  const headers = { ...bearer(b), 'x-tenant-id': 'ten_a', 'x-baton-tenant': 'ten_a' }
  expect((await world.http('GET', '/api/agents/shared-name', undefined, headers)).status).toBe(404)
  expect(
    (await ask(b, 'POST', '/api/agents', { id: 'b-own', template: 'scripted', metadata: { tenant: 'ten_a', ownerId: 'x' } })).status,
  ).toBe(201)
  expect(await world.sql(`select tenant_id, owner_id from baton.agents where id = 'b-own'`)).toEqual([
    { tenant_id: 'ten_b', owner_id: null },
  ])
})

test('two tenants use one name for agents of their own; lists never cross', async () => {
  const made = await ask(b, 'POST', '/api/agents', { id: 'shared-name', template: 'scripted', metadata: { of: 'b' } })
  expect(made.status).toBe(201)
  for (const [key, of] of [
    [a, 'a'],
    [b, 'b'],
  ] as const) {
    const agents = (await ask(key, 'GET', '/api/agents?prefix=shared')).body['data']
    expect(agents).toMatchObject([{ id: 'shared-name', metadata: { of } }])
  }
  const runs = (await ask(b, 'GET', '/api/runs')).body['data'] as { id: string }[]
  expect(runs.map(({ id }) => id)).not.toContain(run)
  const keys = (await ask(b, 'GET', '/api/keys')).body['data'] as { id: string }[]
  expect(keys.map(({ id }) => id)).not.toContain(keyOfA)
  await ask(b, 'DELETE', '/api/agents/shared-name')
})

test('A86: a key of another environment is no key here', async () => {
  const { id, key } = await makeTenant(world, 'ten_elsewhere', 'production')
  expect(await ask(key, 'GET', '/api/agents')).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
  expect(await world.sql('select last_used_at from baton.api_keys where id = $1', [id])).toEqual([{ last_used_at: null }])
})

test("a user's tenant is that of the token: the same user in two tenants sees two worlds", async () => {
  const sub = '22222222-2222-4222-8222-222222222222'
  const inA = await tokenOf(world, sub, { claims: { app_metadata: { tenant_id: 'ten_a' } } })
  const inB = await tokenOf(world, sub, { claims: { app_metadata: { tenant_id: 'ten_b' } } })
  expect((await say(world, inA, 'users-own')).status).toBe(200)
  expect((await ask(inA, 'GET', '/api/agents')).body['data']).toMatchObject([{ id: 'users-own', userId: sub }])
  expect((await ask(inB, 'GET', '/api/agents')).body['data']).toEqual([])
  expect((await ask(a, 'GET', '/api/agents/users-own')).status).toBe(200)
  expect((await ask(b, 'GET', '/api/agents/users-own')).status).toBe(404)
})

test('a stream token opens the run of its own tenant and agent, nothing of another', async () => {
  const [row] = await world.sql<{ agent_uid: string }>('select agent_uid from baton.runs where run_id = $1', [run])
  const right: StreamClaims = { kind: 'run', id: run, agentUid: String(row?.agent_uid), tenantId: 'ten_a' }
  const { encryptionKey } = await localKeys(world.dataDir)
  const asked = async (claims: StreamClaims, key: Uint8Array = Buffer.from(encryptionKey, 'base64'), now = Date.now()): Promise<number> => {
    const token = await signStreamToken(claims, key, now)
    return (await world.http('GET', `/api/runs/${run}/events?token=${token}`, undefined, { accept: 'application/json' })).status
  }
  expect(await asked(right)).toBe(200)
  expect(await asked({ ...right, tenantId: 'ten_b' })).toBe(404)
  expect(await asked({ ...right, agentUid: '33333333-3333-4333-8333-333333333333' })).toBe(404)
  expect(await asked({ ...right, kind: 'agent' })).toBe(403)
  expect(await asked({ ...right, id: 'run_other' })).toBe(403)
  expect(await asked(right, new Uint8Array(32))).toBe(401)
  expect(await asked(right, undefined, Date.now() - 16 * 60_000)).toBe(401)
})

test('a key of a tenant is not taken for the agents of signed-in users of another', async () => {
  const { key } = await makeKey(world, ['agents:read'], {}, b)
  expect((await ask(key, 'GET', `/api/agents?user=22222222-2222-4222-8222-222222222222`)).body['data']).toEqual([])
})
