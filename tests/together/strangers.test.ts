import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { bearer, makeKey, makeTenant, refusalsOf, say, signUp, startGuarded, tokenOf, type SignedUp } from '#tests/access/kit'
import { pausedBody } from '#tests/approvals/acting'
import { runOf } from '#tests/engine/helpers'
import { script, type Reply, type World } from '#tests/world'

let world: World
let ann: SignedUp
let bob: SignedUp
let foreign: string
let own: string
beforeAll(async () => {
  const permission = { ask: ['charge'] }
  const templates = localTemplates({ templates: [{ id: 'asks', model: 'local/scripted', permission, approvers: ['owner'] }] })
  world = await startGuarded({ env: { ...templates, BATON_USER_TENANT: 'ten_local' } })
  ann = await signUp(world, 'ann@example.com')
  bob = await signUp(world, 'bob@example.com')
  own = (await makeKey(world, ['admin'])).key
  foreign = (await makeTenant(world, 'ten_foreign')).key
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 60_000 })

const as = (credential: string) => (method: string, path: string, body?: unknown) => world.http(method, path, body, bearer(credential))
const pathOf = (url: unknown): string => {
  const { pathname, search } = new URL(String(url), 'http://x')
  return pathname + search
}
const outsideAndCharge = script(
  { tools: [{ name: 'outside', input: {} }] },
  { tools: [{ name: 'charge', input: { key: 'k', cents: 1 } }] },
  { text: 'over' },
)

test("another user's and another tenant's agents, runs, calls and approvals are 404 by every road, and stay as they are", async () => {
  const mine = await say(world, ann.token, 'ann-1', { message: outsideAndCharge })
  expect(mine.status).toBe(202)
  const runId = runOf(mine)
  const paid = await say(world, own, 'own-1', {
    template: 'asks',
    message: script({ tools: [{ name: 'charge', input: { key: 'o', cents: 1 } }] }),
  })
  const approval = pausedBody(paid).approvals[0]?.id ?? ''
  const roads: [string, string, unknown?][] = [
    ['GET', `/api/runs/${runId}`],
    ['GET', `/api/runs/${runId}/events`],
    ['POST', `/api/runs/${runId}/cancel`],
    ['POST', `/api/runs/${runId}/retry`],
    ['GET', '/api/agents/ann-1'],
    ['GET', '/api/agents/ann-1/messages'],
    ['GET', '/api/agents/ann-1/tool-calls'],
    ['GET', '/api/agents/ann-1/runs'],
    ['GET', '/api/agents/ann-1/events'],
    ['PATCH', '/api/agents/ann-1', { metadata: { x: 1 } }],
    ['DELETE', '/api/agents/ann-1'],
    ['POST', '/api/agents/ann-1/interrupt'],
  ]
  for (const stranger of [bob.token, foreign]) {
    for (const [method, path, body] of roads) {
      const reply = await as(stranger)(method, path, body)
      expect({ method, path, status: reply.status }).toEqual({ method, path, status: 404 })
    }
  }
  for (const stranger of [ann.token, bob.token, foreign]) {
    expect(await as(stranger)('GET', `/api/approvals/${approval}`)).toMatchObject({ status: 404 })
    expect(await as(stranger)('POST', `/api/approvals/${approval}`, { decision: 'allow' })).toMatchObject({ status: 404 })
    expect((await as(stranger)('GET', '/api/approvals')).body['data']).toEqual([])
  }
  expect((await say(world, bob.token, 'ann-1')).status).toBe(404)
  expect(await as(ann.token)('GET', `/api/runs/${runId}`)).toMatchObject({ status: 200, body: { state: 'waiting' } })
  expect(await as(own)('GET', `/api/approvals/${approval}`)).toMatchObject({ status: 200, body: { state: 'pending' } })
})

