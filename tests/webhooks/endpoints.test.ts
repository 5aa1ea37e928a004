import { afterAll, beforeAll, expect, test } from 'vitest'
import { answered, asUser, authority, commit, hold, ids, ok, openRequest, settings, startStore, type StoreKit } from '#tests/store/kit'
import { attempt, endedRun, register, success, takeDelivery, tenantTwo } from '#tests/webhooks/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
})
afterAll(() => kit.close())

const rowsOf = (runId: string) =>
  kit.sql<{
    event_id: string
    endpoint_id: string | null
    url: string
    secret: string | null
    type: string
    payload: { timestamp: string }
  }>('select event_id, endpoint_id, url, secret, type, payload from baton.webhook_deliveries where run_id = $1 order by number', [runId])
const audited = (webhook: string) =>
  kit.sql<{ action: string; decision: string; actor: string; code: string | null }>(
    `select action, decision, actor, code from baton.audit where data ->> 'webhook' = $1 order by id`,
    [webhook],
  )

test('one event under one id reaches the message’s address and each endpoint whose filter matches, in the same transaction', async () => {
  const all = await register(kit)
  const completed = await register(kit, { events: ['run.completed', 'run.failed'] })
  const failed = await register(kit, { events: ['run.failed'] })
  const theirs = await register(kit, { as: tenantTwo })
  const { runId, deliveries } = await endedRun(kit, 'fan', { webhook: { url: 'https://example.com/own', secret: 'own' } })
  const rows = await rowsOf(runId)
  expect(rows.map((row) => row.endpoint_id)).toEqual([null, all.id, completed.id])
  expect(deliveries).toHaveLength(3)
  expect(new Set(rows.map((row) => row.event_id)).size).toBe(1)
  expect(rows[0]).toMatchObject({ url: 'https://example.com/own', secret: 'own', type: 'run.completed' })
  expect(rows[1]).toMatchObject({ secret: null, payload: rows[0]?.payload })
  // A run's reader sees where its own address stands; endpoints are for administrators.
  expect(ok(await kit.store.getRun(authority, runId)).webhooks.map((one) => one.url)).toEqual(['https://example.com/own'])
  for (const { id } of [all, completed, failed]) ok(await kit.store.deleteWebhook(authority, id))
  ok(await kit.store.deleteWebhook(tenantTwo, theirs.id))
  expect(await rowsOf((await endedRun(kit, 'fan')).runId)).toEqual([])
})

