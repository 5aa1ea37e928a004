import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { explained } from '#tests/store/explained'
import {
  answered,
  authority,
  claimRequest,
  commitOf,
  completed,
  execution,
  hold,
  ids,
  openRequest,
  startStore,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
let client: pg.Client
let plans: string[]

beforeAll(async () => {
  kit = await startStore()
  // 10,000 ended runs of 2,000 agents with events, keys, deliveries and ledger; one agent has 5,000 messages.
  await hold(kit, 'long')
  await kit.sql(`insert into baton.agents (agent_uid, tenant_id, environment, id, template, settings)
    select gen_random_uuid(), 'one', 'test', 'a' || g, 'plain', (select settings from baton.agents where id = 'long') from generate_series(1, 2000) g`)
  await kit.sql(`insert into baton.runs (run_id, agent_uid, tenant_id, environment, state, limits)
    select 'run_' || md5(a.id || g), a.agent_uid, 'one', 'test', 'completed', '{}' from baton.agents a, generate_series(1, 5) g where a.id like 'a%'`)
  await kit.sql(`insert into baton.messages (agent_uid, seq, tenant_id, role, content, bytes, est_tokens)
    select a.agent_uid, g, 'one', case g % 2 when 0 then 'user' else 'assistant' end, '"text"', 6, 3 from baton.agents a, generate_series(2, 5000) g where a.id = 'long'`)
  await kit.sql(`update baton.agents set last_message_seq = 5000, window_from = 4900 where id = 'long'`)
  await kit.sql(`insert into baton.events (agent_uid, seq, tenant_id, run_id, channel, type, data)
    select r.agent_uid, row_number() over (partition by r.agent_uid), 'one', r.run_id, 'monitor', 'x', '{}' from baton.runs r, generate_series(1, 5) where state = 'completed'`)
  await kit.sql(`insert into baton.tool_calls (agent_uid, call_id, tenant_id, run_id, step, index, name, effect, state, idempotency_key, entered)
    select r.agent_uid, 'call_' || r.run_id, 'one', r.run_id, 1, 0, 'echo', 'pure', 'completed', 'k', true from baton.runs r`)
  await kit.sql(`insert into baton.reservations (id, tenant_id, environment, agent_uid, agent_id, run_id, step, attempt, epoch, micros, state)
    select 'res_' || r.run_id, 'one', 'test', r.agent_uid, 'x', r.run_id, 1, 0, 1, 5, 'settled' from baton.runs r`)
  await kit.sql(
    `insert into baton.idempotency (tenant_id, caller, key, hash, run_id, agent_uid) select 'one', 'c', r.run_id, 'h', r.run_id, r.agent_uid from baton.runs r`,
  )
  await kit.sql(`insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at, sent_at)
    select 'out_' || r.run_id, 'one', 'test', 'continue', r.agent_uid, '{}', now(), now() from baton.runs r`)
  await kit.sql(`insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, agent_uid, run_id, url, type, payload, state, ended_at)
    select 'dlv_' || r.run_id, 'e', 'one', 'test', r.agent_uid, r.run_id, 'u', 't', '{}', 'delivered', now() from baton.runs r`)
  await kit.sql(`update baton.agents a set last_event_seq = 25 where a.id like 'a%'`)
  await kit.sql(`insert into baton.agent_state (agent_uid, key, value) select agent_uid, 'k', '1' from baton.agents`)
  await kit.sql(`insert into baton.inbox (agent_uid, position, tenant_id, run_id, mode, content, bytes, est_tokens, limits)
    select agent_uid, 0, 'one', 'run_x' || id, 'enqueue', '1', 1, 1, '{}' from baton.agents where id > 'a5' and id like 'a%'`)
  await kit.sql('vacuum analyze')
  ;({ client, plans } = await explained(kit))
}, 120_000)
afterAll(async () => {
  await client.end()
  await kit.close()
})

/** The tables that grow; the others hold a row a tenant, an environment or a model. */
const growing =
  /Seq Scan on (agents|runs|messages|inbox|tool_calls|events|outbox|webhook_deliveries|idempotency|agent_state|reservations)\b[^\n]*\n?[^\n]*/g

/** Calls the function as the store does and answers with its result and the scans of whole tables in all its statements. */
async function scans(name: string, argument: object): Promise<{ answer: Record<string, unknown>; scans: string[] }> {
  plans.length = 0
  const { rows } = await client.query<{ answer: Record<string, unknown> }>(`select public.baton_${name}($1::jsonb) as answer`, [
    JSON.stringify(argument),
  ])
  const answer = rows[0]?.answer ?? {}
  expect(plans.length).toBeGreaterThan(1)
  return { answer, scans: plans.flatMap((plan) => plan.match(growing) ?? []).filter((line) => !line.includes('never executed')) }
}

test('the road of a turn reads nothing by scanning: open, commit with tools, claim, renew, stop, end', async () => {
  const opened = await scans('open', openRequest('a7', { execute: execution(), idempotency: { key: 'plan', hash: 'h' } }))
  expect(opened).toMatchObject({ answer: { ok: true }, scans: [] })
  const held = await hold(kit, 'a8')
  const call = toolCall(0)
  const step = commitOf(held, { ...answered(), calls: [call] }, { start: [call.callId] })
  expect(await scans('commit', step)).toMatchObject({ answer: { ok: true }, scans: [] })
  expect(await scans('renew', { ...held, answer: undefined, leaseMs: 30_000 })).toMatchObject({ answer: { ok: true }, scans: [] })
  expect(await scans('open', openRequest('a8', { onBusy: 'steer' }))).toMatchObject({ answer: { ok: true }, scans: [] })
  const release = commitOf(
    held,
    { calls: [{ ...call, state: 'completed', output: { type: 'text', value: 'x' } }] },
    { release: 'slice_deadline' },
  )
  expect(await scans('commit', release)).toMatchObject({ answer: { ok: true }, scans: [] })
  expect(await scans('claim', claimRequest(held.agentUid))).toMatchObject({ answer: { ok: true }, scans: [] })
  for (const target of [{ agent: 'a8' }, { runId: held.runId }]) {
    expect(await scans('stop', { ...authority, ...target, kind: 'cancelled', note: null })).toMatchObject({
      answer: { ok: true },
      scans: [],
    })
  }
})

test('the window of a long conversation is read by its own rows alone', async () => {
  const rows = await kit.sql<{ agent_uid: string }>(`select agent_uid from baton.agents where id = 'long'`)
  await kit.advance(31_000)
  const { answer, scans: found } = await scans('claim', claimRequest(rows[0]?.agent_uid ?? ids.uuid()))
  expect(answer).toMatchObject({ ok: true })
  expect(found).toEqual([])
  const read = plans.join('\n').match(/on messages[^\n]*actual time[^\n]*rows=(\d+)/g) ?? []
  const most = Math.max(...read.map((line) => Number(/rows=(\d+) loops/.exec(line)?.[1] ?? 0)))
  expect(most).toBeLessThanOrEqual(101)
})

test('the sweeper uses the partial indexes, retention the ages; pages and deletion the keys', async () => {
  for (const name of ['a20', 'a21', 'a22']) await kit.store.open(openRequest(name))
  await kit.sql('analyze baton.runs')
  await kit.advance(11_000)
  const swept = await scans('sweep', { environment: 'test', everyMs: 0, resendMs: 1_000, limit: 100 })
  expect(swept.scans).toEqual([])
  expect(plans.join('\n')).toContain('runs_to_resend_by_turn')
  expect(plans.join('\n')).toContain('outbox_unsent_in_turn')
  // Retention walks over the agents from where it stopped: 500 of them by their key, and no more.
  const pruned = await scans('prune', { environment: 'test', limit: 500 })
  expect(pruned).toMatchObject({ answer: { more: true }, scans: [] })
  const { agent_uid: agentUid } = (await kit.sql<{ agent_uid: string }>(`select agent_uid from baton.agents where id = 'long'`))[0] ?? {
    agent_uid: '',
  }
  const where = { ...authority, limit: 20, after: null }
  for (const [name, argument] of [
    ['list_messages', { agentUid, limit: 20 }],
    ['list_messages', { agentUid, before: 4_000, limit: 20 }],
    ['list_events', { agentUid, after: 0, limit: 20 }],
    ['list_tool_calls', { agentUid, limit: 20, after: null }],
    ['list_runs', where],
    ['list_runs', { ...where, agentUid }],
    ['list_agents', where],
    ['get_agent', { ...where, agent: 'long' }],
    ['delete_agent', { ...where, agent: 'a30' }],
  ] as const) {
    expect({ name, scans: (await scans(name, argument)).scans }).toEqual({ name, scans: [] })
    const removed = [...plans.join('\n').matchAll(/Rows Removed by Filter: (\d+)/g)].map((match) => Number(match[1]))
    expect({ name, most: Math.max(0, ...removed.filter((rows) => rows > 500)) }).toEqual({ name, most: 0 })
  }
})

test('commits are HOT updates of the agent and the run, and so is what follows the row of a run that begins at once', async () => {
  // What this session has not reported yet: others report what they did before up to ten seconds later.
  const own = async () => {
    const { rows } = await client.query<{ updates: number; hot: number }>(
      `select n_tup_upd::integer as updates, n_tup_hot_upd::integer as hot from pg_stat_xact_user_tables where schemaname = 'baton' and relname = 'runs'`,
    )
    return rows[0] ?? { updates: 0, hot: 0 }
  }
  await client.query('begin')
  const fresh = await own()
  for (let at = 0; at < 10; at++) await scans('open', openRequest(`hot-${at}`, { execute: execution() }))
  const opened = await own()
  await client.query('commit')
  expect(opened.updates - fresh.updates).toBe(10)
  expect(opened.hot - fresh.hot).toBeGreaterThanOrEqual(8)
  const held = await hold(kit, 'hot')
  const before = await counters()
  // Through one session, which can be told to report its counters.
  for (let step = 0; step < 40; step++)
    await scans('commit', commitOf(held, { ...answered(), count: { step: step + 1, steps: 1, modelCalls: 1 } }))
  await scans('commit', commitOf(held, answered(), completed))
  const after = await counters()
  for (const table of ['agents', 'runs'] as const) {
    const updates = after[table].updates - before[table].updates
    const hot = after[table].hot - before[table].hot
    expect(updates).toBeGreaterThanOrEqual(41)
    expect(hot / updates).toBeGreaterThan(0.8)
  }
})

test('a switch finds the open runs by their own index, and among many switches each look is one by key', async () => {
  await kit.sql(`insert into baton.switches (environment, tenant_id, scope, mode, reason, actor)
    select 'test', 'one', 'agent:none' || g, 'kill', 'x', 'x' from generate_series(1, 2000) g`)
  await kit.sql(`update baton.runs set ended_at = now() where state = 'completed' and ended_at is null`)
  await kit.sql('vacuum analyze baton.runs')
  await kit.sql('analyze baton.switches')
  const held = await hold(kit, 'a9')
  for (const scope of ['agent:a10', `run:${held.runId}`, `user:${ids.uuid()}`, 'key:k1', 'tenant', 'global'])
    for (const [name, more] of [
      ['set_switch', { mode: 'kill', reason: 'x' }],
      ['lift_switch', { reason: null }],
    ] as const)
      expect({ name, scope, ...(await scans(name, { ...authority, scope, ...more })) }).toMatchObject({ answer: { ok: true }, scans: [] })
  const step = commitOf(held, answered(), {})
  expect(await scans('commit', step)).toMatchObject({ answer: { ok: true }, scans: [] })
  expect(plans.join('\n')).toContain('switches_pkey')
  expect(await scans('apply_switch_work', { environment: 'test', limit: 100 })).toMatchObject({ answer: { ok: true }, scans: [] })
})

async function counters(): Promise<Record<'agents' | 'runs', { updates: number; hot: number }>> {
  await client.query('select pg_stat_force_next_flush()')
  const { rows } = await client.query<{ relname: 'agents' | 'runs'; updates: string; hot: string }>(
    `select relname, n_tup_upd as updates, n_tup_hot_upd as hot from pg_stat_user_tables where schemaname = 'baton' and relname in ('agents', 'runs')`,
  )
  const of = (name: string) => {
    const row = rows.find((candidate) => candidate.relname === name)
    return { updates: Number(row?.updates), hot: Number(row?.hot) }
  }
  return { agents: of('agents'), runs: of('runs') }
}

test('behind a backlog the sweep and health read the first few rows of a tenant, however many wait', async () => {
  await kit.sql(`update baton.runs r set state = 'running', ended_at = null, due_at = baton.clock() - interval '1 hour' from baton.agents a
    where a.agent_uid = r.agent_uid and a.id like 'a1%' and r.run_id = (select min(x.run_id) from baton.runs x where x.agent_uid = r.agent_uid)`)
  await kit.sql(
    `update baton.outbox set sent_at = null, due_at = baton.clock() - interval '1 hour', created_at = baton.clock() - interval '1 hour'`,
  )
  await kit.sql('vacuum analyze')
  const [due] = await kit.sql<{
    runs: number
    rows: number
  }>(`select (select count(*)::integer from baton.runs where due_at is not null) as runs,
    (select count(*)::integer from baton.outbox where sent_at is null) as rows`)
  expect(due?.runs).toBeGreaterThan(1_000)
  expect(due?.rows).toBeGreaterThan(5_000)
  for (const [name, argument] of [
    ['sweep', { environment: 'test', everyMs: 0, resendMs: 1_000, limit: 20 }],
    ['health', { environment: 'test', ownTenant: 'one', keyHash: null }],
  ] as const) {
    expect((await scans(name, argument)).answer).toMatchObject({ ok: true })
    const read = [...plans.join('\n').matchAll(/on (?:runs|agents|outbox)\b[^\n]*actual time=\S+ rows=(\d+)(?:\.\d+)? loops=(\d+)/g)]
    expect(read.length).toBeGreaterThan(3)
    expect(Math.max(...read.map(([, rows, loops]) => Number(rows) * Number(loops))), name).toBeLessThan(100)
  }
})
