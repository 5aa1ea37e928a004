import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { rpcTimeoutMs } from '#lib/store/rpc'
import { createDatabase, dropDatabase, prepareDatabase } from '#local/database'
import { migrate, readMigrations } from '#supabase/migrate'
import { asUser, hold, ids, startStore, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
const [alice, bob] = [ids.uuid(), ids.uuid()]
beforeAll(async () => {
  kit = await startStore()
  await hold(kit, 'of-alice', { credential: asUser(alice) })
  await hold(kit, 'of-bob', { credential: asUser(bob) })
})
afterAll(() => kit.close())

/** Runs the statement as a role of the API, with the user's claims. */
async function as(role: 'anon' | 'authenticated', user: string | null, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query(`select set_config('request.jwt.claim.sub', $1, true), set_config('request.jwt.claims', $2, true)`, [
      user ?? '',
      JSON.stringify({ sub: user, role }),
    ])
    await client.query(`set local role ${role}`)
    return await client.query(text)
  } finally {
    await client.end()
  }
}

test('anon and authenticated execute none of the functions and touch no table', async () => {
  const functions = await kit.sql<{ call: string }>(
    `select format('%I.%I', n.nspname, p.proname) as call from pg_proc p join pg_namespace n on n.oid = p.pronamespace where (n.nspname = 'public' and p.proname like 'baton\\_%') or n.nspname = 'baton'`,
  )
  expect(functions.length).toBeGreaterThan(60)
  const open = await kit.sql(
    `select p.oid::regprocedure::text as f, r.role from pg_proc p join pg_namespace n on n.oid = p.pronamespace, (values ('anon'), ('authenticated')) r (role)
    where ((n.nspname = 'public' and p.proname like 'baton\\_%') or n.nspname = 'baton') and has_function_privilege(r.role, p.oid, 'execute')`,
  )
  expect(open).toEqual([])
  await expect(as('anon', null, `select public.baton_health('{}')`)).rejects.toThrow(/permission denied/)
  await expect(as('authenticated', alice, `select public.baton_list_agents('{"tenant":"one"}')`)).rejects.toThrow(/permission denied/)
  for (const table of [
    'agents',
    'runs',
    'messages',
    'events',
    'tool_calls',
    'tenants',
    'reservations',
    'idempotency',
    'outbox',
    'webhook_deliveries',
    'webhook_endpoints',
    'agent_state',
  ]) {
    await expect(as('anon', null, `select 1 from baton.${table}`)).rejects.toThrow(/permission denied/)
    await expect(as('authenticated', alice, `delete from baton.${table}`)).rejects.toThrow(/permission denied/)
  }
  for (const table of [
    'tenants',
    'reservations',
    'idempotency',
    'outbox',
    'webhook_deliveries',
    'webhook_endpoints',
    'agent_state',
    'inbox',
    'gates',
    'sweeps',
  ]) {
    await expect(as('authenticated', alice, `select 1 from baton.${table}`)).rejects.toThrow(/permission denied/)
  }
})

test('a user reads what is theirs through the views and nothing else; every table has row level security', async () => {
  for (const [user, name] of [
    [alice, 'of-alice'],
    [bob, 'of-bob'],
  ] as const) {
    expect((await as('authenticated', user, 'select id from public.baton_agents')).rows).toEqual([{ id: name }])
    for (const view of ['runs', 'messages', 'events']) {
      const { rows } = await as('authenticated', user, `select distinct owner_id from public.baton_${view}`)
      expect(rows).toEqual([{ owner_id: user }])
    }
  }
  expect((await as('authenticated', ids.uuid(), 'select 1 from public.baton_messages')).rows).toEqual([])
  // What the machinery notes for itself is nobody's to read.
  for (const name of ['baton.agents', 'baton.runs', 'public.baton_agents', 'public.baton_runs'])
    for (const column of name.endsWith('agents') ? ['past_slices', 'last_answer'] : ['resends', 'resend_at'])
      await expect(as('authenticated', alice, `select ${column} from ${name}`)).rejects.toThrow(/permission denied|does not exist/)
  await expect(as('anon', null, 'select 1 from public.baton_agents')).rejects.toThrow(/permission denied/)
  await expect(as('authenticated', alice, `update public.baton_agents set template = 'x'`)).rejects.toThrow(/permission denied/)
  const open = await kit.sql(`select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'baton' and c.relkind = 'r' and not c.relrowsecurity and c.relname <> 'local_clock'`)
  expect(open).toEqual([])
})

