import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StreamClaims } from '#lib/http/token'
import { signStreamToken } from '#lib/http/token'
import { localKeys } from '#local/keys'
import { table } from '#tests/access/endpoints'
import { bearer, makeKey, makeTenant, say, startGuarded, tokenOf } from '#tests/access/kit'
import { script, type Reply, type World } from '#tests/world'

let world: World
let a = ''
let b = ''
let keyOfA = ''
let run = ''
/** The key of a tenant that has nothing of its own. */
let empty = ''
/** What stands for a parameter of a path, by the collection before it. */
const ids: Record<string, string> = {
  agents: 'only-of-a',
  agent: 'only-of-a',
  chat: 'only-of-a',
  users: 'fbf44bcd-0f3b-4ad5-9b2e-1f6a4f8d5c11',
}
/** Words of tenant a that tenant b never sends: an answer that holds one has told b of a. */
const marks: string[] = ['said-by-a', 'kept-by-a', 'reason-of-a', '127.0.0.1:9/of-a']

beforeAll(async () => {
  world = await startGuarded()
  const made = await makeTenant(world, 'ten_a')
  a = made.key
  keyOfA = made.id
  b = (await makeTenant(world, 'ten_b')).key
  await ask(a, 'POST', '/api/agents', { id: 'shared-name', template: 'scripted', metadata: { of: 'a' } })
  run = String((await say(world, a, 'shared-name')).body['runId'])
  empty = (await makeTenant(world, 'ten_empty')).key
  await oneOfEverything()
})
afterAll(() => world.close())

const ask = (key: string, method: string, path: string, body?: unknown): Promise<Reply> =>
  world.http(method, path, body, { ...bearer(key), prefer: 'respond-async' })

