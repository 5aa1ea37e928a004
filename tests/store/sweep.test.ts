import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { poll } from '#local/poll'
import { failure } from '#tests/webhooks/kit'
import {
  answered,
  asUser,
  claimRequest,
  commit,
  commitOf,
  completed,
  hold,
  ids,
  message,
  ok,
  openRequest,
  authority,
  startStore,
  take,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const sweep = (environment = 'test') => kit.store.sweep({ environment, everyMs: 0, resendMs: 10_000, limit: 100 })
const elsewhere: Authority = { environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'tester' } }, requestId: null }
const hook = { url: 'https://example.com/hook', secret: null }

test('invariant 7: a claim that waited for the commit before it marks the continuation that this commit has written', async () => {
  const held = await hold(kit, 'behind')
  ok(await kit.store.open(openRequest('behind')))
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  await client.query('begin')
  await client.query('select 1 from baton.agents where agent_uid = $1 for update', [held.agentUid])
  const claimed = kit.store.claim(claimRequest(held.agentUid))
  const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
  expect(await poll(async () => (await kit.sql(waits)).length > 0, { everyMs: 5, forMs: 60_000 })).toBe(true)
  await client.query('select public.baton_commit($1::jsonb)', [JSON.stringify(commitOf(held, answered(), completed))])
  await client.query('commit')
  await client.end()
  expect(ok(await claimed).opened.run.id).not.toBe(held.runId)
  const unsent = `select id, due_at from baton.outbox where agent_uid = $1 and sent_at is null and due_at <= baton.clock()`
  expect(await kit.sql(unsent, [held.agentUid])).toEqual([])
})

test('invariant 7: a row that was never sent is given out again under its id, a lost continuation as a new row', async () => {
  const opened = ok(await kit.store.open(openRequest('lost')))
  const [row] = opened.outbox
  expect(row).toMatchObject({ kind: 'continue', data: { agentUid: opened.agentUid, runId: opened.run.id } })
  const mine = async () => (await sweep()).outbox.filter((swept) => swept.data.agentUid === opened.agentUid)
  expect(await mine()).toHaveLength(0)
  await kit.advance(10_001)
  expect((await mine()).map((swept) => swept.id)).toContain(row?.id)
  await kit.store.outboxSent([row?.id ?? ''])
  await kit.store.outboxSent([row?.id ?? ''])
  await kit.advance(10_001)
  const again = await mine()
  expect(again.length).toBeGreaterThan(0)
  expect(again.map((swept) => swept.id)).not.toContain(row?.id)
  const held = await take(kit, opened.agentUid)
  expect(await mine()).toHaveLength(0)
  await kit.advance(31_000)
  expect(await mine()).toHaveLength(1)
  await commit(kit, await take(kit, held.agentUid), answered(), completed)
  await kit.advance(31_000)
  expect(await mine()).toHaveLength(0)
})

test('invariant 7: a run that dies is swept, also where a run before it waited for something far away and was cancelled', async () => {
  const waits = await hold(kit, 'cut-short')
  await commit(kit, waits, { progress: false }, { wait: { kind: 'budget', ms: 3_600_000 } })
  ok(await kit.store.stop(authority, { runId: waits.runId }, 'cancelled', null))
  const next = await hold(kit, 'cut-short')
  const mine = async () => (await sweep()).outbox.filter((row) => row.kind === 'continue' && row.data['runId'] === next.runId)
  expect(await mine()).toHaveLength(0)
  await kit.advance(31_000)
  expect(await mine()).toHaveLength(1)
  expect(await mine()).toHaveLength(0)
})

test('sweeps of many processes are one sweep, and a sweep never waits for an agent that is being changed', async () => {
  const all = await Promise.all(
    Array.from({ length: 6 }, () => kit.store.sweep({ environment: 'test', everyMs: 60_000, resendMs: 10_000, limit: 10 })),
  )
  expect(all.filter((one) => one.swept).length).toBeLessThanOrEqual(1)
  await kit.advance(61_000)
  const more = await Promise.all(
    Array.from({ length: 6 }, () => kit.store.sweep({ environment: 'test', everyMs: 60_000, resendMs: 10_000, limit: 10 })),
  )
  expect(more.filter((one) => one.swept)).toHaveLength(1)
})

