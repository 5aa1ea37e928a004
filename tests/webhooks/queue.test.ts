import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { authority, beside, execution, hold, ids, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'
import { attempt, endedRun, failure, register, success, takeDelivery, tenantTwo } from '#tests/webhooks/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
})
afterAll(() => kit.close())

const sweep = async (limit: number, environment = 'test') =>
  (await kit.store.sweep({ environment, everyMs: 0, resendMs: 10_000, limit })).outbox.filter((row) => row.kind === 'webhook')
const flood = (tenant: string, count: number) =>
  kit.sql(
    `insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, url, type, payload, next_at, queued_at)
    select 'dlv_' || $1 || g, 'evt', $1, 'test', 'https://example.com/', 'x', '{}', baton.clock() - interval '1 hour', baton.clock() - interval '1 hour'
    from generate_series(1, $2::integer) g`,
    [tenant, count],
  )
const logOf = async (webhook: string) => ok(await kit.store.listDeliveries(authority, { webhook, limit: 50, after: null })).data

test('a flood of one tenant does not hold up another in the sweep, and is swept oldest first without doubles', async () => {
  await flood('one', 3_000)
  await flood('two', 3)
  const first = await sweep(20)
  expect(first).toHaveLength(20)
  expect(first.filter((row) => row.data.tenantId === 'two')).toHaveLength(3)
  const second = await sweep(20)
  expect(second.every((row) => row.data.tenantId === 'one')).toBe(true)
  const ids = [...first, ...second].map((row) => row.data.deliveryId)
  expect(new Set(ids).size).toBe(40)
  expect(await sweep(20, 'elsewhere')).toEqual([])
  await kit.sql(`delete from baton.webhook_deliveries`)
  await kit.sql(`delete from baton.outbox where kind = 'webhook'`)
})

