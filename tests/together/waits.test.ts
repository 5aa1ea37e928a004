import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { toNextDay } from '#tests/day'
import { acting, charging, pausedBody } from '#tests/approvals/acting'
import { runOf, runsOf, until } from '#tests/engine/helpers'
import { lift, setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
const { asked, charges, decide } = acting(() => world)
beforeAll(async () => {
  const templates = localTemplates({
    templates: [
      { id: 'asks', model: 'local/scripted', permission: { ask: ['charge'] }, toolCosts: { charge: 70 } },
      { id: 'lenient', model: 'local/scripted', permission: { ask: ['charge'] }, approvalExpiresMs: 60_000, approvalDefault: 'allow' },
    ],
  })
  world = await startWorld({ servers: 2, env: { ...templates, BATON_SWEEP_EVERY: '1s' } })
  await toNextDay(world, 300_000)
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 120_000 })

const outside = script({ tools: [{ name: 'outside', input: {} }] }, { text: 'answered' })
const pathOf = (url: unknown): string => {
  const { pathname, search } = new URL(String(url))
  return pathname + search
}
async function waitsOutside(agent: string): Promise<{ runId: string; url: string }> {
  const reply = await world.send(agent, outside, { prefer: 'wait=25' })
  return { runId: runOf(reply), url: pathOf(pausedBody(reply).externalCalls[0]?.callbackUrl) }
}
const auditOf = (runId: string, action: string): Promise<Record<string, unknown>[]> =>
  world.sql('select decision, code, actor, request_id, trace_id from baton.audit where run_id = $1 and action = $2 order by id', [
    runId,
    action,
  ])
/** What the ledger says that the tools of the run have cost. */
async function paidFor(runId: string): Promise<number> {
  const [row] = await world.sql<{ n: string }>(
    `select coalesce(sum(cost_micros), 0) as n from baton.reservations where run_id = $1 and model like 'tool:%'`,
    [runId],
  )
  return Number(row?.n)
}
/** Nothing is due, nobody holds a lease: nothing can happen by itself. */
const idle = async (runId: string): Promise<boolean> =>
  (
    await world.sql(
      'select 1 from baton.runs r join baton.agents a using (agent_uid) where r.run_id = $1 and r.due_at is null and a.lease_owner is null',
      [runId],
    )
  ).length === 1

test('a kill of a run that awaits an approval cancels it: a decision afterwards executes nothing', async () => {
  const { runId, approval } = await asked('kill-asked')
  const queued = runOf(await world.send('kill-asked', 'next', { template: 'asks', prefer: 'respond-async' }))
  await setSwitch(world, 'agent:kill-asked')
  for (const id of [runId, queued]) expect(await world.ended(id)).toMatchObject({ state: 'killed' })
  expect((await world.http('GET', `/api/approvals/${approval.id}`)).body).toMatchObject({ state: 'cancelled' })
  for (const server of [0, 1]) {
    expect(await decide(approval.id, { decision: 'allow' }, server)).toMatchObject({ status: 409, body: { code: 'already_decided' } })
  }
  await lift(world, 'agent:kill-asked')
  expect(await world.send('kill-asked', 'again', { template: 'asks', prefer: 'wait=25' })).toMatchObject({ status: 200 })
  expect(await charges('kill-asked')).toBe(0)
  expect(await paidFor(runId)).toBe(0)
  expect(await auditOf(runId, 'run.kill')).toHaveLength(1)
  expect((await auditOf(runId, 'approval.decide')).map((entry) => entry['decision'])).toEqual(['refused', 'refused'])
})

test('a kill of a run that waits outside: the callback comes too late and nothing goes on', async () => {
  const { runId, url } = await waitsOutside('kill-outside')
  await setSwitch(world, `run:${runId}`)
  expect(await world.ended(runId)).toMatchObject({ state: 'killed' })
  for (const server of [0, 1]) {
    expect(await world.http('POST', url, { output: 'late' }, {}, server)).toMatchObject({ status: 409, body: { code: 'already_decided' } })
  }
  expect(await world.run(runId)).toMatchObject({ state: 'killed' })
  expect(await auditOf(runId, 'tool.result')).toEqual([])
})

test('a hold while an approval waits: the decision counts, nothing runs before the hold is lifted, then it runs once', async () => {
  const { runId, approval } = await asked('hold-asked')
  await setSwitch(world, 'agent:hold-asked', { mode: 'hold' })
  expect(await decide(approval.id, { decision: 'allow' })).toMatchObject({ status: 200, body: { state: 'allowed' } })
  await until('it is held', async () => (await world.run(runId)).wait?.kind === 'hold')
  expect(await idle(runId)).toBe(true)
  expect(await charges('hold-asked')).toBe(0)
  await lift(world, 'agent:hold-asked')
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'over' })
  expect([await charges('hold-asked'), await paidFor(runId)]).toEqual([1, 70])
})