test('a webhook is written with the end, taken by one worker, retried as a new row, and ends', async () => {
  const held = await hold(kit, 'hooked', { run: { ...openRequest('hooked').run, webhook: hook } })
  const end = await commit(kit, held, answered(), completed)
  const row = end.outbox.find((entry) => entry.kind === 'webhook')
  const id = row?.data.deliveryId ?? ''
  const request = { id, environment: 'test', holdMs: 60_000 }
  const takers = await Promise.all([
    kit.store.takeDelivery(request),
    kit.store.takeDelivery(request),
    kit.store.takeDelivery({ ...request, environment: 'elsewhere' }),
  ])
  expect(takers.filter((taken) => taken.ok)).toHaveLength(1)
  const record = { ...failure, id, attempt: 1, retryInMs: 1_000 }
  expect(ok(await kit.store.recordDelivery(record)).outbox).toHaveLength(1)
  await kit.advance(1_001)
  expect(ok(await kit.store.takeDelivery(request))).toMatchObject({ attempt: 2, url: hook.url })
  // The worker dies: the sweeper gives the delivery to another.
  await kit.advance(61_000)
  expect((await sweep()).outbox.some((entry) => entry.data.deliveryId === id)).toBe(true)
  expect(ok(await kit.store.takeDelivery(request))).toMatchObject({ attempt: 3 })
  expect(await kit.store.recordDelivery({ ...record, attempt: 2, delivered: true })).toMatchObject({ ok: false })
  ok(await kit.store.recordDelivery({ ...record, attempt: 3, delivered: true, retryInMs: null }))
  const { webhooks } = ok(await kit.store.getRun(authority, held.runId))
  expect(webhooks).toMatchObject([{ state: 'delivered', attempts: 3 }])
})

test('two environments on one database: nothing is claimed, swept, pruned, delivered or read across', async () => {
  const key = { idempotency: { key: 'shared', hash: 'h' } }
  const other = ok(await kit.store.open(openRequest('theirs', { ...elsewhere, ...key, run: { ...openRequest('x').run, webhook: hook } })))
  await kit.advance(11_000)
  expect((await sweep('test')).outbox.filter((row) => row.data.agentUid === other.agentUid)).toHaveLength(0)
  expect(await kit.store.claim(claimRequest(other.agentUid))).toMatchObject({ code: 'agent_gone' })
  const foreign: Authority = { ...elsewhere, environment: 'test' }
  expect(await kit.store.open(openRequest('theirs', foreign))).toMatchObject({ code: 'agent_not_found' })
  expect(await kit.store.open(openRequest('theirs', { ...foreign, ...key }))).toMatchObject({ code: 'agent_not_found' })
  expect(await kit.store.open(openRequest('new', foreign))).toMatchObject({ code: 'tenant_missing' })
  for (const where of [foreign, authority]) {
    expect(await kit.store.getAgent(where, 'theirs')).toMatchObject({ ok: false })
    expect(await kit.store.getRun(where, other.run.id)).toMatchObject({ ok: false })
    expect(await kit.store.stop(where, { runId: other.run.id }, 'cancelled', null)).toMatchObject({ ok: false })
    expect(await kit.store.stop(where, { agent: 'theirs' }, 'cancelled', null)).toMatchObject({ ok: false })
    expect(
      await kit.store.retry(where, { runId: other.run.id, newRunId: openRequest('y').run.id, versions: {}, settings: null }),
    ).toMatchObject({ ok: false })
    expect(await kit.store.deleteAgent(where, 'theirs')).toMatchObject({ ok: false })
    const query = { limit: 10, after: null }
    expect((await kit.store.listAgents(where, query)).filter((agent) => agent.id === 'theirs')).toHaveLength(0)
    expect((await kit.store.listRuns(where, query)).data.filter((run) => run.id === other.run.id)).toHaveLength(0)
  }
  const before = await kit.sql<{ n: number }>('select count(*)::integer as n from baton.events where agent_uid = $1', [other.agentUid])
  await kit.advance(8 * 24 * 3_600_000)
  await kit.store.prune({ environment: 'test', limit: 1_000 })
  expect(await kit.sql('select count(*)::integer as n from baton.events where agent_uid = $1', [other.agentUid])).toEqual(before)
  expect((await sweep('elsewhere')).outbox.some((row) => row.data.agentUid === other.agentUid)).toBe(true)
})

test('retention: old events and those beyond 10,000 go, the cursor says so, keys of open runs stay', async () => {
  const held = await hold(kit, 'old', { idempotency: { key: 'old', hash: 'h' } })
  await kit.sql(
    `insert into baton.events (agent_uid, seq, tenant_id, channel, type, data) select $1, g, 'one', 'monitor', 'custom', '{}' from generate_series(1001, 12000) g`,
    [held.agentUid],
  )
  await kit.sql('update baton.agents set last_event_seq = 12000 where agent_uid = $1', [held.agentUid])
  await kit.store.prune({ environment: 'test', limit: 10_000 })
  expect(await kit.store.listEvents({ agentUid: held.agentUid, after: 5, limit: 10 })).toMatchObject({
    code: 'cursor_expired',
    oldestSeq: 2_001,
  })
  expect(ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 2_000, limit: 1 })).data[0]?.seq).toBe(2_001)
  await kit.advance(8 * 24 * 3_600_000)
  for (let batch = 0; batch < 3; batch++) await kit.store.prune({ environment: 'test', limit: 10_000 })
  expect(await kit.sql('select 1 from baton.events where agent_uid = $1', [held.agentUid])).toHaveLength(0)
  expect(await kit.sql(`select 1 from baton.idempotency where key = 'old'`)).toHaveLength(1)
  await commit(kit, await take(kit, held.agentUid), { messages: [message('assistant', 'x')] }, completed)
  await kit.store.prune({ environment: 'test', limit: 10_000 })
  expect(await kit.sql(`select 1 from baton.idempotency where key = 'old'`)).toHaveLength(0)
})

