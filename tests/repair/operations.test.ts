import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, makeTenant, say, startGuarded, tokenOf } from '#tests/access/kit'
import { redis } from '#tests/engine/helpers'
import { script, type Reply, type World } from '#tests/world'

const admin = bearer(adminKey)
const user = '33333333-3333-4333-8333-333333333333'
let world: World
beforeAll(async () => {
  // Whoever deletes much waits for it as for an answer: not at all here, so that a deletion stops after each piece and says so.
  world = await startGuarded({ env: { BATON_DEFAULT_WAIT_MS: '0' } })
})
afterAll(() => world.close())

const get = (path: string, headers = admin): Promise<Reply> => world.http('GET', path, undefined, headers)
const count = async (table: string, where: string, ...values: unknown[]): Promise<number> =>
  (await world.sql<{ n: number }>(`select count(*)::integer as n from baton.${table} where ${where}`, values))[0]?.n ?? 0

/** The lines of an export; throws when it was cut. */
async function exported(
  scope: string,
  headers = admin,
): Promise<{ type: string; agentId: string | null; data: Record<string, unknown> }[]> {
  const response = await fetch(`${world.base()}/api/export?scope=${scope}`, { headers })
  expect(response.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
  return (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; agentId: string | null; data: Record<string, unknown> })
}

const tools = script(
  { tools: [{ name: 'echo', input: { value: 'a' } }], usage: { input: 10, output: 5 } },
  { text: 'after the tool', usage: { input: 10, output: 5 } },
)

test('a message that cannot be read quarantines its agent alone, by name, until it is repaired; then the run can be retried', async () => {
  await say(world, adminKey, 'ill', { message: tools })
  await say(world, adminKey, 'well')
  expect((await get('/api/agents/ill/consistency')).body).toMatchObject({ consistent: true, findings: [], repairs: 0 })
  await world.sql(
    `update baton.messages m set content = '{"broken": 1}' from baton.agents a where a.agent_uid = m.agent_uid and a.id = 'ill' and m.seq = 2`,
  )
  const refused = await say(world, adminKey, 'ill', { message: 'still there?' })
  expect(refused).toMatchObject({
    status: 500,
    body: {
      code: 'corrupted_data',
      stopReason: 'corrupted_data',
      state: 'failed',
      agentId: 'ill',
      detail: expect.stringMatching(/^Message 2 of agent ill cannot be read; .*\/api\/agents\/ill\/consistency/) as string,
    },
  })
  expect(refused.headers.get('x-should-retry')).toBe('false')
  expect(await world.effects({ runId: String(refused.body['runId']) }).catch(() => [])).toEqual([])
  expect((await say(world, adminKey, 'well')).status).toBe(200)
  expect((await get('/api/agents/ill/messages')).status).toBe(200)

  const found = await get('/api/agents/ill/consistency')
  expect(found.body).toMatchObject({
    consistent: false,
    findings: [{ code: 'message_corrupted', details: { seq: 2 } }, { code: 'orphan_result' }],
  })
  expect((found.body['findings'] as { repair: string }[]).every(({ repair }) => repair.length > 10)).toBe(true)
  const mended = await world.http('POST', '/api/agents/ill/repair', undefined, admin)
  expect(mended).toMatchObject({ status: 200, body: { repaired: 2, left: [] } })
  const retried = await world.http('POST', `/api/runs/${String(refused.body['runId'])}/retry`, undefined, { ...admin, prefer: 'wait=20' })
  expect(retried.status).toBeLessThan(300)
  expect(await say(world, adminKey, 'ill', { message: 'and now?' })).toMatchObject({ status: 200, body: { output: 'You said: and now?' } })
  expect((await get('/api/agents/ill/consistency')).body).toMatchObject({ consistent: true, repairs: 1 })
  expect((await get('/api/audit?action=agent.repair&agent=ill')).body['data']).toHaveLength(2)
})

test('retention: what is set is checked, answered and audited', async () => {
  expect((await get('/api/retention')).body).toMatchObject({
    eventDays: 7,
    eventsPerAgent: 10_000,
    deliveryDays: 7,
    agentDays: null,
    set: {},
  })
  const put = (body: unknown) => world.http('PUT', '/api/retention', body, admin)
  expect((await put({ eventDays: 0 })).status).toBe(400)
  expect((await put({ eventDays: 401, more: 1 })).body).toMatchObject({ code: 'validation' })
  expect((await put({ eventDays: 30, agentDays: 365 })).body).toMatchObject({
    eventDays: 30,
    agentDays: 365,
    deliveryDays: 7,
    set: { eventDays: 30, agentDays: 365 },
  })
  expect((await put({})).body).toMatchObject({ eventDays: 7, agentDays: null, set: {} })
})