test('a hold while the outside is asked: the result is taken and waits for the lift; a kill after it ends the run', async () => {
  const first = await waitsOutside('hold-outside')
  const second = await waitsOutside('hold-outside-2')
  await setSwitch(world, 'tenant', { mode: 'hold' })
  for (const { url } of [first, second]) expect(await world.http('POST', url, { output: 'here' })).toMatchObject({ status: 200 })
  for (const { runId } of [first, second]) await until('it is held', async () => (await world.run(runId)).wait?.kind === 'hold')
  await setSwitch(world, `run:${second.runId}`)
  expect(await world.ended(second.runId)).toMatchObject({ state: 'killed' })
  await lift(world, 'tenant')
  expect(await world.ended(first.runId)).toMatchObject({ state: 'completed', output: 'answered' })
  expect(await world.run(second.runId)).toMatchObject({ state: 'killed' })
})

test('an approval whose default is allow expires under a hold and under a kill: held it waits, killed it never runs', async () => {
  const held = await asked('expire-held', 'lenient')
  const killed = await asked('expire-killed', 'lenient')
  await setSwitch(world, 'agent:expire-held', { mode: 'hold' })
  await setSwitch(world, 'agent:expire-killed')
  await world.advance(61_000)
  await until('the default was applied', async () => {
    return (await world.http('GET', `/api/approvals/${held.approval.id}`)).body['state'] === 'expired'
  })
  await until('it is held', async () => (await world.run(held.runId)).wait?.kind === 'hold')
  expect(await charges('expire-held')).toBe(0)
  expect(await world.ended(killed.runId)).toMatchObject({ state: 'killed' })
  await lift(world, 'agent:expire-held')
  expect(await world.ended(held.runId)).toMatchObject({ state: 'completed' })
  expect([await charges('expire-held'), await charges('expire-killed')]).toEqual([1, 0])
})

test('twenty deciders over two servers while a hold is set and lifted: one decision, one entry, one effect', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const sent = await world.send('twenty', charging('twenty'), { template: 'asks', prefer: 'wait=25', headers: { traceparent } })
  const [runId, approval] = [runOf(sent), { id: pausedBody(sent).approvals[0]?.id ?? '' }]
  const replies: Reply[] = []
  const deciders = Array.from({ length: 20 }, async (_one, n) => {
    const body = { decision: n % 2 === 0 ? 'allow' : 'deny', ...(n % 4 === 0 ? { input: { key: 'twenty', cents: n } } : {}) }
    replies.push(await decide(approval.id, body, n % 2))
  })
  await setSwitch(world, 'agent:twenty', { mode: 'hold' })
  await Promise.all(deciders)
  await lift(world, 'agent:twenty')
  await world.ended(runId)
  const won = replies.filter(({ status, body }) => status === 200 && body['replayed'] === false)
  expect(won).toHaveLength(1)
  expect(replies.every(({ status }) => status === 200 || status === 409)).toBe(true)
  const allowed = won[0]?.body['state'] === 'allowed'
  expect(await charges('twenty')).toBe(allowed ? 1 : 0)
  expect(await paidFor(runId)).toBe(allowed ? 70 : 0)
  const decisions = await auditOf(runId, 'approval.decide')
  expect(decisions.filter((entry) => entry['decision'] === 'recorded')).toHaveLength(1)
  expect(decisions.every((entry) => entry['request_id'] !== null && entry['trace_id'] !== null)).toBe(true)
  expect(decisions).toHaveLength(1 + replies.filter(({ status }) => status === 409).length)
  // What ran is what was decided.
  const [effect] = (await world.effects({ runId })).filter((line) => line.kind === 'tool')
  const edited = won[0]?.body['editedInput'] as { cents: number } | null | undefined
  if (allowed) expect(effect).toMatchObject({ key: 'twenty', name: 'charge' })
  if (edited != null) {
    const [call] = await world.sql<{ cents: number }>(`select (input ->> 'cents')::int as cents from baton.tool_calls where run_id = $1`, [
      runId,
    ])
    expect(call?.cents).toBe(edited.cents)
  }
})