test('the log keeps the last 20 attempts', async () => {
  const endpoint = await register(kit)
  const { deliveries } = await endedRun(kit, 'logged')
  for (let n = 1; n <= 22; n++) await attempt(kit, deliveries[0] ?? '', { retryInMs: 0 })
  const [delivery] = await logOf(endpoint.id)
  expect(delivery?.log.map((entry) => entry.attempt)).toEqual(Array.from({ length: 20 }, (_, n) => n + 3))
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('a tenant has two lanes, whatever its receivers; while one fails it has the second to itself', async () => {
  const lanes = async (agent: string, url: string) => {
    const { runId } = await endedRun(kit, agent, { webhook: { url, secret: null } })
    return kit.sql<{ lane: string; id: string }>(
      `select o.data ->> 'lane' as lane, d.id from baton.outbox o join baton.webhook_deliveries d on d.id = o.data ->> 'deliveryId'
      where d.run_id = $1 order by d.number`,
      [runId],
    )
  }
  const of = (rows: { lane: string }[]) => rows.map(({ lane }) => lane)
  const spread = await Promise.all(Array.from({ length: 8 }, (_, n) => lanes(`lane-${n}`, `https://h${n}.example.com/x`)))
  expect(new Set(spread.flatMap(of))).toEqual(new Set(['one 0', 'one 1']))
  // One receiver keeps to its own.
  expect(of(await lanes('lane-8', 'https://h3.example.com/y'))).toEqual(of(spread[3] ?? []))
  const [well, ill] = [await register(kit), await register(kit, { url: 'https://ill.example.com/' })]
  const failed = await attempt(kit, (await lanes('lane-9', 'https://h0.example.com/x'))[2]?.id ?? '')
  expect(failed.outbox).toMatchObject([{ data: { lane: 'one 1' }, dueInMs: expect.any(Number) }])
  for (let n = 0; n < 8; n++) expect(of(await lanes(`ill-${n}`, `https://h${n}.example.com/x`))).toEqual(['one 0', 'one 0', 'one 1'])
  for (const { id } of [well, ill]) ok(await kit.store.deleteWebhook(authority, id))
})

test('an outcome is recorded once, by the worker of that attempt, in its environment', async () => {
  const endpoint = await register(kit)
  const [id = ''] = (await endedRun(kit, 'recorded')).deliveries
  expect(ok(await takeDelivery(kit, id))).toMatchObject({ attempt: 1, tries: 1, endpointId: endpoint.id })
  const record = { ...failure, id, attempt: 1, snippet: 'x'.repeat(5_000) }
  expect(await kit.store.recordDelivery({ ...record, environment: 'elsewhere' })).toMatchObject({ code: 'nothing_due' })
  expect(await kit.store.recordDelivery({ ...record, attempt: 2 })).toMatchObject({ code: 'nothing_due' })
  const twice = await Promise.all([kit.store.recordDelivery(record), kit.store.recordDelivery(record)])
  expect(twice.filter((answer) => answer.ok)).toHaveLength(1)
  expect(ok(await kit.store.getWebhook(authority, endpoint.id)).webhook.failures).toBe(1)
  const [delivery] = await logOf(endpoint.id)
  expect(delivery?.log).toHaveLength(1)
  expect(delivery?.log[0]?.response).toHaveLength(1_024)
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('a failure of Baton’s own does not count against the endpoint, a refused address is in the audit', async () => {
  const endpoint = await register(kit)
  const ours = (await endedRun(kit, 'ours')).deliveries[0] ?? ''
  await attempt(kit, ours, { blame: false })
  expect(ok(await kit.store.getWebhook(authority, endpoint.id)).webhook).toMatchObject({ failures: 0, failingSince: null })
  const inside = (await endedRun(kit, 'inside')).deliveries[0] ?? ''
  await attempt(kit, inside, { refused: true, error: 'The address is not public and was not called' })
  const entries = await kit.sql(`select action, decision, code, actor from baton.audit where data ->> 'delivery' = $1`, [inside])
  expect(entries).toEqual([{ action: 'webhook.deliver', decision: 'refused', code: 'webhook_refused', actor: 'system' }])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('redelivery: the same id at once with the whole schedule before it; one that is being attempted is left alone', async () => {
  const endpoint = await register(kit)
  const of = { webhook: endpoint.id, delivery: (await endedRun(kit, 'again')).deliveries[0] ?? '' }
  const before = ok(await kit.store.getDelivery(authority, of)).delivery
  const taken = ok(await takeDelivery(kit, of.delivery))
  expect(ok(await kit.store.redeliver(authority, of)).outbox).toEqual([])
  ok(await kit.store.recordDelivery({ ...failure, id: of.delivery, attempt: taken.attempt, retryInMs: null }))
  for (const round of [2, 3]) {
    const { outbox, delivery } = ok(await kit.store.redeliver(authority, of))
    expect(outbox).toMatchObject([{ data: { deliveryId: of.delivery }, dueInMs: 0 }])
    expect(delivery).toMatchObject({ state: 'pending', eventId: before.eventId, attempts: round - 1 })
    expect(ok(await takeDelivery(kit, of.delivery))).toMatchObject({ attempt: round, tries: 1, eventId: before.eventId })
    ok(await kit.store.recordDelivery({ ...failure, ...success, id: of.delivery, attempt: round }))
  }
  expect(ok(await kit.store.getDelivery(authority, of)).delivery).toMatchObject({
    state: 'delivered',
    attempts: 3,
    payload: before.payload,
  })
  const audited = await kit.sql(`select actor from baton.audit where action = 'webhook.redeliver' and data ->> 'delivery' = $1`, [
    of.delivery,
  ])
  expect(audited).toEqual(Array(3).fill({ actor: 'tester' }))
  expect(await kit.store.redeliver(tenantTwo, of)).toMatchObject({ code: 'delivery_not_found' })
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('deleting an endpoint while its deliveries are worked on leaves nothing behind and breaks nobody', async () => {
  const endpoint = await register(kit)
  const ids: string[] = []
  for (let n = 0; n < 6; n++) ids.push(...(await endedRun(kit, `raced-${n}`)).deliveries)
  const taken = await Promise.all(ids.map((id) => takeDelivery(kit, id)))
  expect(taken.every((one) => one.ok)).toBe(true)
  const [deleted, ...recorded] = await Promise.all([
    kit.store.deleteWebhook(authority, endpoint.id),
    ...ids.map((id) => kit.store.recordDelivery({ ...failure, id, attempt: 1, gone: id === ids[3], retryInMs: null })),
  ])
  expect(deleted.ok).toBe(true)
  for (const answer of recorded) if (!answer.ok) expect(answer.code).toBe('nothing_due')
  expect(await kit.sql('select 1 from baton.webhook_deliveries where endpoint_id = $1', [endpoint.id])).toEqual([])
})

test('a worker that finds the endpoint disabled while it is being enabled waits for that, and lays nothing aside behind its back', async () => {
  const endpoint = await register(kit)
  const [id = ''] = (await endedRun(kit, 'toggled')).deliveries
  ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: false }))
  const enabling = new pg.Client({ connectionString: kit.databaseUrl })
  await enabling.connect()
  try {
    await enabling.query('begin')
    const request = { ...authority, webhook: endpoint.id, enabled: true }
    await enabling.query('select public.baton_patch_webhook($1::jsonb)', [JSON.stringify(request)])
    let answered = false
    const taking = takeDelivery(kit, id).finally(() => (answered = true))
    const waits = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    await poll(async () => answered || (await kit.sql(waits)).length > 0, { everyMs: 10, forMs: 60_000 })
    await enabling.query('commit')
    expect(await taking).toMatchObject({ ok: true, id })
  } finally {
    await enabling.end()
  }
  expect((await logOf(endpoint.id))[0]?.nextAt).not.toBeNull()
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('an endpoint that is enabled again or moved gets at once what waits, whenever its next try was; what is in hand is left to its attempt', async () => {
  const endpoint = await register(kit)
  const ended = []
  for (let n = 0; n < 3; n++) ended.push(...(await endedRun(kit, `waits-${n}`)).deliveries)
  const [first = '', second = '', inHand = ''] = ended
  const fail = () => Promise.all([first, second].map((id) => attempt(kit, id, { retryInMs: 24 * 3_600_000 })))
  const change = async (patch: object) => {
    const { outbox } = ok(await kit.store.patchWebhook(authority, endpoint.id, patch))
    return outbox.map(({ data, dueInMs }) => [data.deliveryId, dueInMs])
  }
  const both = [first, second].map((id) => [id, 0])
  await fail()
  const taken = ok(await takeDelivery(kit, inHand))
  expect(await change({ enabled: false })).toEqual([])
  expect(await change({ enabled: true })).toEqual(both)
  await fail()
  expect(await change({ description: 'nothing that matters' })).toEqual([])
  expect(await change({ url: 'https://example.com/moved' })).toEqual(both)
  expect(ok(await takeDelivery(kit, first))).toMatchObject({ url: 'https://example.com/moved', attempt: 3 })
  expect(await change({ enabled: false })).toEqual([])
  expect(await change({ url: 'https://example.com/again' })).toEqual([])
  ok(await kit.store.recordDelivery({ ...failure, ...success, id: inHand, attempt: taken.attempt }))
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('enabling waits for nobody who holds a delivery: whoever does may wait for the endpoint', async () => {
  const endpoint = await register(kit)
  const [id = ''] = (await endedRun(kit, 'held-by-another')).deliveries
  await attempt(kit, id)
  ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: false }))
  const holder = new pg.Client({ connectionString: kit.databaseUrl })
  await holder.connect()
  try {
    await holder.query('begin')
    await holder.query('select from baton.webhook_deliveries where id = $1 for update', [id])
    expect(ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: true })).outbox).toEqual([])
    await holder.query('commit')
  } finally {
    await holder.end()
  }
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('a redelivery that is refused holds nothing: an endpoint that is enabled meanwhile gets what waits', async () => {
  const endpoint = await register(kit)
  const [delivery = ''] = (await endedRun(kit, 'refused-beside')).deliveries
  ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: false }))
  expect(await takeDelivery(kit, delivery)).toMatchObject({ code: 'nothing_due' })
  const enable = () => kit.store.patchWebhook(authority, endpoint.id, { enabled: true })
  const { outbox } = ok(await beside(kit, 'redeliver', { ...authority, webhook: endpoint.id, delivery }, enable))
  expect(outbox.map(({ data }) => data.deliveryId)).toEqual([delivery])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('of two workers one has a delivery, and twins do not pass the bound of endpoints together', async () => {
  const endpoint = await register(kit)
  const [id = ''] = (await endedRun(kit, 'twice-taken')).deliveries
  expect(await beside(kit, 'take_delivery', { id, environment: 'test', holdMs: 60_000 }, () => takeDelivery(kit, id))).toMatchObject({
    ok: false,
  })
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
  const twin = () => ({ webhook: ids.make('whe'), url: 'https://example.com/', events: null, description: null, sealed: 's', most: 1 })
  const second = () => kit.store.createWebhook(tenantTwo, twin())
  expect(await beside(kit, 'create_webhook', { ...tenantTwo, ...twin() }, second)).toMatchObject({ code: 'webhook_limit' })
})

test('an attempt whose process died stands in the log, and its outcome counts no more', async () => {
  const endpoint = await register(kit)
  const [id = ''] = (await endedRun(kit, 'died-at-it')).deliveries
  ok(await takeDelivery(kit, id))
  await kit.advance(61_000)
  expect(ok(await takeDelivery(kit, id)).attempt).toBe(2)
  expect(await kit.store.recordDelivery({ ...failure, id, attempt: 1 })).toMatchObject({ code: 'nothing_due' })
  const [{ log } = { log: [] }] = await logOf(endpoint.id)
  expect(log).toMatchObject([{ attempt: 1, status: null, error: expect.stringContaining('its outcome is unknown') }])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('an agent that is deleted takes its deliveries with it', async () => {
  const endpoint = await register(kit)
  await endedRun(kit, 'leaving')
  await kit.sql(`insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, agent_uid, endpoint_id, url, type, payload)
    select 'dlv_of_agent', 'evt', tenant_id, environment, agent_uid, '${endpoint.id}', 'x', 'agent.killed', '{}' from baton.agents where id = 'leaving'`)
  expect(await logOf(endpoint.id)).toHaveLength(2)
  ok(await kit.store.deleteAgent(authority, 'leaving'))
  expect(await logOf(endpoint.id)).toEqual([])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('a threshold that a deletion passes is told with ids and amounts alone, and to nobody but the tenant', async () => {
  ok(await kit.store.putBudget(authority, { scope: 'agent:leaves', period: 'day' }, { limitMicros: 1_000 }))
  const endpoint = await register(kit, { events: ['budget.threshold'] })
  const hook = { url: 'https://example.com/of-the-message', secret: null }
  const run = { ...openRequest('leaves').run, metadata: { kept: 'a secret' }, webhook: hook }
  const held = await hold(kit, 'leaves', { run, execute: execution(850) })
  await kit.sql(`update baton.agents set webhook = '{"url": "https://example.com/of-the-agent"}' where agent_uid = $1`, [held.agentUid])
  ok(await kit.store.deleteAgent(authority, 'leaves'))
  const told = await kit.sql<{ url: string; payload: { data: object } }>(
    'select url, payload from baton.webhook_deliveries where agent_uid = $1',
    [held.agentUid],
  )
  expect(told.map(({ url }) => url)).toEqual([endpoint.url])
  expect(told[0]?.payload.data).toMatchObject({ agentId: 'leaves', budget: { scope: 'agent:leaves', level: 80, spentMicros: 850 } })
  expect(told[0]?.payload.data).toMatchObject({ runId: null, usage: null, output: null, metadata: null })
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})
