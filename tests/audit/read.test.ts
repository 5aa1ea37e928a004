import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { runOf } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const wait = { prefer: 'wait=25' }
const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
type Entry = Record<string, unknown>

async function entries(query: string): Promise<Entry[]> {
  const reply = await world.http('GET', `/api/audit?${query}`)
  expect(reply.status, JSON.stringify(reply.body)).toBe(200)
  return reply.body['data'] as Entry[]
}

test('A81: GET /api/audit?agent= has one entry for each decision, with actor, code, request and trace', async () => {
  const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01`, 'x-request-id': 'req_told' }
  const reply = await world.send('told', script({ text: 'Hello' }), { ...wait, headers, key: 'k-1' })
  expect((await world.send('told', script({ text: 'Hello' }), { ...wait, key: 'k-1' })).headers.get('idempotent-replayed')).toBe('true')
  const refused = await world.send('told', 'x', { limits: { maxSteps: 1_000_000 }, headers: { 'x-request-id': 'req_refused' } })
  expect(refused.status).toBe(400)
  const told = (await entries('agent=told&order=asc')).filter((entry) => entry['action'] === 'message.accept')
  expect(told).toMatchObject([
    { actor: 'local', decision: 'allowed', code: null, runId: runOf(reply), requestId: 'req_told', traceId: trace },
    { actor: 'local', decision: 'refused', code: 'limit_above_template', requestId: 'req_refused', data: { limit: 'maxSteps' } },
  ])
  expect(told).toHaveLength(2)
  // A paid call: what was expected of it, what it cost, and what the run has cost with it.
  const { costMicros } = await world.run(runOf(reply))
  const paid = (await entries('agent=told')).filter((entry) => entry['action'] === 'model.call')
  expect(paid).toMatchObject([{ decision: 'allowed', runId: runOf(reply), costMicros, totalMicros: costMicros, traceId: trace }])
  expect(paid[0]?.['estimateMicros']).toBeGreaterThanOrEqual(costMicros)
})

test('filters, order and cursor; what is no filter is refused with all problems', async () => {
  for (const name of ['f-1', 'f-2', 'f-3']) await world.http('POST', '/api/agents', { id: name, template: 'scripted' })
  await world.http('DELETE', '/api/agents/f-2')
  expect((await entries('action=agent.delete')).map((entry) => entry['agentId'])).toEqual(['f-2'])
  expect((await entries('agent=f-2&order=asc')).map((entry) => entry['action'])).toEqual(['agent.create', 'agent.delete'])
  expect(await entries('actor=key:nobody')).toEqual([])
  expect((await entries('decision=refused')).every((entry) => entry['decision'] === 'refused')).toBe(true)
  const [first] = await entries('agent=f-1')
  const at = String(first?.['at'])
  expect(await entries(`agent=f-1&to=${encodeURIComponent(at)}`)).toEqual([])
  expect(await entries(`agent=f-1&from=${encodeURIComponent(at)}`)).toHaveLength(1)

  const seen: unknown[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { body } = await world.http('GET', `/api/audit?limit=2&action=agent.create${cursor === '' ? '' : `&cursor=${cursor}`}`)
    seen.push(...(body['data'] as Entry[]).map((entry) => entry['agentId']))
    cursor = body['nextCursor'] as string | null
  }
  expect(seen).toEqual(['f-3', 'f-2', 'f-1'])
  const bad = await world.http('GET', '/api/audit?from=yesterday&decision=maybe&action=x&limit=0&color=red')
  expect(bad.status).toBe(400)
  expect((bad.body['problems'] as unknown[]).length).toBeGreaterThanOrEqual(5)
  expect((await world.http('GET', '/api/audit?cursor=abc')).body['code']).toBe('invalid_cursor')
  expect((await world.http('DELETE', '/api/audit')).status).toBe(405)
})

test('an export of more than 1,000 entries is complete, in order, one document a line', async () => {
  await world.sql(`insert into baton.audit (tenant_id, environment, actor, action, decision, agent_id, reason)
    select 'ten_local', 'local', 'x', 'bulk.entry', 'recorded', 'bulk', 'password=letmein' || g from generate_series(1, 1003) g`)
  await world.sql(`insert into baton.tenants (id, environment) values ('ten_other', 'local')`)
  await world.sql(
    `insert into baton.audit (tenant_id, environment, actor, action, decision) values ('ten_other', 'local', 'x', 'bulk.entry', 'recorded')`,
  )
  const response = await fetch(`${world.base()}/api/audit?action=bulk.entry&order=asc&limit=50`, {
    headers: { accept: 'application/x-ndjson' },
  })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toContain('application/x-ndjson')
  const text = await response.text()
  expect(text.endsWith('\n')).toBe(true)
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Entry)
  expect(lines).toHaveLength(1_003)
  expect(new Set(lines.map((entry) => entry['id'])).size).toBe(1_003)
  expect(lines.map((entry) => entry['id'])).toEqual(lines.map((entry) => Number(entry['id'])).toSorted((a, b) => a - b))
  expect(lines.every((entry) => entry['reason'] === 'password=[redacted]')).toBe(true)
  const exact = await fetch(`${world.base()}/api/audit?action=bulk.entry&from=2999-01-01T00:00:00Z`, {
    headers: { accept: 'application/x-ndjson' },
  })
  expect([exact.status, await exact.text()]).toEqual([200, ''])
})

test('A81: while the log takes no entries runs go on, and health tells how many are missing', async () => {
  const failures = async (): Promise<number> => {
    // A machine that is held up for two seconds has a database that does not answer: asked again.
    let body: Record<string, unknown> = {}
    expect(
      await poll(async () => (({ body } = await world.http('GET', '/api/health')), body['healthy'] === true), {
        everyMs: 100,
        forMs: 60_000,
      }),
    ).toBe(true)
    return (body['checks'] as { audit: { auditFailures: number } }).audit.auditFailures
  }
  expect(await failures()).toBe(0)
  await world.sql(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no room'; end $$`)
  await world.sql('create trigger refuse before insert on baton.audit for each row execute function public.refuse()')
  const reply = await world.send('unseen', script({ tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'done it' }), wait)
  expect(reply).toMatchObject({ status: 200, body: { output: 'done it' } })
  expect(await poll(async () => (await failures()) >= 1, { everyMs: 100, forMs: 60_000 })).toBe(true)
  await world.sql('drop trigger refuse on baton.audit')
  expect(await entries('agent=unseen')).toEqual([])
})

test('every answer carries the headers that keep browsers from mistaking it', async () => {
  for (const [method, where] of [
    ['GET', '/api/audit'],
    ['GET', '/api/nowhere'],
    ['POST', '/api/audit'],
    ['GET', '/api/health'],
  ] as const) {
    const { headers } = await world.http(method, where)
    expect(headers.get('x-content-type-options'), where).toBe('nosniff')
    expect(headers.get('content-security-policy'), where).toContain("default-src 'none'")
    expect(headers.get('referrer-policy'), where).toBe('no-referrer')
    expect(headers.get('cross-origin-resource-policy'), where).toBe('same-origin')
    expect(headers.get('cache-control'), where).toBe('no-store')
    expect(headers.get('strict-transport-security'), `${where}: a local server has no certificate`).toBe(null)
  }
})