test('a user reaches none of the endpoints of administrators, sees only its own usage, and each refusal is counted', async () => {
  const admin: [string, string, unknown?][] = [
    ['GET', '/api/budgets/tenant'],
    ['GET', `/api/budgets/user:${ann.id}`],
    ['PUT', `/api/budgets/user:${ann.id}`, { limitMicros: 1_000_000_000 }],
    ['DELETE', `/api/budgets/user:${ann.id}`],
    ['GET', '/api/budgets'],
    ['POST', '/api/kill', { scope: `user:${bob.id}`, mode: 'kill', reason: 'x' }],
    ['DELETE', '/api/kill/tenant'],
    ['GET', '/api/kill'],
    ['GET', '/api/limits'],
    ['PUT', `/api/limits/user:${ann.id}`, { messagesPerMinute: 1_000 }],
    ['GET', '/api/audit'],
    ['GET', '/api/webhooks'],
    ['POST', '/api/webhooks', { url: 'https://example.com/x' }],
    ['GET', '/api/keys'],
    ['POST', '/api/keys', { name: 'x', scopes: ['admin'] }],
  ]
  for (const [method, path, body] of admin) {
    const reply = await as(ann.token)(method, path, body)
    expect({ method, path, status: reply.status }).toEqual({ method, path, status: 403 })
  }
  expect(await refusalsOf(world, `user:${ann.id}`)).toBe(admin.length)
  const usage = (await as(ann.token)('GET', '/api/usage?groupBy=user')).body['data'] as { user: string }[]
  expect(usage.map((row) => row.user)).toEqual([ann.id])
  expect((await as(bob.token)('GET', '/api/usage?groupBy=agent')).body['data']).toEqual([])
})

