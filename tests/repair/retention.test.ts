import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pruned } from '#lib/core/operations'
import { retain } from '#lib/jobs/retention'
import { testServices } from '#lib/http/services.fixture'
import { answered, authority, commit, completed, hold, ids, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

const day = 24 * 3_600_000
let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const count = async (table: string, where = 'true'): Promise<number> =>
  (await kit.sql<{ n: number }>(`select count(*)::integer as n from baton.${table} where ${where}`))[0]?.n ?? 0

async function turn(agent: string): Promise<string> {
  const over = {
    idempotency: { key: ids.uuid(), hash: 'h' },
    run: { ...openRequest(agent).run, webhook: { url: 'https://example.com/hook', secret: null } },
  }
  const held = await hold(kit, agent, over)
  await commit(kit, held, answered(), completed)
  return held.agentUid
}

async function prunedAll(limit = 1_000): Promise<Pruned[]> {
  const batches: Pruned[] = []
  do batches.push(await kit.store.prune({ environment: 'test', limit }))
  while (batches.at(-1)?.more === true && batches.length < 500)
  return batches
}

test('after any number of runs each table is bounded: more than a year of turns', async () => {
  const sizes: Record<string, number>[] = []
  for (let month = 0; month < 20; month++) {
    for (let n = 0; n < 3; n++) await turn('busy')
    await kit.sql('update baton.outbox set sent_at = baton.clock() where sent_at is null')
    await kit.sql(
      `update baton.webhook_deliveries set state = 'delivered', next_at = null, ended_at = baton.clock() where state = 'pending'`,
    )
    await kit.advance(30 * day)
    await prunedAll()
    if (month < 16) continue
    sizes.push({
      events: await count('events'),
      idempotency: await count('idempotency'),
      outbox: await count('outbox'),
      deliveries: await count('webhook_deliveries'),
      approvals: await count('approvals'),
      audit: await count('audit'),
      ledger: await count('reservations'),
      counters: await count('budget_counters'),
    })
  }
  // 400 days hold 13 times 30 days, with 3 turns each.
  for (const size of sizes) {
    expect(size).toMatchObject({ events: 0, idempotency: 0, outbox: 0, deliveries: 0 })
    expect(size['ledger']).toBeLessThanOrEqual(14 * 3)
    expect(size['audit']).toBeLessThanOrEqual(14 * 12)
    expect(size['counters']).toBeLessThanOrEqual(14 * 2)
  }
  expect(new Set(sizes.map((size) => JSON.stringify(size))).size).toBeLessThanOrEqual(3)
})

test('a tenant keeps events and deliveries for another time; other tenants keep theirs', async () => {
  await kit.sql(`insert into baton.tenants (id, environment) values ('two', 'test')`)
  const two = { ...authority, credential: { operator: { tenant: 'two', name: 'tester' } } }
  expect(ok(await kit.store.setRetention(two, { eventDays: 30, eventsPerAgent: 100, deliveryDays: 2 }))).toMatchObject({
    retention: { eventDays: 30, eventsPerAgent: 100, deliveryDays: 2, agentDays: null },
  })
  const mine = await turn('kept')
  const held = ok(await kit.store.open(openRequest('theirs', two)))
  const theirs = held.agentUid
  await kit.sql(
    `insert into baton.events (agent_uid, seq, tenant_id, channel, type, data) select $1, g, 'two', 'monitor', 'custom', '{}' from generate_series(3, 250) g`,
    [theirs],
  )
  await kit.sql('update baton.agents set last_event_seq = 250 where agent_uid = $1', [theirs])
  await kit.sql(`update baton.webhook_deliveries set state = 'delivered', next_at = null, ended_at = baton.clock()`)
  await kit.sql(
    `insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, url, type, payload, state, ended_at) values ('dlv_two', 'e', 'two', 'test', 'u', 't', '{}', 'delivered', baton.clock())`,
  )
  await prunedAll()
  expect(await count('events', `agent_uid = '${theirs}'`)).toBe(100)
  await kit.advance(3 * day)
  await prunedAll()
  expect(await count('webhook_deliveries', `tenant_id = 'two'`)).toBe(0)
  expect(await count('webhook_deliveries', `agent_uid = '${mine}'`)).toBe(1)
  await kit.advance(5 * day)
  await prunedAll()
  expect(await count('events', `agent_uid = '${mine}'`)).toBe(0)
  expect(await count('events', `agent_uid = '${theirs}'`)).toBe(100)
  expect(await count('webhook_deliveries', `agent_uid = '${mine}'`)).toBe(0)
  expect(ok(await kit.store.getRetention(two)).set).toEqual({ eventDays: 30, eventsPerAgent: 100, deliveryDays: 2 })
  expect(ok(await kit.store.setRetention(two, {}))).toMatchObject({ retention: { eventDays: 7 }, set: {} })
  expect(await count('audit', `action = 'retention.set' and tenant_id = 'two'`)).toBe(2)
})

test('idle agents go by age only where a tenant says so, and no agent at work', async () => {
  await turn('idle')
  const held = await hold(kit, 'working')
  await kit.advance(100 * day)
  await prunedAll()
  expect(await count('agents', `id in ('idle', 'working')`)).toBe(2)
  ok(await kit.store.setRetention(authority, { agentDays: 90 }))
  await turn('fresh')
  expect((await prunedAll()).reduce((sum, { agents = 0 }) => sum + agents, 0)).toBeGreaterThan(0)
  expect(await count('agents', `id = 'idle'`)).toBe(0)
  expect(await count('agents', `id in ('working', 'fresh')`)).toBe(2)
  expect(await kit.sql(`select actor, code from baton.audit where action = 'agent.delete' and agent_id = 'idle'`)).toEqual([
    { actor: 'system', code: 'retention' },
  ])
  ok(await kit.store.setRetention(authority, {}))
  await commit(kit, held, answered(), completed).catch(() => undefined)
})

/** What the deletion of an agent comes to in the database, while `work` is done. */
async function whereDeletionIs(body: string, work: () => Promise<void>): Promise<void> {
  await kit.sql(`create function baton.rest() returns trigger language plpgsql as $$ begin ${body}; return old; end $$`)
  await kit.sql('create trigger rests before delete on baton.agents for each row execute function baton.rest()')
  await work()
  await kit.sql('drop function baton.rest() cascade')
}

test('idle agents go for two seconds in one call, whatever each takes; the others are left for the next', async () => {
  const uids: string[] = []
  for (let n = 0; n < 3; n++) uids.push(await turn(`slow-${n}`))
  ok(await kit.store.setRetention(authority, { agentDays: 90 }))
  await kit.advance(91 * day)
  const { idle = [] } = await kit.store.prune({ environment: 'test', limit: 1_000, part: 'agents' })
  expect(idle).toEqual(expect.arrayContaining(uids))
  await whereDeletionIs('perform pg_sleep(2.1)', async () => {
    const gone = await kit.store.prune({ environment: 'test', limit: 1_000, part: 'idle', idle })
    expect(gone).toMatchObject({ agents: 1, idle: idle.slice(1), more: true })
  })
  expect(await kit.store.prune({ environment: 'elsewhere', limit: 1_000, part: 'idle', idle })).toMatchObject({ agents: 0, idle: [] })
  expect(await kit.store.prune({ environment: 'test', limit: 1_000, part: 'idle', idle })).toMatchObject({
    agents: idle.length - 1,
    more: false,
  })
  ok(await kit.store.setRetention(authority, {}))
})

test('an agent that cannot be deleted keeps nothing else from going: rows, events and idle agents before and behind it', async () => {
  for (let n = 0; n < 5; n++) await turn(`idle-${n}`)
  await kit.advance(91 * day)
  const used = await turn('used')
  await kit.sql(`update baton.events set at = baton.clock() - interval '8 days' where agent_uid = $1`, [used])
  ok(await kit.store.setRetention(authority, { agentDays: 90 }))
  await kit.sql(`update baton.outbox set sent_at = baton.clock() - interval '2 days' where agent_uid is not null`)
  const { config, log } = testServices({ environment: 'test' })
  const clock = { now: () => 0, monotonic: () => performance.now(), sleep: () => Promise.resolve(), random: () => 0 }
  await whereDeletionIs(`if old.id = 'idle-2' then raise exception 'too much'; end if`, async () => {
    await expect(retain({ config, store: kit.store, clock, log })).rejects.toThrow('refused a call')
  })
  expect(await kit.sql(`select id from baton.agents where id like 'idle-%'`)).toEqual([{ id: 'idle-2' }])
  expect(await count('events', `agent_uid = '${used}'`)).toBe(0)
  expect(await count('outbox', `created_at < baton.clock() - interval '1 day' and sent_at < baton.clock() - interval '1 day'`)).toBe(0)
  expect(await retain({ config, store: kit.store, clock, log })).toMatchObject({ agents: 1, more: false })
  ok(await kit.store.setRetention(authority, {}))
})

test('each batch is bounded and the walk goes on where it stopped: small batches delete what a large one would', async () => {
  for (let n = 0; n < 25; n++) await turn(`walk-${n}`)
  await kit.advance(8 * day)
  const before = await count('events')
  const batches = await prunedAll(10)
  expect(await count('events')).toBe(0)
  expect(before).toBeGreaterThan(70)
  expect(batches.length).toBeGreaterThanOrEqual(5)
  for (const { events = 0 } of batches) expect(events).toBeLessThan(30)
  const uid = await turn('long')
  await kit.sql(
    `insert into baton.events (agent_uid, seq, tenant_id, channel, type, data) select $1, g, 'one', 'monitor', 'custom', '{}' from generate_series((select last_event_seq + 1 from baton.agents where agent_uid = $1), 12000) g`,
    [uid],
  )
  await kit.sql('update baton.agents set last_event_seq = 12000 where agent_uid = $1', [uid])
  for (const { events } of await prunedAll(500)) expect(events).toBeLessThanOrEqual(1_000)
  expect(await kit.sql('select first_event_seq::integer as first from baton.agents where agent_uid = $1', [uid])).toEqual([
    { first: 2_001 },
  ])
  expect(await count('events', `agent_uid = '${uid}'`)).toBe(10_000)
  expect(ok(await kit.store.consistency(authority, 'long')).findings).toEqual([])
})

test('counters of budgets that are past their time go until none is left, though nothing else is', async () => {
  await kit.sql(`insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start)
    select 'old-' || n, 'test', 'one', 'agent:old-' || n, 'day', baton.clock() - interval '401 days' from generate_series(1, 25) n`)
  const ask = () => kit.store.prune({ environment: 'test', limit: 10, part: 'rows' })
  expect(await ask()).toMatchObject({ counters: 10, more: true })
  await prunedAll(10)
  expect(await count('budget_counters', `key like 'old-%'`)).toBe(0)
})

test('an agent that somebody holds is left for the next round, and nobody waits', async () => {
  const uid = await turn('locked')
  await kit.advance(8 * day)
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  await client.query('begin')
  await client.query('select 1 from baton.agents where agent_uid = $1 for update', [uid])
  await prunedAll()
  expect(await count('events', `agent_uid = '${uid}'`)).toBeGreaterThan(0)
  await client.query('commit')
  await client.end()
  await prunedAll()
  expect(await count('events', `agent_uid = '${uid}'`)).toBe(0)
})

test('keys that have been dead for 400 days go, and the job adds up its batches', async () => {
  for (const [id, revoked] of [
    ['key_a', true],
    ['key_b', false],
  ] as const)
    await kit.sql(
      `insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by, revoked_at, rotated_from)
        values ($1, 'one', 'test', encode(sha256($3::bytea), 'hex'), 'bt', 'x', '{agents:read}', 'x', case when $2::boolean then baton.clock() end, case when not $2 then 'key_a' end)`,
      [id, revoked, id],
    )
  await kit.advance(401 * day)
  const lines: unknown[] = []
  const log = {
    info: (message: string, fields?: object) => void lines.push([message, fields]),
    warn: () => undefined,
    error: () => undefined,
  }
  const clock = { now: () => 0, monotonic: () => performance.now(), sleep: () => Promise.resolve(), random: () => 0 }
  const total = await retain({ config: testServices({ environment: 'test' }).config, store: kit.store, clock, log })
  expect(total).toMatchObject({ more: false, keys: 1 })
  expect(total.batches).toBeGreaterThan(0)
  expect(lines).toMatchObject([['pruned', { keys: 1 }]])
  expect(await kit.sql('select id, rotated_from from baton.api_keys')).toEqual([{ id: 'key_b', rotated_from: null }])
})

test('what has not been sent, is not over or is asked for stays, however old it is', async () => {
  const uid = await turn('kept')
  const elsewhere = { ...authority, environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'tester' } } }
  ok(await kit.store.setRetention(elsewhere, { agentDays: 1 }))
  ok(await kit.store.open(openRequest('far-idle', elsewhere)))
  await kit.sql(`update baton.runs set state = 'cancelled', ended_at = baton.clock(), due_at = null where tenant_id = 'other'`)
  await kit.sql(`update baton.agents set active_run = null, state = 'ready' where tenant_id = 'other'`)
  await kit.sql(
    `insert into baton.outbox (id, tenant_id, environment, kind, data, due_at) values ('out_kept', 'one', 'test', 'continue', '{}', baton.clock())`,
  )
  await kit.sql(
    `insert into baton.approvals (id, tenant_id, environment, agent_uid, run_id, call_id, tool, input_hash, fingerprint, expires_at, default_decision)
      values ('apr_kept', 'one', 'test', $1, 'run', 'call', 'x', 'h', 'f', baton.clock() + interval '900 days', 'deny')`,
    [uid],
  )
  for (const scope of ['agent:kept', 'run:run_gone'])
    await kit.sql(
      `insert into baton.switches (environment, tenant_id, scope, mode, reason, actor) values ('test', 'one', $1, 'kill', 'x', 'x')`,
      [scope],
    )
  await kit.advance(401 * day)
  await kit.sql(
    `insert into baton.gates (environment, model, until) values ('test', 'shut', baton.clock() + interval '1 hour'), ('test', 'open', baton.clock() - interval '2 hours')`,
  )
  // Resumed after its endpoint was enabled again: a week is counted from its end.
  await kit.sql(
    `update baton.webhook_deliveries set state = 'delivered', next_at = null, ended_at = baton.clock() - interval '1 day' where agent_uid = $1`,
    [uid],
  )
  await prunedAll()
  expect(await count('outbox', `id = 'out_kept'`)).toBe(1)
  expect(await count('approvals', `id = 'apr_kept'`)).toBe(1)
  expect(await count('agents', `id = 'far-idle'`)).toBe(1)
  expect(await count('webhook_deliveries', `agent_uid = '${uid}'`)).toBe(1)
  expect(await kit.sql('select scope from baton.switches')).toEqual([{ scope: 'agent:kept' }])
  expect(await kit.sql('select model from baton.gates')).toEqual([{ model: 'shut' }])
  await kit.sql('delete from baton.switches')
})