test('a run that waits for a budget: a hold outlasts the new budget, a kill ends it, expiry ends it', async () => {
  const usage = { input: 1_000, output: 0 }
  const ids: string[] = []
  const { body } = await world.http('PUT', '/api/budgets/tenant', { limitMicros: 1_000_000_000, period: 'month' })
  await world.http('PUT', '/api/budgets/tenant', { limitMicros: Number(body['spentMicros']) + 10, period: 'month' })
  try {
    for (const agent of ['wait-hold', 'wait-kill', 'wait-expire']) {
      const overrides = agent === 'wait-expire' ? { overrides: { expiresAt: new Date((await worldNow()) + 3_600_000).toISOString() } } : {}
      const reply = await world.http(
        'POST',
        `/api/agents/${agent}/messages`,
        { message: script({ text: 'x', usage }), template: 'scripted', ...overrides },
        { prefer: 'respond-async' },
      )
      expect(reply.status).toBe(202)
      ids.push(runOf(reply))
    }
    for (const id of ids) await until(`${id} waits for room`, async () => (await world.run(id)).wait?.kind === 'budget')
    await setSwitch(world, 'agent:wait-hold', { mode: 'hold' })
    await setSwitch(world, 'agent:wait-kill')
    expect(await world.ended(ids[1] ?? '')).toMatchObject({ state: 'killed' })
    await world.advance(3_700_000)
    expect(await world.ended(ids[2] ?? '', 60_000)).toMatchObject({ state: 'expired' })
  } finally {
    await world.http('PUT', '/api/budgets/tenant', { limitMicros: null, period: 'month' })
  }
  await until('the budget woke it into the hold', async () => (await world.run(ids[0] ?? '')).wait?.kind === 'hold')
  expect((await world.effects({ runId: ids[0] ?? '' })).length).toBe(0)
  await lift(world, 'agent:wait-hold')
  expect(await world.ended(ids[0] ?? '')).toMatchObject({ state: 'completed' })
})

async function worldNow(): Promise<number> {
  const [row] = await world.sql<{ ms: string }>('select extract(epoch from baton.clock()) * 1000 as ms')
  return Number(row?.ms)
}

test('expired authority while an approval waits: allowed afterwards, nothing executes and the run ends as expired', async () => {
  const expiresAt = new Date((await worldNow()) + 600_000).toISOString()
  const body = { message: charging('expired-asked'), template: 'asks', overrides: { expiresAt } }
  const reply = await world.http('POST', '/api/agents/expired-asked/messages', body, { prefer: 'wait=25' })
  const [approval] = pausedBody(reply).approvals
  await world.advance(700_000)
  await decide(approval?.id ?? '', { decision: 'allow' })
  const run = await world.ended(runOf(reply))
  expect(run).toMatchObject({ state: 'expired' })
  expect([await charges('expired-asked'), await paidFor(run.id)]).toEqual([0, 0])
  expect(await world.http('POST', `/api/runs/${run.id}/retry`)).toMatchObject({ status: 410, body: { code: 'authority_expired' } })
  expect(await auditOf(run.id, 'run.expire')).toHaveLength(1)
})

test('bulk retry under a kill, with a used-up budget and expired authority says so for each and starts nothing', async () => {
  for (const agent of ['bulk-killed', 'bulk-ok']) {
    await world.send(agent, script({ error: { status: 401 } }), { template: 'lenient', prefer: 'wait=25' })
  }
  await setSwitch(world, 'agent:bulk-killed')
  const bulk = { filter: { template: 'lenient', state: 'failed' } }
  const before = (await world.sql('select 1 from baton.runs')).length
  await world.http('PUT', '/api/budgets/agent:bulk-ok', { limitCalls: 0, period: 'lifetime' })
  const refused = await world.http('POST', '/api/runs/retry', bulk)
  expect(refused.body).toMatchObject({ retried: 0 })
  expect((refused.body['data'] as { code: string }[]).map((entry) => entry.code).toSorted()).toEqual(['budget_exceeded', 'killed'])
  expect((await world.sql('select 1 from baton.runs')).length).toBe(before)
  await world.http('DELETE', '/api/budgets/agent:bulk-ok')
  expect((await world.http('POST', '/api/runs/retry', bulk)).body).toMatchObject({ retried: 1 })
  await lift(world, 'agent:bulk-killed')
  expect((await runsOf(world, 'bulk-killed')).length).toBe(1)
})

test('a refused message leaves its key free: the same key is accepted once the kill is lifted, and then replayed', async () => {
  await setSwitch(world, 'agent:key-free')
  const again = (): Promise<Reply> => world.send('key-free', 'hi', { key: 'kf', prefer: 'wait=25' })
  for (const _ of [1, 2]) expect(await again()).toMatchObject({ status: 423 })
  await lift(world, 'agent:key-free')
  const first = await again()
  expect(first.status).toBe(200)
  const replay = await again()
  expect(replay.headers.get('idempotent-replayed')).toBe('true')
  expect(runOf(replay)).toBe(runOf(first))
  const entries = await world.sql<{ decision: string }>(
    `select decision from baton.audit where agent_id = 'key-free' and action = 'message.accept' order by id`,
  )
  expect(entries.map((row) => row.decision)).toEqual(['refused', 'refused', 'allowed'])
})