test('every field that is not a user’s is refused, alone and together, and nothing is kept', async () => {
  for (const more of [
    { webhook: { url: 'https://example.com/x' } },
    { overrides: { preset: 'production' } },
    { overrides: { permission: { allow: ['*'] } } },
    { overrides: {} },
    { webhook: { url: 'https://example.com/x' }, overrides: { preset: 'production' } },
  ]) {
    expect(await say(world, ann.token, 'ann-fields', more)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  }
  expect((await say(world, ann.token, 'ann-fields', { limits: { maxCostMicros: 1e12 } })).status).toBe(400)
  expect((await say(world, ann.token, 'ann-fields', { template: 'asks' })).status).toBe(403)
  expect((await as(ann.token)('GET', '/api/agents/ann-fields')).status).toBe(404)
  const refusedOf = await world.sql<{ action: string }>(
    `select action from baton.audit where actor = $1 and decision = 'refused' and code = 'forbidden' and action in ('message.accept', 'template.use')`,
    [`user:${ann.id}`],
  )
  expect(refusedOf.map((row) => row.action)).toEqual(['message.accept'])
})

test('a stream token opens its one stream and nothing else', async () => {
  const mine = await say(world, own, 'streamed')
  const { links } = (await as(own)('GET', `/api/runs/${runOf(mine)}`)).body as { links: { events: string } }
  const good = links.events.split('token=')[1] ?? ''
  const stream = await fetch(`${world.base()}/api/runs/${runOf(mine)}/events?token=${good}`)
  expect(stream.status).toBe(200)
  await stream.body?.cancel()
  const others = [
    '/api/agents/streamed',
    '/api/runs',
    '/api/approvals',
    '/api/budgets',
    '/api/budgets/tenant',
    '/api/usage',
    '/api/audit',
    '/api/kill',
  ]
  for (const path of [...others, `/api/runs/${runOf(mine)}`, '/api/agents/streamed/messages', '/api/agents/streamed/tool-calls']) {
    for (const given of [`${path}?token=${good}`, path]) {
      const headers = given === path ? bearer(good) : {}
      expect({ given, status: (await world.http('GET', given, undefined, headers)).status }).toEqual({ given, status: 401 })
    }
  }
  expect((await fetch(`${world.base()}/api/agents/streamed/events?token=${good}`)).status).toBe(403)
  // The database knows it as a reader of one agent, and of nothing the tenant has.
  const credential = { stream: { tenant: 'ten_local', agentUid: '00000000-0000-4000-8000-000000000000' } }
  for (const verb of ['get_budget', 'list_budgets', 'usage', 'list_approvals', 'list_runs', 'list_agents']) {
    const p = { environment: 'local', credential, scope: 'tenant', limit: 10, groupBy: 'day', from: '2020-01-01', to: '2099-01-01' }
    const [row] = await world.sql<{ answer: object }>(`select public.baton_${verb}($1::jsonb) as answer`, [JSON.stringify(p)])
    expect({ verb, ...row?.answer }).toMatchObject({ verb, ok: false, code: 'forbidden' })
  }
})

test("a key of another tenant does not reach this tenant's budgets, switches, limits, webhooks, keys or audit", async () => {
  const here = as(own)
  const there = as(foreign)
  await here('PUT', '/api/budgets/agent:shared', { limitMicros: 5, period: 'lifetime' })
  await here('PUT', '/api/limits/agent:shared', { requestsPerMinute: 500 })
  await here('POST', '/api/kill', { scope: 'agent:shared', mode: 'kill', reason: 'mine' })
  const hook = await here('POST', '/api/webhooks', { url: 'https://example.com/x' })
  const hookId = String(hook.body['id'])
  expect(hook.status).toBe(201)
  expect((await there('GET', '/api/budgets/agent:shared')).status).toBe(404)
  expect((await there('DELETE', '/api/budgets/agent:shared')).status).toBe(404)
  expect((await there('DELETE', '/api/kill/agent:shared')).status).toBe(404)
  for (const list of ['/api/kill', '/api/webhooks', '/api/budgets']) expect((await there('GET', list)).body['data']).toEqual([])
  for (const [method, path, body] of [
    ['GET', `/api/webhooks/${hookId}`],
    ['PATCH', `/api/webhooks/${hookId}`, { enabled: false }],
    ['DELETE', `/api/webhooks/${hookId}`],
    ['POST', `/api/webhooks/${hookId}/test`],
    ['POST', `/api/webhooks/${hookId}/rotate-secret`],
    ['GET', `/api/webhooks/${hookId}/deliveries`],
  ] as const)
    expect({ path, status: (await there(method, path, body)).status }).toEqual({ path, status: 404 })
  // The same names there are other things: its own kill, budget and agent.
  expect((await say(world, foreign, 'shared')).status).toBe(200)
  expect((await say(world, own, 'shared')).status).toBe(423)
  // What all tenants share is the operator's: refused, and told.
  expect((await there('POST', '/api/kill', { scope: 'global', mode: 'kill', reason: 'all' })).status).toBe(403)
  expect((await there('PUT', '/api/budgets/global', { limitMicros: 0 })).status).toBe(403)
  const told = (await there('GET', '/api/audit?decision=refused&scope=global')).body['data'] as { action: string }[]
  expect(told.map((entry) => entry.action).toSorted()).toEqual(['budget.set', 'switch.set'])
  const seen = JSON.stringify((await there('GET', '/api/audit?limit=200')).body)
  expect(seen).not.toContain('mine')
  await here('DELETE', '/api/kill/agent:shared')
})

test("the tenant of a key with a run's id of another tenant: a kill, budget or limit of it touches nothing", async () => {
  const mine = await say(world, own, 'other-run', { message: outsideAndCharge })
  const runId = runOf(mine)
  expect((await as(foreign)('POST', '/api/kill', { scope: `run:${runId}`, mode: 'kill', reason: 'x' })).body).toMatchObject({ ended: 0 })
  const budget = await as(foreign)('PUT', `/api/budgets/run:${runId}`, { limitMicros: 0, period: 'lifetime' })
  expect(JSON.stringify(budget.body)).not.toMatch(/"spentMicros":[1-9]/)
  expect(await as(own)('GET', `/api/runs/${runId}`)).toMatchObject({ body: { state: 'waiting' } })
})

test('the token of a tool call: not for another call, not twice, not after the end, and no credential anywhere else', async () => {
  const begin = async (agent: string): Promise<{ runId: string; callId: string; url: string; token: string }> => {
    const reply = await say(world, own, agent, { message: script({ tools: [{ name: 'outside', input: {} }] }, { text: 'over' }) })
    const [call] = pausedBody(reply).externalCalls
    const url = pathOf(call?.callbackUrl)
    return { runId: runOf(reply), callId: call?.callId ?? '', url, token: url.split('token=')[1] ?? '' }
  }
  const [first, second] = [await begin('tok-1'), await begin('tok-2')]
  const give = (url: string, output: unknown = 'x'): Promise<Reply> => world.http('POST', url, { output })
  expect((await give(`/api/tool-calls/${first.callId}/result?token=${second.token}`)).status).toBe(401)
  expect((await give(`/api/tool-calls/${first.callId}/result?token=${first.token}&token=${second.token}`)).status).toBe(400)
  for (const path of ['/api/agents/tok-1', `/api/runs/${first.runId}`, '/api/usage'])
    expect((await world.http('GET', path, undefined, bearer(first.token))).status).toBe(401)
  expect((await fetch(`${world.base()}/api/runs/${first.runId}/events?token=${first.token}`)).status).toBe(401)
  const both = await Promise.all([give(first.url, 'one'), give(first.url, 'two')])
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409])
  // Its agent is deleted and made again under the same name: the token names the old one.
  await as(own)('DELETE', '/api/agents/tok-2')
  await begin('tok-2')
  expect((await give(second.url)).status).toBe(404)
})