test('an agent that somebody has used since it was looked at does not go by age', async () => {
  const uid = await turn('used-again')
  const expire = async (seen: string) => (await kit.sql<{ gone: number }>(`select baton.expire_agent($1, ${seen}) as gone`, [uid]))[0]?.gone
  expect(await expire(`baton.clock() - interval '1 day'`)).toBe(0)
  expect(await expire(`(select updated_at from baton.agents where id = 'used-again')`)).toBe(1)
})

test('deleting a user takes their own limits alone, and of the audit only free text goes', async () => {
  const [gone, staying] = [ids.uuid(), ids.uuid()]
  for (const id of [gone, staying]) ok(await kit.store.setLimit(authority, { scope: `user:${id}`, values: { concurrentRuns: 2 } }))
  ok(await kit.store.open(openRequest('of-user', { credential: { user: { id: gone, tenant: 'one' } } })))
  ok(await kit.store.erase(authority, { scope: `user:${gone}`, confirm: null }))
  ok(await kit.store.erase(authority, { scope: `user:${gone}`, confirm: null }))
  expect(await count('limits', `scope in ('user:${gone}', 'user:${staying}')`)).toBe(1)
  const rewritten = kit.sql(`update baton.audit set reason = null, data = null, actor = 'nobody' where agent_id = 'of-user'`)
  await expect(rewritten).rejects.toThrow('append-only')
})