test('an export holds everything of an agent, line by line, and nothing of a secret; then it is deleted completely', async () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  await say(world, adminKey, 'leaving', { message: tools, webhook: { url: 'http://127.0.0.1:9/hook', secret } })
  await say(world, adminKey, 'staying')
  await world.sql(`insert into baton.audit (tenant_id, environment, actor, action, decision, agent_uid, agent_id, reason)
    select tenant_id, environment, 'x', 'a.test', 'recorded', agent_uid, id, 'password=letmein' from baton.agents where id = 'leaving'`)
  // Nobody tries the webhook again between two exports.
  await world.sql("update baton.webhook_deliveries set state = 'delivered', next_at = null, ended_at = baton.clock()")
  const lines = await exported('agent:leaving')
  // The operator's command writes the same.
  const command = [join(import.meta.dirname, '../../scripts/export.ts'), 'agent:leaving', '--local', world.dataDir]
  const written = (await promisify(execFile)(process.execPath, command, { timeout: 60_000 })).stdout.trimEnd().split('\n')
  expect(written.map((line) => JSON.parse(line) as unknown)).toEqual(lines)
  expect(new Set(lines.map(({ type }) => type))).toEqual(
    new Set(['agent', 'run', 'message', 'tool_call', 'event', 'delivery', 'ledger', 'audit', 'end']),
  )
  expect(lines.slice(0, -1).every(({ agentId }) => agentId === 'leaving')).toBe(true)
  expect(lines.at(-1)).toMatchObject({ type: 'end', data: { scope: 'agent:leaving', lines: lines.length - 1 } })
  expect(lines.filter(({ type }) => type === 'message')).toHaveLength((await get('/api/agents/leaving/messages')).body['data'] ? 4 : 0)
  const text = JSON.stringify(lines)
  expect(text).toContain('after the tool')
  expect(text).toContain('password=[redacted]')
  expect(text).not.toContain(secret)
  expect(text).not.toMatch(/"secret"|sealed"/)
  const { agentUid } = (await get('/api/agents/leaving')).body

  expect((await world.http('DELETE', '/api/agents/leaving', undefined, admin)).status).toBe(204)
  const tables = await world.sql<{ name: string }>(
    `select c.table_name as name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
      where c.table_schema = 'baton' and c.column_name = 'agent_uid' and t.table_type = 'BASE TABLE'`,
  )
  const left: Record<string, number> = {}
  for (const { name } of tables) left[name] = await count(name, 'agent_uid = $1', agentUid)
  const { audit, reservations, ...rest } = left
  expect(Object.keys(rest).length).toBeGreaterThan(10)
  expect(Object.values(rest).every((rows) => rows === 0)).toBe(true)
  // The ledger and the audit stay, ids and amounts only.
  expect(reservations).toBe(2)
  expect(audit).toBeGreaterThan(1)
  expect(await count('audit', 'agent_uid = $1 and (reason is not null or data is not null)', agentUid)).toBe(0)
  expect((await get('/api/export?scope=agent:leaving')).status).toBe(404)
  expect(await count('agents', `id = 'staying'`)).toBe(1)
})