test('each kind of end has its own event, also of a message that never began', async () => {
  const endpoint = await register(kit)
  const typesOf = async (runId: string) => (await rowsOf(runId)).map(({ type }) => type)
  const ends = [
    ['completed', 'end_turn', 'run.completed'],
    ['failed', 'max_steps', 'run.failed'],
    ['cancelled', 'cancelled', 'run.cancelled'],
    ['budget_exceeded', 'budget_exceeded', 'run.failed'],
    ['expired', 'expired', 'run.failed'],
  ] as const
  for (const [state, stopReason, type] of ends) {
    const held = await hold(kit, `ends-${state}`)
    await commit(kit, held, answered(), { end: { state, stopReason, output: null, error: null } })
    expect(await typesOf(held.runId)).toEqual([type])
  }
  await hold(kit, 'ends-busy')
  const [cancelled, killed] = [ok(await kit.store.open(openRequest('ends-busy'))), ok(await kit.store.open(openRequest('ends-busy')))]
  ok(await kit.store.stop(authority, { runId: cancelled.run.id }, 'cancelled', null))
  ok(await kit.store.setSwitch(authority, { scope: `run:${killed.run.id}`, mode: 'kill', reason: 'a test' }))
  expect([await typesOf(cancelled.run.id), await typesOf(killed.run.id)]).toEqual([['run.cancelled'], ['agent.killed']])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('the address of the message goes before that of the agent, and that before the tenant’s; so do their secrets', async () => {
  const address = (of: string) => ({ url: `https://example.com/${of}`, secret: of })
  await kit.sql(`update baton.tenants set webhook = '{"url": "https://example.com/tenant"}' where id = 'one'`)
  const { agent } = openRequest('addressed')
  ok(await kit.store.createAgent({ ...authority, agent: { ...agent, webhook: address('agent') }, versions: { plain: 'v1' }, settings }))
  const runs = [
    await endedRun(kit, 'addressed', { webhook: address('message') }),
    await endedRun(kit, 'addressed'),
    await endedRun(kit, 'unaddressed'),
  ]
  const rows = await Promise.all(runs.map(({ runId }) => rowsOf(runId)))
  expect(rows).toMatchObject([[address('message')], [address('agent')], [{ url: 'https://example.com/tenant', secret: 'sealed' }]])
  await kit.sql(`update baton.tenants set webhook = null where id = 'one'`)
})

test('a user reads of their run, and not where the tenant is told of it', async () => {
  const as = { ...authority, credential: asUser(ids.uuid()) }
  const { runId } = await endedRun(kit, 'of-a-user', { as, webhook: { url: 'https://example.com/own', secret: null } })
  const told = async (by: typeof authority) => ok(await kit.store.getRun(by, runId)).webhooks.map(({ url }) => url)
  expect([await told(authority), await told(as)]).toEqual([['https://example.com/own'], []])
})

test('an event carries the first 2,000 characters of the answer', async () => {
  const held = await hold(kit, 'long-answer', {
    run: { ...openRequest('x').run, webhook: { url: 'https://example.com/own', secret: null } },
  })
  const output = 'x'.repeat(2_001)
  await commit(kit, held, answered(output), { end: { state: 'completed', stopReason: 'end_turn', output, error: null } })
  expect(await rowsOf(held.runId)).toMatchObject([{ payload: { data: { output: output.slice(1) } } }])
})

test('run.handed_off is written only for endpoints that name it', async () => {
  const [plain, asking] = [await register(kit), await register(kit, { events: ['run.handed_off'] })]
  const held = await hold(kit, 'handed')
  const answer = await commit(kit, held, answered('on'), { release: 'slice_deadline' })
  const rows = await rowsOf(held.runId)
  expect(rows).toMatchObject([
    { endpoint_id: asking.id, type: 'run.handed_off', payload: { data: { reason: 'slice_deadline', slice: 1 } } },
  ])
  expect(answer.outbox.map((row) => row.kind).toSorted()).toEqual(['continue', 'webhook'])
  ok(await kit.store.deleteWebhook(authority, asking.id))
  const quiet = await hold(kit, 'handed-2')
  await commit(kit, quiet, answered('on'), { release: 'slice_deadline' })
  expect(await rowsOf(quiet.runId)).toEqual([])
  ok(await kit.store.deleteWebhook(authority, plain.id))
})

test('a rotated secret: both sign during the overlap, the new one alone after it, and never more than two', async () => {
  const endpoint = await register(kit, { sealed: 'first' })
  const { deliveries } = await endedRun(kit, 'rotating')
  const secrets = async () => {
    const taken = ok(await takeDelivery(kit, deliveries[0] ?? ''))
    await kit.advance(61_000)
    return taken.secrets
  }
  expect(await secrets()).toEqual(['first'])
  const rotate = (sealed: string, overlapMs: number) => kit.store.rotateWebhook(authority, { webhook: endpoint.id, sealed, overlapMs })
  const { webhook } = ok(await rotate('second', 3_600_000))
  expect(webhook.secrets).toMatchObject([{ expiresAt: null }, { expiresAt: expect.any(String) }])
  expect(JSON.stringify(webhook)).not.toContain('second')
  expect(await secrets()).toEqual(['second', 'first'])
  ok(await rotate('second', 3_600_000))
  expect(await secrets()).toEqual(['second', 'first'])
  ok(await rotate('third', 3_600_000))
  expect(await secrets()).toEqual(['third', 'second'])
  await kit.advance(3_600_000)
  expect(await secrets()).toEqual(['third'])
  // What signs nothing any more is not shown as if it did.
  expect(ok(await kit.store.getWebhook(authority, endpoint.id)).webhook.secrets).toMatchObject([{ expiresAt: null }])
  ok(await rotate('fourth', 0))
  expect(await secrets()).toEqual(['fourth'])
  expect((await audited(endpoint.id)).map((entry) => entry.action)).toEqual(['webhook.create', ...Array(3).fill('webhook.rotate')])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('410 disables at once, failing for three days and ten attempts disables, success in between forgives', async () => {
  const [endpoint, other] = [await register(kit), await register(kit, { events: ['webhook.disabled'] })]
  const delivery = async () => (await endedRun(kit, 'failing')).deliveries[0] ?? ''
  const read = async () => ok(await kit.store.getWebhook(authority, endpoint.id)).webhook
  const first = await delivery()
  expect(await attempt(kit, first)).toMatchObject({ disabled: null })
  expect(await read()).toMatchObject({ failures: 1, failingSince: expect.any(String), lastError: 'no', enabled: true })
  await attempt(kit, await delivery(), success)
  expect(await read()).toMatchObject({ failures: 0, failingSince: null, lastError: null })
  // Often enough and not for long enough; long enough and not often enough; both.
  for (let n = 0; n < 11; n++) expect(await attempt(kit, await delivery(), { retryInMs: null })).toMatchObject({ disabled: null })
  await attempt(kit, await delivery(), success)
  await attempt(kit, await delivery(), { retryInMs: null })
  await kit.advance(73 * 3_600_000)
  for (let n = 0; n < 8; n++) expect(await attempt(kit, await delivery(), { retryInMs: null })).toMatchObject({ disabled: null })
  const last = await attempt(kit, await delivery())
  expect(last).toMatchObject({ disabled: 'failing', failures: 10 })
  expect(await read()).toMatchObject({ enabled: false, disabledReason: 'failing', disabledAt: expect.any(String), failures: 10 })
  const told = ok(await kit.store.listDeliveries(authority, { webhook: other.id, limit: 10, after: null })).data
  expect(told).toMatchObject([{ type: 'webhook.disabled', state: 'pending', runId: null }])
  expect(last.outbox.map((row) => row.data.deliveryId)).toContain(told[0]?.id)
  expect((await audited(endpoint.id)).at(-1)).toEqual({
    action: 'webhook.disable',
    decision: 'recorded',
    actor: 'system',
    code: 'failing',
  })
  ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: true }))
  const gone = await delivery()
  expect(await attempt(kit, gone, { gone: true, status: 410, retryInMs: null })).toMatchObject({ disabled: 'gone' })
  expect(await read()).toMatchObject({ enabled: false, disabledReason: 'gone' })
  expect((await endedRun(kit, 'failing')).deliveries).toEqual([])
  for (const { id } of [endpoint, other]) ok(await kit.store.deleteWebhook(authority, id))
})

test('what waits for a disabled endpoint is laid aside, resumed when it is enabled, and dropped after a week', async () => {
  const endpoint = await register(kit)
  const ended = [await endedRun(kit, 'aside'), await endedRun(kit, 'aside')].flatMap((run) => run.deliveries)
  expect(ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: false })).webhook).toMatchObject({ disabledReason: 'caller' })
  // Switched off by those whose it is: no fault, and nothing to wake anybody for.
  const gauge = ok(await kit.store.readMetrics(authority, 'one')).samples.filter(([name]) => name === 'baton_webhook_endpoints')
  expect(gauge.map(([, { state }, , value]) => [state, value])).toEqual(
    expect.arrayContaining([
      ['disabled', 0],
      ['off', 1],
    ]),
  )
  for (const id of ended) expect(await takeDelivery(kit, id)).toMatchObject({ ok: false })
  const list = async () => ok(await kit.store.listDeliveries(authority, { webhook: endpoint.id, limit: 10, after: null })).data
  expect(await list()).toMatchObject([
    { state: 'pending', nextAt: null, attempts: 0 },
    { state: 'pending', nextAt: null, attempts: 0 },
  ])
  expect(await kit.store.testWebhook(authority, endpoint.id)).toMatchObject({ code: 'webhook_disabled' })
  expect(await kit.store.redeliver(authority, { webhook: endpoint.id, delivery: ended[0] ?? '' })).toMatchObject({
    code: 'webhook_disabled',
  })
  const enabled = ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: true }))
  expect(enabled.outbox.map((row) => row.data.deliveryId)).toEqual(ended)
  await attempt(kit, ended[0] ?? '', success)
  ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: false }))
  expect(await takeDelivery(kit, ended[1] ?? '')).toMatchObject({ ok: false })
  await kit.advance(8 * 24 * 3_600_000)
  await kit.store.prune({ environment: 'test', limit: 1_000 })
  expect(await list()).toEqual([])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('no more than the bound, also when many ask at once; a repeat of the same registration is one endpoint', async () => {
  const before = ok(await kit.store.listWebhooks(tenantTwo, { limit: 50, after: null })).data.length
  expect(before).toBe(0)
  const request = (webhook: string) => ({ webhook, url: 'https://example.com/', events: null, description: null, sealed: 's', most: 4 })
  const twin = request(ids.make('whe'))
  const all = await Promise.all([
    kit.store.createWebhook(tenantTwo, twin),
    kit.store.createWebhook(tenantTwo, twin),
    ...Array.from({ length: 8 }, () => kit.store.createWebhook(tenantTwo, request(ids.make('whe')))),
  ])
  const refused = all.filter((answer) => !answer.ok)
  expect(refused.every((answer) => answer.code === 'webhook_limit')).toBe(true)
  const endpoints = ok(await kit.store.listWebhooks(tenantTwo, { limit: 50, after: null })).data
  expect(endpoints).toHaveLength(4)
  for (const { id } of endpoints) ok(await kit.store.deleteWebhook(tenantTwo, id))
})

