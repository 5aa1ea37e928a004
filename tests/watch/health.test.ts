import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { adminKey, bearer, makeKey, makeTenant, startGuarded, tokenOf } from '#tests/access/kit'
import { scrape } from '#tests/watch/kit'
import { script, type World } from '#tests/world'

const metricsToken = 'a-token-for-prometheus-0123456789abcdef'
let world: World
let receiver: Server
let alerts = ''
const lines: string[] = []
beforeAll(async () => {
  receiver = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      if (request.url === '/dead') return response.writeHead(410).end()
      expect(Object.keys(JSON.parse(body) as object)).toEqual(['text'])
      lines.push((JSON.parse(body) as { text: string }).text)
      return response.end('ok')
    })
  })
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done))
  alerts = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
  world = await startGuarded({
    ownCluster: true,
    env: { BATON_METRICS_TOKEN: metricsToken, BATON_ALERT_WEBHOOK: alerts, BATON_STEP_CRASHES: '1' },
  })
})
afterAll(async () => {
  await world.close()
  receiver.close()
})

const told = (pattern: RegExp): Promise<boolean> => poll(() => lines.some((line) => pattern.test(line)), { everyMs: 50, forMs: 40_000 })
const health = (headers: Record<string, string> = bearer(adminKey)) => world.http('GET', '/api/health', undefined, headers)
const statusOf = async (path: string): Promise<number> => (await fetch(world.base() + path)).status

test('all is well: 200 with every check for who may operate, the status alone for anybody else', async () => {
  let reply = await health()
  const well = async () => (reply = await health()).body['status'] === 'healthy'
  expect(await poll(well, { everyMs: 100, forMs: 60_000 })).toBe(true)
  const { status, body } = reply
  expect(status).toBe(200)
  expect(body).toMatchObject({
    healthy: true,
    status: 'healthy',
    causes: [],
    checks: { database: { connected: true }, redis: { configured: true, connected: true }, migrations: { upToDate: true, missing: [] } },
  })
  const { queue } = body['checks'] as { queue: Record<string, number | null> }
  expect(Object.keys(queue)).toEqual(['lastSweepAgeMs', 'oldestDueAgeMs', 'oldestOutboxAgeMs'])
  const sweepAge = async () => ((await health()).body['checks'] as { queue: Record<string, number | null> }).queue['lastSweepAgeMs']
  expect(await poll(async () => ((await sweepAge()) ?? 9_999) < 4_000, { everyMs: 100, forMs: 60_000 })).toBe(true)

  const reader = await makeKey(world, ['agents:read'])
  const owner = await makeKey(world, ['admin'])
  const tenant = await makeTenant(world, 'ten_other')
  const user = await tokenOf(world, '11111111-1111-4111-8111-111111111111')
  for (const headers of [bearer(owner.key), bearer(metricsToken)]) expect((await health(headers)).body).toHaveProperty('checks')
  for (const headers of [{}, bearer(reader.key), bearer(tenant.key), bearer(user), bearer('bt_unknown'), { authorization: 'Basic x' }]) {
    const reply = await health(headers)
    expect([reply.status, Object.keys(reply.body).toSorted()]).toEqual([200, ['checkedAt', 'healthy', 'status']])
  }
})

test('each probe at each of its addresses', async () => {
  for (const probe of ['live', 'ready', 'startup'])
    for (const path of [`/api/health/${probe}`, `/health/${probe}`, `/${probe}`]) expect([path, await statusOf(path)]).toEqual([path, 200])
  expect([await statusOf('/health'), await statusOf('/metrics')]).toEqual([200, 401])
})

test('metrics are for operators and the token: a tenant that is not the deployment’s own is refused', async () => {
  const tenant = await makeTenant(world, 'ten_third')
  const ask = async (headers: Record<string, string>): Promise<number> => (await fetch(`${world.base()}/api/metrics`, { headers })).status
  const owner = await makeKey(world, ['admin'])
  expect(await Promise.all([bearer(metricsToken), bearer(adminKey), bearer(owner.key)].map(ask))).toEqual([200, 200, 200])
  const others = [{}, bearer(tenant.key), bearer((await makeKey(world, ['agents:read'])).key), bearer(`${metricsToken}x`)]
  expect(await Promise.all(others.map(ask))).toEqual([401, 403, 403, 401])
  // The token opens nothing else.
  for (const path of ['/api/agents', '/api/keys', '/api/usage'])
    expect((await world.http('GET', path, undefined, bearer(metricsToken))).status).toBe(401)
})

test('Redis away is degraded, named, and told once', async () => {
  // Where a machine stood still before, that was told, and the same status is not told again for ten minutes.
  await world.sql(`delete from baton.alerts where cause like 'health:%'`)
  lines.length = 0
  await world.stack.halt('redis')
  let reply = await health()
  const named = async () => String((reply = await health()).body['causes']).includes('Redis does not answer')
  expect(await poll(named, { everyMs: 100, forMs: 60_000 })).toBe(true)
  expect([reply.status, reply.body['status'], await statusOf('/api/health/ready')]).toEqual([200, 'degraded', 200])
  expect(await told(/degraded: .*Redis/)).toBe(true)
  world.stack.resume('redis')
  await world.stack.waitReady('redis')
  expect(await poll(async () => (await health()).body['status'] === 'healthy', { everyMs: 200, forMs: 60_000 })).toBe(true)
  expect(await told(/is healthy\./)).toBe(true)
  expect(lines.filter((line) => /degraded: .*Redis/.test(line))).toHaveLength(1)
})