// What the planner must be able to put in place, which a search_path of their own forbids; they name everything in full
// and are called only by functions whose path is empty.
const inlined = [
  'baton.wanted_agent(baton.agents,jsonb)',
  'baton.wanted_run(baton.runs,jsonb)',
  'baton.message_json(baton.messages)',
  'baton.window_json(baton.messages,text)',
  'baton.samples_of(jsonb)',
  'baton.clock()',
]

test('every function has an empty search_path of its own', async () => {
  const loose = await kit.sql<{
    f: string
  }>(`select p.oid::regprocedure::text as f from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where (n.nspname = 'baton' or (n.nspname = 'public' and p.proname like 'baton\\_%')) and not coalesce(p.proconfig @> array['search_path=""'], false)`)
  expect(loose.map((row) => row.f).filter((name) => !inlined.includes(name))).toEqual([])
})

// What waits for rows that others hold: the verbs of a turn and of an agent, decisions, and what an administrator sets for many.
const waiting =
  'open create_agent patch_agent delete_agent stop settle retry_run claim renew commit_step decide call_result retry_candidates set_switch lift_switch put_budget delete_budget wake_budgets repair_agent fsck'

test('who waits for a lock gives up before its caller does, who would not know whether it was done', async () => {
  const rows = await kit.sql<{ name: string; ms: number }>(
    `select p.proname as name, (extract(epoch from split_part(c, '=', 2)::interval) * 1000)::integer as ms
      from pg_proc p cross join unnest(p.proconfig) c where p.pronamespace = 'baton'::regnamespace and c like 'lock_timeout=%'`,
  )
  const given = Object.fromEntries(rows.map(({ name, ms }) => [name, ms]))
  expect(waiting.split(' ').filter((name) => !((given[name] ?? 0) > 0 && (given[name] ?? 0) < rpcTimeoutMs))).toEqual([])
})

test('after a dump was restored where everybody is granted what is new in public, a migration with nothing to apply takes it away again', async () => {
  const open = async () => (await kit.store.doctor({ environment: 'test' })).openFunctions
  expect(await open()).toEqual([])
  await kit.sql('grant execute on function public.baton_open(jsonb) to authenticated')
  expect(await open()).toEqual(['baton_open'])
  await kit.sql('grant execute on all functions in schema public to anon, authenticated')
  await kit.sql('grant all on all tables in schema public to anon, authenticated')
  expect((await open()).length).toBeGreaterThan(60)
  // Work in hand holds its tables and keeps nobody from it.
  const work = new pg.Client({ connectionString: kit.databaseUrl })
  await work.connect()
  try {
    await work.query('begin; lock table baton.agents, baton.runs, baton.messages in row exclusive mode')
    expect(await migrate({ databaseUrl: kit.databaseUrl, locks: { waitMs: 500, forMs: 0 } })).toEqual({ applied: [] })
  } finally {
    await work.end()
  }
  expect(await open()).toEqual([])
  await expect(as('anon', null, 'select 1 from public.baton_agents')).rejects.toThrow(/permission denied/)
})

test('a database that has public.agents, messages and events migrates, and each file applies twice', async () => {
  const name = `baton_twice_${ids.uuid().replaceAll('-', '')}`
  const url = await createDatabase(inject('clusterUrl'), name)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(
      'create table public.agents (id int); create table public.messages (id int); create table public.events (id int); insert into public.agents values (7)',
    )
    await prepareDatabase(url)
    for (const { sql } of await readMigrations()) await client.query(sql)
    for (const { sql } of await readMigrations()) await client.query(sql)
    expect((await client.query('select id from public.agents')).rows).toEqual([{ id: 7 }])
    const { rows } = await client.query<{ answer: unknown }>(`select public.baton_health('{"environment":"x"}') as answer`)
    expect(rows[0]?.answer).toMatchObject({ ok: true })
  } finally {
    await client.end()
    await dropDatabase(inject('clusterUrl'), name)
  }
})