test('another tenant’s endpoint and its deliveries are not there', async () => {
  const endpoint = await register(kit)
  const { deliveries } = await endedRun(kit, 'mine')
  const of = { webhook: endpoint.id, delivery: deliveries[0] ?? '' }
  const elsewhere = { ...authority, environment: 'elsewhere' }
  const asked = (as: typeof authority) => [
    kit.store.getWebhook(as, endpoint.id),
    kit.store.patchWebhook(as, endpoint.id, { enabled: false }),
    kit.store.rotateWebhook(as, { webhook: endpoint.id, sealed: 'x', overlapMs: 0 }),
    kit.store.testWebhook(as, endpoint.id),
    kit.store.listDeliveries(as, { webhook: endpoint.id, limit: 10, after: null }),
    kit.store.getDelivery(as, of),
    kit.store.redeliver(as, of),
    kit.store.deleteWebhook(as, endpoint.id),
  ]
  for (const as of [tenantTwo, elsewhere]) {
    const codes = (await Promise.all(asked(as))).map((answer) => (answer.ok ? 'ok' : answer.code))
    expect(new Set(codes)).toEqual(new Set(['webhook_not_found', 'delivery_not_found']))
  }
  expect(ok(await kit.store.getWebhook(authority, endpoint.id)).webhook.enabled).toBe(true)
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('a user may do none of it', async ({ skip }) => {
  const [authorize] = await kit.sql<{ source: string }>(`select prosrc as source from pg_proc where oid = 'baton.authorize'::regproc`)
  skip(!authorize?.source.includes('rights'), 'authorize does not know rights yet (deliverable 1)')
  const endpoint = await register(kit)
  const user = { ...authority, credential: asUser(ids.uuid()) }
  const of = { webhook: endpoint.id, delivery: 'dlv_1' }
  const request = { webhook: ids.make('whe'), url: 'https://example.com/', events: null, description: null, sealed: 's', most: 20 }
  const answers = await Promise.all([
    kit.store.createWebhook(user, request),
    kit.store.listWebhooks(user, { limit: 10, after: null }),
    kit.store.refuseWebhook(user, { action: 'webhook.create', webhook: null, reason: 'x' }),
    kit.store.getWebhook(user, endpoint.id),
    kit.store.patchWebhook(user, endpoint.id, { enabled: false }),
    kit.store.rotateWebhook(user, { webhook: endpoint.id, sealed: 'x', overlapMs: 0 }),
    kit.store.testWebhook(user, endpoint.id),
    kit.store.listDeliveries(user, { webhook: endpoint.id, limit: 10, after: null }),
    kit.store.getDelivery(user, of),
    kit.store.redeliver(user, of),
    kit.store.deleteWebhook(user, endpoint.id),
  ])
  expect(answers.map((answer) => (answer.ok ? 'ok' : answer.code))).toEqual(answers.map(() => 'forbidden'))
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})

test('a disabled endpoint is told of nothing that happens meanwhile', async () => {
  const endpoint = await register(kit)
  ok(await kit.store.patchWebhook(authority, endpoint.id, { enabled: false }))
  const { runId } = await endedRun(kit, 'meanwhile', { webhook: { url: 'https://example.com/own', secret: null } })
  expect(await rowsOf(runId)).toMatchObject([{ endpoint_id: null }])
  ok(await kit.store.deleteWebhook(authority, endpoint.id))
})