test('a dead clock: degraded after 2 sweep periods, 503 after 4, and the cause is Inngest', async () => {
  await world.stack.halt('executor')
  expect(await poll(async () => (await health()).body['status'] === 'degraded', { everyMs: 100, forMs: 60_000 })).toBe(true)
  // Requests sweep too, and must not hide it.
  await world.send('busy', script({ text: 'x' }), { prefer: 'wait=5', headers: bearer(adminKey) })
  expect(await poll(async () => (await health()).status === 503, { everyMs: 100, forMs: 60_000 })).toBe(true)
  const { body } = await health()
  expect(body).toMatchObject({ healthy: false, status: 'unhealthy' })
  expect(String(body['causes'])).toMatch(/The clock \(Inngest\) has not called/)
  expect((await scrape(world, { headers: bearer(metricsToken) })).of('baton_sweep_age_seconds')).toBeGreaterThan(8)
  expect(await told(/unhealthy: .*Inngest/)).toBe(true)
  world.stack.resume('executor')
  await world.stack.waitReady('executor')
  expect(await poll(async () => (await health()).body['status'] === 'healthy', { everyMs: 200, forMs: 60_000 })).toBe(true)
})

test('a migration of this build that is missing: not ready, not started, unhealthy, and named', async () => {
  const [last] = await world.sql<{ name: string }>('select max(name) as name from baton.migrations')
  await world.sql(`update baton.migrations set name = 'x' where name = $1`, [last?.name])
  expect(await Promise.all(['/ready', '/startup', '/health', '/live'].map(statusOf))).toEqual([503, 503, 503, 200])
  expect((await health()).body).toMatchObject({ checks: { migrations: { upToDate: false, missing: [last?.name] } } })
  await world.sql(`update baton.migrations set name = $1 where name = 'x'`, [last?.name])
  // Newer code on an older schema: what it lacks is said, to callers too, and does not look like a fault of Postgres.
  await world.sql('alter function public.baton_open(jsonb) rename to open_away')
  const early = await world.send('early', script({ text: 'x' }), { headers: bearer(adminKey) })
  await world.sql('alter function public.open_away(jsonb) rename to baton_open')
  expect(early).toMatchObject({ status: 503, body: { code: 'not_configured', detail: expect.stringMatching(/npm run migrate/) } })
  await world.sql('alter function public.baton_health(jsonb) rename to health_away')
  expect(await Promise.all(['/ready', '/startup', '/health', '/live'].map(statusOf))).toEqual([503, 503, 503, 200])
  expect((await health()).body['causes']).toEqual([expect.stringMatching(/^The migrations of this build are not applied/)])
  await world.sql('alter function public.health_away(jsonb) rename to baton_health')
  expect(await Promise.all(['/ready', '/startup', '/health'].map(statusOf))).toEqual([200, 200, 200])
})

test('a full budget, a disabled endpoint and a poisoned run are told, once each', async () => {
  const operator = bearer(adminKey)
  const wait = { prefer: 'wait=10', headers: operator }
  await world.http('PUT', '/api/budgets/agent:spender', { period: 'day', limitMicros: 9_990 }, operator)
  const dead = new URL('/dead', alerts).href
  expect((await world.http('POST', '/api/webhooks', { url: dead }, operator)).status).toBe(201)
  for (let n = 0; n < 2; n++) await world.send('spender', script({ text: 'x', usage: { input: 0, output: 666 } }), wait)
  expect(await told(/budget of agent:spender .*day.* is used up/)).toBe(true)
  expect(await told(/webhook endpoint .* is disabled \(gone\)/)).toBe(true)
  const { body } = await world.http('POST', '/api/local/crash', { at: 'before', call: 'model', nth: 1, times: 2 }, operator)
  expect(body).not.toHaveProperty('code')
  const poison = await world.send('poison', script({ text: 'never' }), { prefer: 'respond-async', headers: operator })
  const crashed = async () =>
    (await world.sql(`select 1 from baton.runs where run_id = $1 and stop_reason = 'step_crashed'`, [poison.body['runId']])).length === 1
  expect(await poll(crashed, { everyMs: 200, forMs: 60_000 })).toBe(true)
  await world.stack.waitReady('server-0')
  expect(await told(/run of template scripted was given up/)).toBe(true)
  // The same cause again: known, and not to be told.
  await world.sql(`select baton.raise_alert('local', 'poisoned:scripted', 'another run')`)
  const pending = async () => (await world.sql(`select 1 from baton.alerts where cause = 'poisoned:scripted' and pending`)).length > 0
  expect(await poll(async () => !(await pending()), { everyMs: 50, forMs: 60_000 })).toBe(true)
  for (const part of ['spender', 'is disabled', 'given up'])
    expect([part, lines.filter((line) => line.includes(part)).length]).toEqual([part, 1])
})

test('Postgres away: 503 within 3 s, named, told though nobody can be asked, live all the same', async () => {
  await world.stack.halt('postgres')
  const times: number[] = []
  let reply = await health()
  for (let turn = 0; turn < 3; turn++) {
    const from = performance.now()
    reply = await health()
    times.push(performance.now() - from)
  }
  // A busy machine may take one of them longer.
  expect(Math.min(...times)).toBeLessThan(3_000)
  expect([reply.status, reply.headers.get('retry-after')]).toEqual([503, '2'])
  expect(String(reply.body['causes'])).toMatch(/Postgres does not answer/)
  expect(await Promise.all(['/live', '/ready', '/startup'].map(statusOf))).toEqual([200, 503, 503])
  expect(await told(/unhealthy: Postgres/)).toBe(true)
  world.stack.resume('postgres')
  await world.stack.waitReady()
  expect(await poll(async () => (await health()).body['status'] === 'healthy', { everyMs: 200, forMs: 60_000 })).toBe(true)
})
