import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import type { Store } from '#lib/core/pages'
import { createStore } from '#lib/store/store'
import { startExecutor } from '#tests/store/engine-kit'
import { explained } from '#tests/store/explained'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

/*
 * What a step reads does not grow with the past of its agent. Counted from the plans of all statements, in rows: an average agent has hardly a past, so that the planner
 * thinks little of reading all calls or runs of one agent, and one agent has thousands of everything.
 */

let kit: StoreKit
let client: pg.Client
let store: Store
let plans: string[]

beforeAll(async () => {
  kit = await startStore()
  ;({ client, plans } = await explained(kit))
  store = createStore(async (name, argument) => {
    const { rows } = await client.query<{ answer: unknown }>({
      name,
      text: `select public.${pg.escapeIdentifier(name)}($1::jsonb) as answer`,
      values: [JSON.stringify(argument)],
    })
    return rows[0]?.answer
  })
}, 120_000)
afterAll(async () => {
  await client.end()
  await kit.close()
})

const look = defineTool({ name: 'look', description: '', input: z.object({}), effect: 'pure', run: () => 'seen' })
const pay = defineTool({ ...look, name: 'pay', effect: 'once', costMicros: 5 })
const ask = defineTool({ ...look, name: 'ask' })
const outside = defineTool({ name: 'outside', description: '', input: z.object({}), effect: 'external' })
const tools = [look, pay, ask, outside]
const agent = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.', tools, permission: { ask: ['ask'] } })

/** One run on all roads of a call: at once, for money, after a person's word, from outside; then another, which is stopped while it waits. */
async function play(name: string): Promise<void> {
  const script = [{ tools: tools.map((tool) => ({ name: tool.name })) }, { text: 'bye' }]
  const executor = startExecutor(kit, agent, script, { store })
  expect(await executor.send(name)).toMatchObject({ kind: 'paused' })
  const { agentUid } = ok(await store.getAgent(authority, name)).agent
  const [approval] = ok(await store.listApprovals(authority, { agent: name, state: 'pending', limit: 1, after: null })).data
  const decided = ok(await store.decide(authority, { approvalId: approval?.id ?? '', decision: 'allow' }))
  expect(await executor.goOn(agentUid)).toMatchObject({ kind: 'waiting' })
  const waits = await kit.sql<{ call_id: string }>('select call_id from baton.external_waits where agent_uid = $1', [agentUid])
  const heard = { state: 'completed', output: { type: 'text', value: 'heard' }, requestId: 'req_1' } as const
  ok(await store.callResult({ environment: 'test', agentUid, callId: waits[0]?.call_id ?? '', ...heard }))
  expect(await executor.goOn(agentUid)).toMatchObject({ kind: 'ended', output: 'bye' })
  await store.outboxSent([...executor.sent, ...decided.outbox.map(({ id }) => id)])
  expect(await startExecutor(kit, agent, [{ tools: [{ name: 'ask' }] }], { store }).send(name)).toMatchObject({ kind: 'paused' })
  for (const page of [{}, { before: 1_000_000 }]) expect((await store.listMessages({ agentUid, ...page, limit: 4 })).data).toHaveLength(4)
  ok(await store.stop(authority, { agent: name }, 'cancelled', null))
}

const grows =
  /Scan.* on (?:agents|runs|messages|inbox|tool_calls|events|outbox|webhook_deliveries|idempotency|agent_state|reservations|approvals|external_waits|audit)\b/

/** How many rows a node of a plan has read: those it gave and those it passed over, `under` it, in all its loops. */
function rowsRead(node: string, under: readonly string[]): number {
  const [, rows = 0, loops = 0] = (/actual time=\S+ rows=([\d.]+) loops=(\d+)/.exec(node) ?? []).map(Number)
  const end = under.findIndex((line) => line.includes('->'))
  const passed = (end < 0 ? under : under.slice(0, end)).map((line) => Number(/Rows Removed by [\w ]+: (\d+)/.exec(line)?.[1] ?? 0))
  return (rows + passed.reduce((sum, one) => sum + one, 0)) * loops
}

/** The statements that have read more rows of a table that grows than a window holds. */
function wide(): string[] {
  return plans.flatMap((plan) => {
    const lines = plan.split('\n')
    const most = Math.max(0, ...lines.map((line, at) => (grows.test(line) ? rowsRead(line, lines.slice(at + 1)) : 0)))
    return most > 250 ? [`${most} rows: ${/Query Text: ([^]{0,200})/.exec(plan)?.[1] ?? plan}`] : []
  })
}

