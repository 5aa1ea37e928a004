import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { poll } from '#local/poll'
import { walked } from '#tests/repair/kit'
import { authority, commit, hold, ok, startStore, take, type Held, type StoreKit } from '#tests/store/kit'

/* What watching and mending must never do to the work itself, seen in the database. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const sweep = () => kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 0, limit: 10, from: 'cron' })

test('counts that are none stop neither the sweep nor a scrape, and the others are told', async () => {
  const bad = [
    '{}',
    '[1]',
    '[["a", {}, "", null]]',
    '[["a", null, "", 1]]',
    '[["a", {}, "", "many"]]',
    '[[null, {}, "=", 1]]',
    '[["baton_steps_total", {}, "", 3]]',
  ]
  for (const counts of bad)
    await kit.sql(`insert into baton.metric_deltas (environment, counts, at) values ('test', $1, baton.clock() - interval '2 minutes')`, [
      counts,
    ])
  expect((await sweep()).swept).toBe(true)
  expect(
    await kit.sql(`select 1 from baton.metric_deltas where environment = 'test' and at < baton.clock() - interval '1 minute'`),
  ).toEqual([])
  const answer = await kit.store.readMetrics(authority, 'one')
  expect(answer).toMatchObject({ ok: true })
  if (answer.ok) expect(answer.samples).toContainEqual(['baton_steps_total', {}, '', 3])
})

test('a backlog of counts is told up to a bound, is added up in pieces beside the work and by retention, and nothing of it is lost', async () => {
  const steps = (count: number) =>
    kit.sql(
      `insert into baton.metric_deltas (environment, counts) select 'behind', '[["baton_steps_total", {}, "", 1]]' from generate_series(1, $1::integer)`,
      [count],
    )
  await steps(12_000)
  const behind: Authority = { ...authority, environment: 'behind', credential: { operator: { tenant: 'behind', name: 'tester' } } }
  await kit.store.ensureTenant({ id: 'behind', environment: 'behind', secret: 'sealed' })
  const told = async (): Promise<number | undefined> => {
    const answer = await kit.store.readMetrics(behind, 'behind')
    return answer.ok ? answer.samples.find(([name]) => name === 'baton_steps_total')?.[3] : undefined
  }
  const left = async () =>
    (await kit.sql<{ n: number }>(`select count(*)::integer as n from baton.metric_deltas where environment = 'behind'`))[0]?.n
  const folder = new pg.Client({ connectionString: kit.databaseUrl })
  await folder.connect()
  try {
    // Somebody else is at it: who reads does not wait, and reads no more than it can.
    await folder.query(`begin; select pg_advisory_xact_lock(hashtextextended('baton.metrics behind', 0))`)
    expect([await told(), await left()]).toEqual([10_000, 12_000])
  } finally {
    await folder.end()
  }
  await kit.store.sweep({ environment: 'behind', everyMs: 0, resendMs: 0, limit: 10 })
  expect(await left()).toBeLessThanOrEqual(11_000 + 1)
  const { counts = 0 } = await kit.store.prune({ environment: 'behind', limit: 1_000, part: 'rows' })
  expect(counts).toBeGreaterThanOrEqual(1_000)
  // However fast retention was.
  await steps(10)
  const flush = async (id: string): Promise<boolean> => {
    await kit.store.addMetrics({ environment: 'behind', id, counts: [['baton_http_requests_total', { id }, '', 1]] })
    return (await left()) === 1
  }
  // What a process has told stays for a minute: it may tell it again.
  expect(await poll(() => flush('once'), { everyMs: 1, forMs: 60_000 })).toBe(true)
  expect(await told()).toBe(12_010)
})

test('a total that nothing is added to for 90 days goes by retention, and by nothing else', async () => {
  await kit.sql(
    `insert into baton.metric_totals (environment, name, labels, part, value, updated_at)
    select 'test', 'baton_tool_calls_total', jsonb_build_object('tool', 'old' || d), '', 1, baton.clock() - d * interval '1 day' from unnest(array[89, 91]) d`,
  )
  const kept = async () =>
    (await kit.sql(`select labels ->> 'tool' as tool from baton.metric_totals where labels ->> 'tool' like 'old%' order by 1`)).map(
      ({ tool }) => tool,
    )
  ok(await kit.store.readMetrics(authority, 'one'))
  expect(await kept()).toEqual(['old89', 'old91'])
  await kit.store.prune({ environment: 'test', limit: 1_000, part: 'rows' })
  expect(await kept()).toEqual(['old89'])
})

test('agents are counted up to a bound, and beyond it as the planner takes them; other environments are none of them', async () => {
  for (const name of ['g1', 'g2', 'g3', 'g4', 'g5']) await hold(kit, name)
  await kit.sql('analyze baton.agents')
  const about = async (env: string, most: number): Promise<number> =>
    Number((await kit.sql<{ n: string }>('select baton.agents_about($1, $2) as n', [env, most]))[0]?.n)
  expect([await about('test', 10_000), await about('test', 2), await about('elsewhere', 10_000)]).toEqual([5, 5, 0])
})

test('fsck beside somebody who holds an agent says whose it is, and leaves it', async () => {
  await kit.sql(`update baton.agents set queued = 7 where id = 'g1'`)
  const holder = new pg.Client({ connectionString: kit.databaseUrl })
  await holder.connect()
  try {
    await holder.query('begin')
    await holder.query(`select from baton.agents where id = 'g1' for update`)
    const { data } = await walked(kit, { repair: true })
    expect(data).toMatchObject([{ tenant: 'one', agentId: 'g1', busy: true, findings: [{ code: 'counter_differs' }] }])
  } finally {
    await holder.end()
  }
})

test('an alert that a commit holds does not keep the sweep waiting', async () => {
  await kit.sql(
    `insert into baton.alerts (environment, cause, text, raised_at) values ('test', 'poisoned:x', 'old', baton.clock() - interval '2 days')`,
  )
  const holder = new pg.Client({ connectionString: kit.databaseUrl })
  await holder.connect()
  try {
    await holder.query('begin')
    await holder.query(`select baton.raise_alert('test', 'poisoned:x', 'new')`)
    await kit.sql(`set lock_timeout = '2s'; select baton.take_alerts('test')`)
  } finally {
    await holder.end()
  }
})

test('an agent that is made in the last moment of its tenant is deleted with the next piece', async () => {
  const tenant = 'doomed'
  await kit.store.ensureTenant({ id: tenant, environment: 'test', secret: 'sealed' })
  const of: Authority = { ...authority, credential: { operator: { tenant, name: 'tester' } } }
  const erase = () => kit.store.erase(of, { scope: 'tenant', confirm: tenant })
  const maker = new pg.Client({ connectionString: kit.databaseUrl })
  await maker.connect()
  try {
    await kit.sql(
      `insert into baton.budgets (environment, tenant_id, scope, period, limit_micros) values ('test', $1, 'tenant', 'day', 1)`,
      [tenant],
    )
    await maker.query('begin')
    await maker.query(
      `insert into baton.agents (agent_uid, tenant_id, environment, id, template, settings) values (gen_random_uuid(), $1, 'test', 'late', 'plain', '{}')`,
      [tenant],
    )
    const erased = erase()
    const waits = async () =>
      (await kit.sql(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)).length > 0
    expect(await poll(waits, { everyMs: 20, forMs: 60_000 })).toBe(true)
    await maker.query('commit')
    expect(await erased).toMatchObject({ ok: true, more: true })
    // Nor is anything else of the tenant gone, above all no key that the next piece is asked for with.
    expect(await kit.sql('select 1 from baton.budgets where tenant_id = $1', [tenant])).toHaveLength(1)
  } finally {
    await maker.end()
  }
  expect(await erase()).toMatchObject({ ok: true, more: true, agents: 1 })
  expect(await erase()).toMatchObject({ ok: true, more: false })
  expect(await kit.sql(`select 1 from baton.tenants where id = $1`, [tenant])).toEqual([])
})

test('analysts read the views of reports and can do nothing else', async () => {
  const roles = await kit.sql<{ functions: string; tables: string[] }>(`select
    (select count(*) from pg_proc f join pg_namespace n on n.oid = f.pronamespace where n.nspname in ('baton', 'public') and f.proname !~ '^(gen_|uuid|armor|crypt|pgp|digest|hmac|dearmor)'
      and (n.nspname = 'baton' or f.proname like 'baton%') and has_function_privilege('baton_analyst', f.oid, 'execute')) as functions,
    (select coalesce(array_agg(c.relname::text order by c.relname), '{}') from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'baton' and c.relkind in ('r', 'v')
      and has_table_privilege('baton_analyst', c.oid, 'select, insert, update, delete')) as tables`)
  expect(roles).toEqual([
    { functions: '0', tables: ['report_agents', 'report_messages', 'report_runs', 'report_tool_calls', 'report_usage_daily'] },
  ])
})

test('a commit that has nothing to count writes no counts', async () => {
  const held = await hold(kit, 'uncounted')
  const rows = async () => (await kit.sql('select 1 from baton.metric_deltas')).length
  const before = await rows()
  await commit(kit, held, { progress: false })
  expect(await rows()).toBe(before)
  await commit(kit, held, { count: { steps: 1 } })
  expect(await rows()).toBe(before + 1)
})

const health = () => kit.store.health({ environment: 'test', ownTenant: 'one', keyHash: null })

test('a sweep beside a request hides no dead clock', async () => {
  await sweep()
  await kit.advance(600_000)
  await kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 0, limit: 10 })
  expect((await health()).lastSweepAgeMs).toBeGreaterThanOrEqual(600_000)
})

test('a provider that has not been tried for ten minutes is not failing, and begins anew with its next failure', async () => {
  const failed = async (held: Held) => {
    await commit(kit, held, { model: { name: 'ill/model', outcome: 'provider_timeout', ms: 1 }, progress: false })
    return (await health()).providers?.map(({ provider, failures }) => [provider, failures])
  }
  const held = await hold(kit, 'provider')
  await failed(held)
  expect(await failed(held)).toEqual([['ill', 2]])
  await kit.advance(601_000)
  expect((await health()).providers).toEqual([])
  expect(await failed(await take(kit, held.agentUid))).toEqual([['ill', 1]])
})

test('work in hand is not overdue, and a continuation whose time has not come is not late', async () => {
  await kit.sql('update baton.outbox set sent_at = baton.clock()')
  await kit.sql('update baton.runs set due_at = null')
  const held = await hold(kit, 'in-hand')
  await kit.advance(5_000)
  expect(await health()).toMatchObject({ oldestDueAgeMs: null, oldestOutboxAgeMs: null })
  await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 60_000 } })
  expect(await health()).toMatchObject({ oldestDueAgeMs: null, oldestOutboxAgeMs: null })
})

test('what a process tells twice is counted once; folding keeps the least and the greatest, and a bound belongs to its bucket', async () => {
  const told = (id: string, value: number) =>
    kit.store.addMetrics({ environment: 'test', id, counts: [['baton_run_duration_seconds', { state: 'odd' }, '=', value]] })
  for (const [id, value] of [
    ['m1', 0.5],
    ['m2', 2],
  ] as const) {
    await told(id, value)
    await told(id, value)
    await kit.advance(61_000)
    await sweep()
  }
  const answer = await kit.store.readMetrics(authority, 'one')
  const mine = answer.ok ? answer.samples.filter(([, labels]) => labels['state'] === 'odd') : []
  expect(Object.fromEntries(mine.map(([, , part, value]) => [part, value]))).toEqual({ '0.5': 1, '2': 1, sum: 2.5, min: 0.5, max: 2 })
})

test('the line of another environment is left to its own sweep', async () => {
  await kit.sql(`select baton.raise_alert('elsewhere', 'budget:far', 'far')`)
  const line = { cause: 'budget:far', text: 'far' }
  expect((await sweep()).alerts).not.toContainEqual(line)
  expect((await kit.store.sweep({ environment: 'elsewhere', everyMs: 0, resendMs: 0, limit: 10 })).alerts).toEqual([line])
})

test('a line that nobody has told in two minutes is given to another sweep, and a status that is over to none', async () => {
  const environment = 'silent'
  const given = async (): Promise<string[]> => {
    const { alerts } = await kit.store.sweep({ environment, everyMs: 0, resendMs: 0, limit: 10 })
    return alerts.map(({ text }) => text)
  }
  const tell = (status: 'degraded' | 'healthy') => kit.store.tellHealth({ environment, status, text: status })
  await kit.sql(`select baton.raise_alert($1, 'webhook:x', 'disabled')`, [environment])
  await tell('degraded')
  expect([await given(), await given()]).toEqual([['disabled'], []])
  await kit.advance(121_000)
  expect([await given(), await given()]).toEqual([['disabled', 'degraded'], []])
  await kit.store.alertsTold({ environment, causes: ['webhook:x'] })
  await tell('healthy')
  await kit.store.alertsTold({ environment, causes: ['health:healthy'] })
  await kit.advance(121_000)
  expect(await given()).toEqual([])
  // The same cause later: it is news again, and at once.
  await kit.advance(600_000)
  await kit.sql(`select baton.raise_alert($1, 'webhook:x', 'disabled again')`, [environment])
  expect(await given()).toEqual(['disabled again'])
})

test('a status that comes and goes is told once in ten minutes', async () => {
  const tell = async (status: 'degraded' | 'healthy') => (await kit.store.tellHealth({ environment: 'test', status, text: status })).send
  expect([await tell('healthy'), await tell('degraded'), await tell('healthy'), await tell('degraded')]).toEqual([false, true, true, false])
  await kit.advance(601_000)
  expect([await tell('healthy'), await tell('degraded')]).toEqual([true, true])
})

test('a status that comes back within ten minutes is told when they are over, unless it has gone again: the last line is true', async () => {
  const environment = 'back'
  const tell = async (status: 'unhealthy' | 'healthy') => {
    const { send } = await kit.store.tellHealth({ environment, status, text: status })
    if (send) await kit.store.alertsTold({ environment, causes: [`health:${status}`] })
    return send
  }
  const given = async () => {
    const { alerts } = await kit.store.sweep({ environment, everyMs: 0, resendMs: 0, limit: 10 })
    await kit.store.alertsTold({ environment, causes: alerts.map(({ cause }) => cause) })
    return alerts.map(({ text }) => text)
  }
  expect([await tell('unhealthy'), await tell('healthy'), await tell('unhealthy')]).toEqual([true, true, false])
  await kit.advance(300_000)
  expect(await given()).toEqual([])
  await kit.advance(301_000)
  expect([await given(), await given()]).toEqual([['unhealthy'], []])
  // It goes and comes: nobody is told again what they have heard last.
  expect([await tell('healthy'), await tell('unhealthy'), await tell('healthy'), await tell('unhealthy')]).toEqual([
    true,
    false,
    false,
    false,
  ])
  await kit.advance(601_000)
  expect([await tell('healthy'), await given(), await tell('unhealthy')]).toEqual([false, [], true])
})