/** The text of an answer: exports and metrics are no JSON. */
async function textOf(key: string, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(world.base() + path, { headers: { ...bearer(key), accept: 'application/json' } })
  return { status: response.status, text: await response.text() }
}
async function made(method: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const reply = await ask(a, method, path, body)
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`)
  return reply.body
}

/** What another tenant may ask for: an agent that has said something and waits for a person, and one row of each kind beside it. */
async function oneOfEverything(): Promise<void> {
  ids['keys'] = keyOfA
  await made('PUT', '/api/limits/agent:only-of-a', { messagesPerMinute: 900 })
  await made('PUT', '/api/budgets/agent:only-of-a', { limitMicros: 77_000_001, period: 'month' })
  // Held agents are other ones: this one must run.
  await made('POST', '/api/kill', { scope: 'agent:held-by-a', mode: 'hold', reason: 'reason-of-a' })
  ids['webhooks'] = String((await made('POST', '/api/webhooks', { url: 'http://127.0.0.1:9/of-a', events: ['agent.killed'] }))['id'])
  ids['deliveries'] = String((await made('POST', `/api/webhooks/${ids['webhooks']}/test`, undefined))['id'])
  await made('POST', '/api/agents', {
    id: 'only-of-a',
    template: 'scripted',
    metadata: { note: 'kept-by-a' },
    permission: { ask: ['charge'] },
  })
  const message = script({ text: 'said-by-a', tools: [{ name: 'charge', input: { key: 'a', cents: 1 } }] })
  const sent = await world.http('POST', '/api/agents/only-of-a/messages', { message }, { ...bearer(a), prefer: 'wait=20' })
  const [approval] = sent.body['approvals'] as { id: string; callId: string }[]
  const paused = String(sent.body['runId'])
  Object.assign(ids, { runs: paused, approvals: approval?.id, 'tool-calls': approval?.callId, responses: paused.replace('run_', 'resp_') })
  marks.push(paused, String(approval?.id), String(approval?.callId), keyOfA)
}

/** Everything that tenant a has, but what deliveries that fail change by themselves. */
async function allOfA(): Promise<Record<string, string>> {
  const tables = await world.sql<{ name: string }>(
    `select table_name as name from information_schema.columns where table_schema = 'baton' and column_name = 'tenant_id'
       and table_name not in ('webhook_deliveries', 'outbox', 'metric_deltas') order by 1`,
  )
  expect(tables.length).toBeGreaterThan(12)
  const all: Record<string, string> = {}
  for (const { name } of tables) {
    const [row] = await world.sql<{ rows: string }>(
      `select coalesce(string_agg(t, e'\n' order by t), '') as rows from (select (to_jsonb(x) - array['last_used_at', 'failures', 'last_error', 'failing_since'])::text as t from baton.${name} x where x.tenant_id = 'ten_a') t`,
    )
    all[name] = row?.rows ?? ''
  }
  return all
}

/** Where no 404 is due, what is: b's own things are told of, or made, under the same name. */
const others: Record<string, number> = {
  // Names of agents are each tenant's own.
  'POST /api/agents/{id}/messages': 202,
  'POST /api/agent/{id}': 202,
  // Limits and budgets of a scope are b's own: what it sets it takes away again.
  'PUT /api/limits/{scope}': 200,
  'PUT /api/budgets/{scope}': 200,
  'DELETE /api/budgets/{scope}': 204,
  // A user's agents in b's own tenant: none.
  'DELETE /api/users/{id}': 200,
  // The address is its own credential, and this one holds none.
  'POST /api/tool-calls/{id}/result': 401,
}

test("A86: another tenant's admin key finds, changes and ends nothing, by every address that there is", async () => {
  const before = await allOfA()
  expect(Object.values(before).filter((rows) => rows !== '').length).toBeGreaterThan(10)
  const addresses = Object.entries(table).filter(([name]) => name.includes('{'))
  expect(addresses.length).toBeGreaterThan(35)
  const found: Record<string, number> = {}
  // What makes b's own agent of that name comes last: the others would find it.
  const makes = (name: string): number => Number(others[name] === 202)
  for (const [name, { body, query = '' }] of addresses.toSorted(([one], [two]) => makes(one) - makes(two))) {
    const [method = '', path = ''] = name.split(' ')
    const address = path
      .replaceAll(/\/(\w[\w-]*)\/\{(?:id|deliveryId)\}/g, (_all, kind: string) => `/${kind}/${ids[kind] ?? `no id of ${kind}`}`)
      .replace('{deliveryId}', String(ids['deliveries']))
      .replace('{scope}', name.includes('/kill/') ? 'agent:held-by-a' : 'agent:only-of-a')
      .replace(/result$/, 'result?token=none')
    expect(address, name).not.toMatch(/[{ ]/)
    const reply = await ask(b, method, address + query, body)
    if (reply.status !== (others[name] ?? 404)) found[name] = reply.status
    const told = JSON.stringify(reply.body).replaceAll(address, '')
    expect({ name, tells: marks.filter((mark) => told.includes(mark) && !address.includes(mark)) }).toEqual({ name, tells: [] })
  }
  expect(found).toEqual({})
  expect(await allOfA()).toEqual(before)
})

test("A86: lists, sums, exports and the audit log tell another tenant's admin key nothing, whatever filter names it", async () => {
  const before = await allOfA()
  const lists = Object.entries(table).filter(([name]) => name.startsWith('GET ') && !name.includes('{') && !name.includes('/local/'))
  expect(lists.length).toBeGreaterThan(15)
  const queries: Record<string, string[]> = {
    'GET /api/audit': ['?agent=only-of-a', `?run=${ids['runs']}`, '?limit=200'],
    'GET /api/agents': ['?prefix=only', '?limit=200'],
    'GET /api/runs': ['?agent=only-of-a', '?limit=200'],
    'GET /api/approvals': ['?agent=only-of-a', '?limit=200'],
    'GET /api/usage': ['?agent=only-of-a', '?groupBy=agent'],
    'GET /api/export': ['?scope=agent:only-of-a', '?scope=tenant'],
  }
  for (const [name] of lists) {
    const path = name.slice(4)
    for (const query of queries[name] ?? ['']) {
      const reply = await textOf(empty, path + query)
      const tells = [...marks, ...(query.includes('only') ? [] : ['only-of-a', '77000001'])].filter(
        (mark) => reply.text.includes(mark) && !query.includes(mark),
      )
      expect({ path, query, tells, known: [200, 400, 403, 404].includes(reply.status) }).toEqual({ path, query, tells: [], known: true })
    }
  }
  // The same words are in a's own answers: the marks can be found.
  const own: string[] = []
  for (const path of ['/api/audit?agent=only-of-a', '/api/export?scope=tenant', '/api/keys', '/api/kill', '/api/webhooks'])
    own.push((await textOf(a, path)).text)
  expect(marks.filter((mark) => !own.join().includes(mark))).toEqual([])
  // Bodies that name what is a's.
  expect((await ask(empty, 'DELETE', '/api/tenant?confirm=ten_a')).status).toBeGreaterThanOrEqual(400)
  for (const scope of ['agent:only-of-a', `run:${ids['runs']}`, 'tenant'])
    await ask(empty, 'POST', '/api/kill', { scope, mode: 'kill', reason: 'by c' })
  expect(await allOfA()).toEqual(before)
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