/** 5,000 ended runs with a message, five events, a call, an approval, a reservation, an outbox row and a delivery each. */
async function fillPast(name: string): Promise<void> {
  const runs = `baton.runs r join baton.agents a using (agent_uid) where a.id = $1`
  const statements = [
    `insert into baton.runs (run_id, agent_uid, tenant_id, environment, state, stop_reason, limits, ended_at)
      select 'run_00' || g || a.id, a.agent_uid, a.tenant_id, a.environment, 'completed', 'end_turn', '{}', baton.clock() from baton.agents a, generate_series(1, 5000) g where a.id = $1`,
    `insert into baton.messages (agent_uid, seq, tenant_id, role, content, bytes, est_tokens)
      select a.agent_uid, a.last_message_seq + g, a.tenant_id, 'user', '"text"', 6, 3 from baton.agents a, generate_series(1, 5000) g where a.id = $1`,
    `insert into baton.events (agent_uid, seq, tenant_id, run_id, channel, type, data)
      select a.agent_uid, a.last_event_seq + g, a.tenant_id, 'run_00' || (g / 5) || a.id, 'monitor', 'x', '{}' from baton.agents a, generate_series(1, 25000) g where a.id = $1`,
    `update baton.agents set last_message_seq = last_message_seq + 5000, window_from = last_message_seq + 4900, window_tokens = 300, last_event_seq = last_event_seq + 25000
      where id = $1`,
    `insert into baton.tool_calls (agent_uid, call_id, tenant_id, run_id, step, index, name, effect, state, idempotency_key, entered)
      select r.agent_uid, 'call_' || r.run_id, r.tenant_id, r.run_id, 1, 0, 'look', 'pure', 'completed', 'k', true from ${runs}`,
    `insert into baton.approvals (id, tenant_id, environment, agent_uid, run_id, call_id, tool, input_hash, fingerprint, state, expires_at, default_decision)
      select 'apr_' || r.run_id, r.tenant_id, r.environment, r.agent_uid, r.run_id, 'call_' || r.run_id, 'look', 'h', 'f', 'allowed', now(), 'deny' from ${runs}`,
    `insert into baton.reservations (id, tenant_id, environment, agent_uid, agent_id, run_id, step, attempt, epoch, micros, state)
      select 'res_' || r.run_id, r.tenant_id, r.environment, r.agent_uid, a.id, r.run_id, 1, 0, 1, 5, 'settled' from ${runs}`,
    `insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at, sent_at)
      select 'out_' || r.run_id, r.tenant_id, r.environment, 'continue', r.agent_uid, '{}', now(), now() from ${runs}`,
    `insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, agent_uid, run_id, url, type, payload, state, ended_at)
      select 'dlv_' || r.run_id, 'e', r.tenant_id, r.environment, r.agent_uid, r.run_id, 'u', 't', '{}', 'delivered', now() from ${runs}`,
  ]
  for (const statement of statements) await kit.sql(statement, [name])
}

/** Agents of one call each, so that on average an agent is nothing to read. */
async function fillOthers(): Promise<void> {
  await kit.sql(`insert into baton.agents (agent_uid, tenant_id, environment, id, template, settings)
    select gen_random_uuid(), 'one', 'test', 'a' || g, 'plain', (select settings from baton.agents where id = 'long') from generate_series(1, 5000) g`)
  await kit.sql(`insert into baton.runs (run_id, agent_uid, tenant_id, environment, state, limits)
    select 'run_00' || md5(a.id), a.agent_uid, 'one', 'test', 'completed', '{}' from baton.agents a where a.id like 'a%'`)
  await kit.sql(`insert into baton.tool_calls (agent_uid, call_id, tenant_id, run_id, step, index, name, effect, state, idempotency_key, entered)
    select r.agent_uid, 'call_' || r.run_id, 'one', r.run_id, 1, 0, 'look', 'pure', 'completed', 'k', true from baton.runs r join baton.agents a using (agent_uid) where a.id like 'a%'`)
}

test('what a run reads does not grow with the past of its agent, whatever the planner believed when it made its plans', async () => {
  const budget = { scope: 'tool:pay', period: 'day' } as const
  ok(await store.putBudget(authority, budget, { limitMicros: 1_000_000 }))
  // As often as it takes until Postgres keeps the plans.
  for (let at = 0; at < 6; at++) await play('long')
  await fillPast('long')
  const found: Record<string, string[]> = {}
  for (const [believed, prepare] of [
    ['that all tables are as good as empty', async () => undefined],
    ['that there is one agent', () => kit.sql('vacuum analyze')],
    ['that agents have hardly a past', async () => fillOthers().then(() => kit.sql('vacuum analyze'))],
  ] as const) {
    await prepare()
    plans.length = 0
    await play('long')
    expect(plans.length).toBeGreaterThan(300)
    found[believed] = wide()
  }
  expect(found).toEqual(Object.fromEntries(Object.keys(found).map((believed) => [believed, []])))
}, 240_000)