test('a user is exported and deleted; others are not touched', async () => {
  const token = await tokenOf(world, user)
  const other = await tokenOf(world, '44444444-4444-4444-8444-444444444444')
  for (let n = 0; n < 3; n++) expect((await say(world, token, `mine-${n}`)).status).toBe(200)
  expect((await say(world, other, 'theirs')).status).toBe(200)
  const lines = await exported(`user:${user}`)
  expect(lines.filter(({ type }) => type === 'agent').map(({ agentId }) => agentId)).toEqual(['mine-0', 'mine-1', 'mine-2'])
  // Live text of each, as an executor keeps it for those who watch in another process.
  const live = (agentUid: unknown): string => `baton:local:live:${String(agentUid)}`
  for (const { uid } of await world.sql<{ uid: string }>('select agent_uid as uid from baton.agents where owner_id is not null'))
    await redis(world, 'SET', live(uid), 'words')
  const [theirs] = await world.sql<{ uid: string }>(`select agent_uid as uid from baton.agents where id = 'theirs'`)
  expect((await world.http('DELETE', `/api/users/${user}`, undefined, bearer(token))).status).toBe(403)
  const first = await world.http('DELETE', `/api/users/${user}`, undefined, admin)
  expect(first).toMatchObject({ status: 202, body: { deleted: false, agents: 3, more: true } })
  expect(first.headers.get('retry-after')).toBe('0')
  expect(await world.http('DELETE', `/api/users/${user}`, undefined, admin)).toMatchObject({
    status: 200,
    body: { deleted: true, agents: 0 },
  })
  expect(await exported(`user:${user}`)).toMatchObject([{ type: 'end', data: { lines: 0 } }])
  await expect.poll(() => redis(world, 'KEYS', live('*'))).toEqual([live(theirs?.uid)])
  expect(await count('agents', 'owner_id = $1', user)).toBe(0)
  expect(await count('agents', `id = 'theirs'`)).toBe(1)
  // Two requests, one deletion.
  expect((await get('/api/audit?action=user.delete')).body['data']).toMatchObject([{ data: { agents: 3 } }])
})

test('a tenant is exported page by page and deleted with its keys, after its id was repeated', async () => {
  const { key } = await makeTenant(world, 'ten_leaving')
  for (let n = 0; n < 12; n++)
    expect((await say(world, key, `t-${n}`, { message: script({ text: 'x'.repeat(150_000) }) })).status).toBe(200)
  expect((await world.http('PUT', '/api/limits/user:*', { messagesPerMinute: 9 }, bearer(key))).status).toBe(200)
  expect((await world.http('PUT', '/api/budgets/tenant', { period: 'day', limitMicros: 9_000_000 }, bearer(key))).status).toBe(200)
  const lines = await exported('tenant', bearer(key))
  expect(lines.filter(({ type }) => type === 'agent')).toHaveLength(12)
  expect(lines.filter(({ type }) => type === 'message')).toHaveLength(24)
  expect(new Set(lines.map(({ type }) => type))).toEqual(
    new Set(['agent', 'run', 'message', 'event', 'ledger', 'audit', 'key', 'limit', 'budget', 'end']),
  )
  expect(JSON.stringify(lines)).not.toContain(key)
  const ids = lines.filter(({ type }) => type === 'run').map(({ data }) => data['id'])
  expect(new Set(ids).size).toBe(12)
  expect(await world.http('DELETE', '/api/tenant?confirm=another', undefined, bearer(key))).toMatchObject({
    status: 409,
    body: { code: 'conflict' },
  })
  let reply = await world.http('DELETE', '/api/tenant?confirm=ten_leaving', undefined, bearer(key))
  expect(reply).toMatchObject({ status: 202, body: { deleted: false, more: true } })
  while (reply.status === 202) reply = await world.http('DELETE', '/api/tenant?confirm=ten_leaving', undefined, bearer(key))
  expect(reply).toMatchObject({ status: 200, body: { deleted: true, more: false } })
  expect((await get('/api/agents', bearer(key))).status).toBe(401)
  // The answer was lost, and the key is gone with the tenant: it is told that all is done. What tells it is a hash, which goes with the keys of requests.
  expect(await world.http('DELETE', '/api/tenant?confirm=ten_leaving', undefined, bearer(key))).toMatchObject({
    status: 200,
    body: { deleted: true },
  })
  expect((await world.http('DELETE', '/api/tenant?confirm=ten_other', undefined, bearer(key))).status).toBe(401)
  expect(await count('idempotency', `tenant_id = 'ten_leaving' and caller = 'baton:erased'`)).toBe(1)
  await world.sql(`delete from baton.idempotency where caller = 'baton:erased'`)
  const tables = await world.sql<{ name: string }>(
    `select c.table_name as name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
      where c.table_schema = 'baton' and c.column_name = 'tenant_id' and t.table_type = 'BASE TABLE'`,
  )
  for (const { name } of tables.filter((table) => !['audit', 'reservations'].includes(table.name)))
    expect({ name, rows: await count(name, `tenant_id = 'ten_leaving'`) }).toEqual({ name, rows: 0 })
  expect(await count('tenants', `id = 'ten_leaving'`)).toBe(0)
  expect(await count('audit', `tenant_id = 'ten_leaving' and (reason is not null or data is not null) and action <> 'tenant.delete'`)).toBe(
    0,
  )
  expect(await world.sql(`select data from baton.audit where tenant_id = 'ten_leaving' and action = 'tenant.delete'`)).toEqual([
    { data: { agents: 12 } },
  ])
  expect(await count('reservations', `tenant_id = 'ten_leaving'`)).toBe(12)
})