test('invariant 1: a key is kept for 24 hours, also when its run has ended long before, and finds that run', async () => {
  const request = openRequest('day', { idempotency: { key: 'day', hash: 'h' } })
  const held = await hold(kit, 'day', request)
  await commit(kit, held, answered(), completed)
  const again = () => kit.store.open({ ...request, run: { ...request.run, id: openRequest('day').run.id } })
  await kit.advance(24 * 3_600_000 - 60_000)
  await kit.store.prune({ environment: 'test', limit: 10_000 })
  expect(ok(await again())).toMatchObject({ replayed: true, run: { id: held.runId, state: 'completed' } })
  await kit.advance(61_000)
  await kit.store.prune({ environment: 'test', limit: 10_000 })
  const { replayed, run } = ok(await again())
  expect([replayed, run.id === held.runId]).toEqual([false, false])
})

test('the end of what was refused again and again is told by retention, once, and its count goes with no row', async () => {
  const user: Authority = { ...authority, credential: asUser(ids.uuid()) }
  const refused = async (times: number) => {
    for (let n = 0; n < times; n++)
      expect(await kit.store.setSwitch(user, { scope: 'agent:x', mode: 'kill', reason: 'x' })).toMatchObject({ code: 'forbidden' })
  }
  const prune = () => kit.store.prune({ environment: 'test', limit: 10_000 })
  const told = () =>
    kit.sql(
      `select action, decision, code, data ->> 'needed' as needed, data -> 'count' as count, (data ->> 'since')::timestamptz < at as since
      from baton.audit where tenant_id = 'one' and actor = $1 order by id`,
      [`user:${'user' in user.credential ? user.credential.user.id : ''}`],
    )
  const entry = { action: 'request.authorize', decision: 'refused', code: 'forbidden', needed: 'admin', since: null }
  await refused(4)
  await prune()
  expect(await told()).toEqual([{ ...entry, count: 1 }])
  await kit.advance(60_001)
  for (let twice = 0; twice < 2; twice++) await prune()
  const first = [
    { ...entry, count: 1 },
    { ...entry, count: 3, since: true },
  ]
  expect(await told()).toEqual(first)
  await refused(3)
  await kit.advance(25 * 3_600_000)
  for (let twice = 0; twice < 2; twice++) await prune()
  expect(await told()).toEqual([...first, { ...entry, count: 1 }, { ...entry, count: 2, since: true }])
  expect(await kit.sql(`select 1 from baton.idempotency where caller = 'baton:refused' and hash = 'test'`)).toEqual([])
})

test('pages: messages forwards and backwards, runs of one agent and of all, agents by cursor', async () => {
  const held = await hold(kit, 'paged')
  const texts = Array.from({ length: 9 }, (_, at) => message('assistant', `a${at + 2}`))
  await commit(kit, held, { messages: texts }, completed)
  const seqs = async (query: { after?: number; before?: number; role?: string; limit: number }) =>
    (await kit.store.listMessages({ agentUid: held.agentUid, ...query })).data.map((row) => row.seq)
  expect(await seqs({ limit: 3 })).toEqual([1, 2, 3])
  expect(await seqs({ limit: 3, after: 3 })).toEqual([4, 5, 6])
  expect(await seqs({ limit: 3, before: 9 })).toEqual([6, 7, 8])
  expect(await seqs({ limit: 3, role: 'user' })).toEqual([1])
  const second = await hold(kit, 'paged')
  const list = { limit: 1, after: null, agentUid: held.agentUid }
  const newest = (await kit.store.listRuns(authority, list)).data[0]
  expect(newest?.id).toBe(second.runId)
  expect((await kit.store.listRuns(authority, { ...list, after: newest?.id ?? '' })).data.map((run) => run.id)).toEqual([held.runId])
  expect((await kit.store.listRuns(authority, { limit: 100, after: null })).data.map((run) => run.id)).toContain(held.runId)
  expect(await kit.store.listRuns(authority, { limit: 100, after: null, template: 'absent' })).toMatchObject({ data: [], more: false })
  const agents = await kit.store.listAgents(authority, { limit: 100, after: null })
  const after = await kit.store.listAgents(authority, { limit: 100, after: agents[0]?.agentUid ?? null })
  expect(after.map((agent) => agent.id)).toEqual(agents.slice(1).map((agent) => agent.id))
})

test('a sweep that was noted in the future stops no other: the clock may have been put back', async () => {
  await sweep('elsewhere')
  const again = () => kit.store.sweep({ environment: 'elsewhere', everyMs: 60_000, resendMs: 10_000, limit: 10 })
  expect(await again()).toMatchObject({ swept: false })
  await kit.sql(`update baton.sweeps set last_at = baton.clock() + interval '1 day' where environment = 'elsewhere'`)
  expect(await again()).toMatchObject({ swept: true })
})