test('a user whose owner may decide edits and allows its own call once; always and other fields stay closed', async () => {
  await world.sql(
    `insert into baton.limits (tenant_id, scope, settings, updated_by) values ('ten_local', 'user:*', '{"concurrentRuns": 50}', 'test') on conflict do nothing`,
  )
  // The template is not public: an admin makes the agent for the user.
  const reply = await say(world, own, 'ann-asks', {
    template: 'asks',
    message: script({ tools: [{ name: 'charge', input: { key: 'ann-asks', cents: 1 } }] }, { text: 'over' }),
  })
  for (const table of ['agents', 'runs', 'approvals'])
    await world.sql(
      `update baton.${table} set owner_id = $1 where agent_uid = (select agent_uid from baton.agents where id = 'ann-asks')`,
      [ann.id],
    )
  const id = pausedBody(reply).approvals[0]?.id ?? ''
  expect((await as(bob.token)('POST', `/api/approvals/${id}`, { decision: 'allow' })).status).toBe(404)
  expect((await as(ann.token)('POST', `/api/approvals/${id}`, { decision: 'allow', always: true })).status).toBe(403)
  expect(
    (await as(ann.token)('POST', `/api/approvals/${id}`, { decision: 'allow', input: { key: 'ann-asks', cents: 'many' } })).status,
  ).toBe(400)
  const big = { key: 'x'.repeat(300_000), cents: 1 }
  expect((await as(ann.token)('POST', `/api/approvals/${id}`, { decision: 'allow', input: big })).status).toBe(413)
  expect((await as(ann.token)('POST', `/api/approvals/${id}`, { decision: 'allow', note: 'n'.repeat(2_001) })).status).toBe(400)
  expect((await as(ann.token)('POST', `/api/approvals/${id}`, { decision: 'allow' })).status).toBe(200)
  const decisions = await world.sql(
    `select decision, actor from baton.audit where action = 'approval.decide' and agent_id = 'ann-asks' order by id`,
  )
  expect(decisions).toEqual([{ decision: 'recorded', actor: `user:${ann.id}` }])
})

test('tokens of a user with a tenant of its own choice, of another role or without an expiry are nobody', async () => {
  const forged = [
    await tokenOf(world, ann.id, { secret: 'not-the-secret-not-the-secret-not-the-secret' }),
    await tokenOf(world, ann.id, { claims: { role: 'service_role' } }),
    await tokenOf(world, ann.id, { expires: null }),
    await tokenOf(world, ann.id, { expires: Math.floor(Date.now() / 1_000) - 7_200 }),
  ]
  for (const token of forged) expect((await as(token)('GET', '/api/agents')).status).toBe(401)
  const self = await tokenOf(world, ann.id, { claims: { user_metadata: { tenant_id: 'ten_foreign' } } })
  expect((await as(self)('GET', '/api/runs')).status).not.toBe(500)
  const rows = ((await as(self)('GET', '/api/runs')).body['data'] ?? []) as { agentId: string }[]
  expect(rows.every((run) => run.agentId !== 'shared')).toBe(true)
})