test('an export refuses other scopes, other rights and what does not exist', async () => {
  for (const scope of ['global', 'run:run_1', 'agent:*', 'nonsense', '']) expect((await get(`/api/export?scope=${scope}`)).status).toBe(400)
  const reader = await makeKey(world, ['agents:read', 'agents:run'])
  expect((await get('/api/export?scope=tenant', bearer(reader.key))).status).toBe(403)
})

test('stats: numbers of a range of time, of a user only their own', async () => {
  const { body } = await get('/api/stats')
  expect(body).toMatchObject({
    runs: { total: expect.any(Number), costUsd: expect.any(Number) },
    byState: { completed: expect.any(Number) },
  })
  expect((body['tools'] as { name: string; calls: number }[]).find(({ name }) => name === 'echo')?.calls).toBeGreaterThan(0)
  const far = await get('/api/stats?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z')
  expect(far.body).toMatchObject({ runs: { total: 0, p50Ms: null }, byState: {}, tools: [] })
  expect((await get('/api/stats?from=2020-01-01T00:00:00Z')).status).toBe(400)
  // Where the default beginning would lie before the first year.
  for (const to of ['0001-01-01T00:00:00Z', '0001-01-02T12:00:00Z'])
    expect(await get(`/api/stats?to=${to}`)).toMatchObject({ status: 200, body: { from: '0001-01-01T00:00:00.000Z', runs: { total: 0 } } })
  expect(await get('/api/usage?to=0001-01-10T00:00:00Z')).toMatchObject({ status: 200, body: { data: [] } })
  const token = await tokenOf(world, '55555555-5555-4555-8555-555555555555')
  await say(world, token, 'one-of-mine')
  expect((await get('/api/stats', bearer(token))).body).toMatchObject({
    runs: { total: 1 },
    agents: { ready: 1 },
    byState: { completed: 1 },
  })
})

test('analysts read numbers and names in views of their own, and no conversation', async () => {
  for (const name of ['runs', 'agents', 'tool_calls', 'usage_daily', 'messages'])
    expect((await world.sql(`select * from baton.report_${name} limit 1`)).length).toBe(1)
  const may = async (table: string) =>
    (await world.sql<{ may: boolean }>(`select has_table_privilege('baton_analyst', 'baton.${table}', 'select') as may`))[0]?.may
  expect(await may('report_runs')).toBe(true)
  for (const table of ['messages', 'runs', 'api_keys', 'tenants', 'audit', 'repairs'])
    expect({ table, may: await may(table) }).toEqual({ table, may: false })
  const columns = await world.sql<{ name: string }>(
    `select column_name as name from information_schema.columns where table_schema = 'baton' and table_name like 'report_%'`,
  )
  expect(columns.filter(({ name }) => ['content', 'input', 'output', 'metadata', 'data', 'webhook', 'reason'].includes(name))).toEqual([])
})

test('messages and tool calls are found by time: from is inclusive, to is not', async () => {
  await say(world, adminKey, 'timed', { message: tools })
  await world.sql(
    `update baton.messages m set created_at = timestamptz '2026-01-01T00:00:00Z' + m.seq * interval '1 day' from baton.agents a where a.agent_uid = m.agent_uid and a.id = 'timed'`,
  )
  const seqs = async (query: string) =>
    ((await get(`/api/agents/timed/messages?${query}`)).body['data'] as { seq: number }[]).map(({ seq }) => seq)
  expect(await seqs('from=2026-01-03T00:00:00Z')).toEqual([2, 3, 4])
  expect(await seqs('from=2026-01-03T00:00:00Z&to=2026-01-04T00:00:00Z')).toEqual([2])
  expect(await seqs('to=2026-01-03T00:00:00Z&role=user')).toEqual([1])
  const calls = async (query: string) => ((await get(`/api/agents/timed/tool-calls?${query}`)).body['data'] as unknown[]).length
  expect([await calls('from=2026-01-01T00:00:00Z'), await calls('to=2026-01-01T00:00:00Z')]).toEqual([1, 0])
  expect((await get('/api/agents/timed/messages?from=yesterday')).status).toBe(400)
})
