import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditEntry } from '#lib/core/audit'
import { answered, authority, commit, completed, hold, ok, startStore, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const page = { limit: 200, order: 'asc' as const, after: null }

test('A81: a log that takes no entries stops nothing, and what is missing is counted', async () => {
  await kit.sql(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no room'; end $$`)
  await kit.sql('create trigger refuse before insert on baton.audit for each row execute function public.refuse()')
  const held = await hold(kit, 'unseen')
  expect(await commit(kit, held, answered(), completed)).toMatchObject({ state: 'completed' })
  const failures = (await kit.store.health({ environment: 'test', ownTenant: 'one', keyHash: null })).auditFailures
  expect(failures).toBeGreaterThanOrEqual(1)
  expect(await kit.sql('select last_error from baton.audit_failures')).toEqual([{ last_error: 'no room' }])
  await kit.sql('drop trigger refuse on baton.audit')
  await hold(kit, 'seen')
  expect((await kit.store.health({ environment: 'test', ownTenant: 'one', keyHash: null })).auditFailures).toBe(failures)
  expect((await kit.store.health({ environment: 'elsewhere', ownTenant: 'one', keyHash: null })).auditFailures).toBe(0)
  // Nobody can write them any more: health goes well again, the counter of metrics stays.
  await kit.advance(86_401_000)
  expect((await kit.store.health({ environment: 'test', ownTenant: 'one', keyHash: null })).auditFailures).toBe(0)
  expect(ok(await kit.store.readMetrics(authority, 'one')).samples).toContainEqual(['baton_audit_failures_total', {}, '', failures])
})

test('entries go after 400 days, in batches, and none before', async () => {
  await kit.sql(`insert into baton.audit (tenant_id, environment, actor, action, decision, at)
    select 'one', case g % 2 when 0 then 'test' else 'elsewhere' end, 'x', 'old.entry', 'recorded', baton.clock() - make_interval(days => 395 + g % 10) from generate_series(1, 200) g`)
  const old = async (): Promise<number> => (await kit.sql(`select 1 from baton.audit where action = 'old.entry'`)).length
  const gone = await kit.store.prune({ environment: 'test', limit: 15 })
  expect(gone['audit']).toBe(15)
  expect(await old()).toBe(185)
  for (let n = 0; n < 5; n++) await kit.store.prune({ environment: 'test', limit: 15 })
  // Of the other environment none, of this one those of 401, 403 days and more; 399 stays.
  const left = await kit.sql<{ environment: string; days: number }>(
    `select distinct environment, round(extract(epoch from baton.clock() - at) / 86400)::int as days from baton.audit where action = 'old.entry' order by 1, 2`,
  )
  expect(left.filter((row) => row.environment === 'test' && row.days > 400)).toEqual([])
  expect(left.filter((row) => row.environment === 'test').map((row) => row.days)).toEqual([395, 397, 399])
  expect(left.filter((row) => row.environment === 'elsewhere').map((row) => row.days)).toEqual([396, 398, 400, 402, 404])
  expect((await kit.sql(`select 1 from baton.audit where action = 'message.accept'`)).length).toBeGreaterThan(0)
  // Whoever asks, the owner of the table too.
  await expect(kit.sql(`delete from baton.audit where action = 'old.entry' and environment = 'test'`)).rejects.toThrow('append-only')
})

test('entries of one instant are told apart where a page ends between them', async () => {
  await kit.sql(`insert into baton.audit (tenant_id, environment, actor, action, decision, at)
    select 'one', 'test', 'x', 'tied.entry', 'recorded', now() from generate_series(1, 3)`)
  const seen: number[] = []
  let after: { at: string; id: string } | null = null
  for (;;) {
    const data: AuditEntry[] = ok(await kit.store.listAudit(authority, { ...page, limit: 1, after, action: 'tied.entry' })).data
    const [entry] = data
    if (entry === undefined) break
    seen.push(entry.id)
    after = { at: entry.at, id: String(entry.id) }
  }
  expect(new Set(seen).size).toBe(3)
})

test('10,000 entries are read in pages without gaps or repeats while others are written, by an index in both directions', async () => {
  await kit.sql(`insert into baton.audit (tenant_id, environment, actor, action, decision, agent_id, at)
    select 'one', 'test', 'key:k' || g % 7, 'bulk.entry', 'allowed', 'bulk', baton.clock() - make_interval(mins => (g * 7919) % 10000 / 4) from generate_series(1, 10000) g`)
  await kit.sql('analyze baton.audit')
  for (const order of ['asc', 'desc'] as const) {
    const seen: AuditEntry[] = []
    let after: { at: string; id: string } | null = null
    for (;;) {
      const data: AuditEntry[] = ok(await kit.store.listAudit(authority, { ...page, order, after, action: 'bulk.entry' })).data
      seen.push(...data)
      if (seen.length % 1_000 === 0 && seen.length < 5_000) await hold(kit, `beside-${order}-${seen.length}`)
      const last = data.at(-1)
      if (last === undefined || data.length < page.limit) break
      after = { at: last.at, id: String(last.id) }
    }
    expect(new Set(seen.map((entry) => entry.id)).size).toBe(10_000)
    const keys = seen.map((entry) => [entry.at, entry.id] as const)
    const sorted = keys.toSorted(([a, x], [b, y]) => (Date.parse(a) - Date.parse(b) || x - y) * (order === 'asc' ? 1 : -1))
    expect(keys).toEqual(sorted)
  }
  const [from, to] = (
    await kit.sql<{ at: Date }>(`select baton.clock() - interval '20 minutes' as at union all select baton.clock() - interval '10 minutes'`)
  ).map((row) => row.at.toISOString())
  const { data } = ok(await kit.store.listAudit(authority, { ...page, from, to, actor: 'key:k3' }))
  expect(data.length).toBeGreaterThan(3)
  expect(data.every((entry) => Date.parse(entry.at) >= Date.parse(from ?? '') && Date.parse(entry.at) < Date.parse(to ?? ''))).toBe(true)
  const plan = await kit.sql<{ 'QUERY PLAN': string }>(
    `explain select e from baton.audit e where e.tenant_id = 'one' and e.environment = 'test'
    and e.at >= baton_at.f and e.at < baton_at.t order by e.at, e.id limit 50`.replaceAll(
      /baton_at\.(f|t)/g,
      (_all, side) => `'${side === 'f' ? from : to}'::timestamptz`,
    ),
  )
  expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toMatch(/Index Scan using audit_by_time/)
})
