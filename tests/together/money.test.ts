import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { toNextDay } from '#tests/day'
import { acting, pausedBody } from '#tests/approvals/acting'
import { booked, runOf, until } from '#tests/engine/helpers'
import { lift, setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type Reply, type SendOptions, type World } from '#tests/world'

let world: World
const { charges, decide } = acting(() => world)
beforeAll(async () => {
  const toolCosts = { charge: 700, count: 300, outside: 500, echo: 50 }
  const templates = localTemplates({
    templates: [
      { id: 'paid', model: 'local/scripted', toolCosts },
      { id: 'asks', model: 'local/scripted', toolCosts, permission: { ask: ['charge'] } },
    ],
  })
  world = await startWorld({ servers: 2, env: { ...templates, BATON_SWEEP_EVERY: '1s' } })
  await toNextDay(world, 300_000)
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 120_000 })

/** Model calls cost 3 micro-dollars a token of input here: a known sum. */
const usage = { input: 10, output: 0 }
const call = (name: string, input: object): string => script({ tools: [{ name, input }], usage }, { text: 'over', usage })
const put = (scope: string, limits: object): Promise<Reply> => world.http('PUT', `/api/budgets/${scope}`, { period: 'lifetime', ...limits })
const send = (agent: string, message: string, more: SendOptions = {}): Promise<Reply> =>
  world.send(agent, message, { template: 'paid', prefer: 'wait=25', ...more })
async function tools(runId: string): Promise<{ name: string; cost: number }[]> {
  const rows = await world.sql<{ name: string; cost: string }>(
    `select substr(model, 6) as name, cost_micros as cost from baton.reservations where run_id = $1 and model like 'tool:%' order by created_at`,
    [runId],
  )
  return rows.map(({ name, cost }) => ({ name, cost: Number(cost) }))
}
const spent = async (scope: string): Promise<number> => Number((await world.http('GET', `/api/budgets/${scope}`)).body['spentMicros'])
/** Audit entries about calls of tools, by code and decision. */
async function calls(runId: string): Promise<unknown[]> {
  const rows = await world.sql<{ action: string; decision: string; code: string | null }>(
    `select action, decision, code from baton.audit where run_id = $1 and action like 'tool.%' order by id`,
    [runId],
  )
  return rows.map(({ action, decision, code }) => [action, decision, code].filter((part) => part !== null).join(' '))
}

test('a call that a rate refuses at its start costs nothing: it was charged and is given back', async () => {
  expect((await world.http('PUT', '/api/limits/tool:count', { requestsPerMinute: 0 })).status).toBe(200)
  await put('agent:refund', { limitMicros: 1_000_000 })
  await put('tool:count', { limitCalls: 100 })
  const runId = runOf(await send('refund', call('count', { key: 'refund' })))
  await world.http('PUT', '/api/limits/tool:count', {})
  expect(await charges('refund')).toBe(0)
  expect(await tools(runId)).toEqual([{ name: 'count', cost: 0 }])
  await booked(world, runId)
  expect(await world.run(runId)).toMatchObject({ state: 'completed', costMicros: 60 })
  expect(await spent('agent:refund')).toBe(60)
  expect((await world.http('GET', '/api/budgets/tool:count')).body).toMatchObject({ spentMicros: 0, calls: 0 })
  expect(await calls(runId)).toEqual(['tool.call allowed', 'tool.call refused rate_limited', 'tool.refund recorded not_run'])
})

test('denied and cancelled calls cost nothing, allowed ones once, each with one entry', async () => {
  const wanted = async (agent: string): Promise<{ runId: string; approval: string }> => {
    const reply = await send(agent, call('charge', { key: agent, cents: 1 }), { template: 'asks' })
    return { runId: runOf(reply), approval: pausedBody(reply).approvals[0]?.id ?? '' }
  }
  const [denied, cancelled, allowed] = [await wanted('m-denied'), await wanted('m-cancelled'), await wanted('m-allowed')]
  await decide(denied.approval, { decision: 'deny' })
  await world.http('POST', `/api/runs/${cancelled.runId}/cancel`)
  await decide(allowed.approval, { decision: 'allow' })
  for (const { runId } of [denied, cancelled, allowed]) await world.ended(runId)
  expect(await Promise.all([denied, cancelled, allowed].map(({ runId }) => tools(runId)))).toEqual([
    [],
    [],
    [{ name: 'charge', cost: 700 }],
  ])
  expect(await calls(denied.runId)).toEqual(['tool.call recorded approval_required'])
  expect(await calls(allowed.runId)).toEqual(['tool.call recorded approval_required', 'tool.call allowed'])
})

test('an allowed call whose budget is used up meanwhile is refused at its start; the model goes on and nothing is charged', async () => {
  const reply = await send('m-late', call('charge', { key: 'm-late', cents: 1 }), { template: 'asks' })
  await put('agent:m-late', { limitMicros: 100 })
  await decide(pausedBody(reply).approvals[0]?.id ?? '', { decision: 'allow', input: { key: 'm-late', cents: 99 } })
  expect(await world.ended(runOf(reply))).toMatchObject({ state: 'completed', output: 'over' })
  expect([await charges('m-late'), await tools(runOf(reply))]).toEqual([0, []])
  expect((await calls(runOf(reply))).at(-1)).toBe('tool.call refused budget_exceeded')
})

test('an external call under a budget of its tool is paid when it begins, once, whatever becomes of it', async () => {
  await put('tool:outside', { limitMicros: 1_000 })
  const begin = (agent: string): Promise<Reply> => send(agent, call('outside', {}))
  const [first, second] = [await begin('out-1'), await begin('out-2')]
  expect(await spent('tool:outside')).toBe(1_000)
  const third = await begin('out-3')
  expect(third).toMatchObject({ status: 200, body: { output: 'over' } })
  expect(await tools(runOf(third))).toEqual([])
  // One is answered, the other killed: both stay paid.
  const { pathname, search } = new URL(pausedBody(first).externalCalls[0]?.callbackUrl ?? '')
  expect((await world.http('POST', pathname + search, { output: 'x' })).status).toBe(200)
  await setSwitch(world, `run:${runOf(second)}`)
  for (const reply of [first, second]) {
    await world.ended(runOf(reply))
    expect(await tools(runOf(reply))).toEqual([{ name: 'outside', cost: 500 }])
    await booked(world, runOf(reply))
  }
  expect(await spent('tool:outside')).toBe(1_000)
  expect(await calls(runOf(first))).toEqual(['tool.call allowed', 'tool.result recorded completed'])
})

test('a call of a dead process that runs again is paid once', async () => {
  const gate = world.gate()
  const reply = await send(
    'm-crash',
    script({
      tools: [
        { name: 'wait', input: { ms: 0, gate: gate.file } },
        { name: 'count', input: { key: 'm-crash' } },
      ],
      usage,
    }),
    {
      prefer: 'respond-async',
    },
  )
  await until('the tools have begun', async () => (await charges('m-crash')) > 0)
  for (const server of ['server-0', 'server-1'] as const) await world.stack.kill(server, 'SIGKILL')
  await gate.open()
  await world.stack.waitReady()
  const run = await world.ended(runOf(reply), 60_000)
  expect(run.state).toBe('completed')
  expect(await tools(run.id)).toEqual([{ name: 'count', cost: 300 }])
  await booked(world, run.id)
})

test('the lifetime budget of a preset is a row: it holds over runs and over deleting and making the agent again', async () => {
  const create = (): Promise<Reply> =>
    world.http('POST', '/api/agents', { id: 'preset', template: 'paid', overrides: { preset: 'temporary' } })
  expect((await create()).status).toBe(201)
  const budget = async (): Promise<Record<string, unknown>> => (await world.http('GET', '/api/budgets/agent:preset')).body
  expect(await budget()).toMatchObject({ limitMicros: 500_000, maxPerCallMicros: 50_000, period: 'lifetime', source: 'set' })
  const big = script({ text: 'x', usage: { input: 15_000, output: 0 } })
  for (const _ of [1, 2]) expect((await send('preset', big)).status).toBe(200)
  expect((await world.http('DELETE', '/api/agents/preset')).status).toBe(204)
  expect((await create()).status).toBe(201)
  expect(await budget()).toMatchObject({ spentMicros: 90_000, remainingMicros: 410_000, limitUsd: 0.5, spentUsd: 0.09 })
  // A call above what one may cost is refused, in the middle of all that is left.
  expect(await send('preset', script({ text: 'x', usage: { input: 20_000, output: 0 } }))).toMatchObject({
    status: 402,
    body: { reason: 'per_call' },
  })
  // A message cannot take the preset off, nor widen it.
  const wider = await world.http(
    'POST',
    '/api/agents/preset/messages',
    { message: 'hi', overrides: { preset: 'production' } },
    { prefer: 'wait=25' },
  )
  expect(wider.status).toBe(200)
  expect((await world.run(runOf(wider))).limits).toMatchObject({ maxCostMicros: 500_000, maxPerCallMicros: 50_000 })
})

test('a restricted preset and an override of a message: the strictest of all layers wins, and none widens', async () => {
  await world.http('POST', '/api/agents', {
    id: 'narrow',
    template: 'asks',
    overrides: { preset: 'restricted', permission: { allow: ['echo', 'charge'] } },
  })
  const reply = await world.http(
    'POST',
    '/api/agents/narrow/messages',
    {
      message: script(
        { tools: ['echo', 'count', 'charge'].map((name) => ({ name, input: { value: 1, key: 'narrow', cents: 1 } })), usage },
        { text: 'over', usage },
      ),
      overrides: { permission: { deny: ['echo'], allow: ['charge', 'count'] } },
    },
    { prefer: 'wait=25' },
  )
  // echo: denied by the message; count: not in the agent's list; charge: both allow it, and the template still asks.
  expect(pausedBody(reply).approvals.map(({ tool }) => tool)).toEqual(['charge'])
  expect((await calls(runOf(reply))).toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
    'tool.call recorded approval_required',
    'tool.call refused denied',
    'tool.call refused denied',
  ])
  const widen = await world.http('POST', '/api/agents/narrow/messages', {
    message: 'x',
    overrides: { permission: { allow: ['nothing_*'] } },
  })
  expect(widen).toMatchObject({ status: 400, body: { code: 'validation' } })
  const later = await world.http('POST', '/api/agents/narrow/messages', { message: 'x', overrides: { expiresAt: '2099-01-01T00:00:00Z' } })
  expect(later).toMatchObject({ status: 400, body: { code: 'override_refused' } })
  const refused = await world.sql(
    `select code from baton.audit where agent_id = 'narrow' and decision = 'refused' and action = 'message.accept'`,
  )
  expect(refused).toEqual([{ code: 'override_refused' }])
})

test('a refused message repeated with its key after the limit was raised is accepted once', async () => {
  await put('agent:raised', { limitMicros: 0 })
  const again = (server: number): Promise<Reply> => send('raised', script({ text: 'x', usage }), { key: 'raised', server })
  for (const server of [0, 1]) expect(await again(server)).toMatchObject({ status: 402, body: { code: 'budget_exceeded' } })
  await put('agent:raised', { limitMicros: 1_000 })
  const replies = await Promise.all([0, 1, 0, 1].map(again))
  expect(new Set(replies.map(runOf)).size).toBe(1)
  expect(await spent('agent:raised')).toBe(30)
})

test.each([
  [{ limitMicros: 0 }, 402],
  [{ limitTokens: 0 }, 402],
  [{ limitCalls: 0 }, 402],
  [{ maxPerCallMicros: 0 }, 402],
  [{ limitMicros: null }, 200],
])('zero is zero and null is none: %j is answered with %i', async (limits, status) => {
  const agent = `zero-${Object.keys(limits)[0]}-${status}`
  await put(`agent:${agent}`, limits)
  expect((await send(agent, script({ text: 'x', usage }))).status).toBe(status)
})

test.each([
  ['budgets/tenant', { limitMicros: -1 }],
  ['budgets/tenant', { limitMicros: 1.5 }],
  ['budgets/tenant', { limitMicros: 1e30 }],
  ['budgets/tenant', { maxPerCallMicros: '5' }],
  ['limits/tenant', { concurrentRuns: -1 }],
  ['limits/tool:x', { requestsPerMinute: 1e12 }],
])('negative, fractional and oversized limits are refused: %s %j', async (path, body) => {
  expect(await world.http('PUT', `/api/${path}`, body)).toMatchObject({ status: 400, body: { code: 'validation' } })
})

test.each([
  ['PUT', '/api/limits/user:nobody', { messagesPerMinute: 1 }, 400],
  ['PUT', '/api/limits/tool:a b', { requestsPerMinute: 1 }, 400],
  ['PUT', '/api/limits/agent:-x', { messagesPerMinute: 1 }, 400],
  ['PUT', '/api/limits/model:gpt', { requestsPerMinute: 1 }, 400],
  ['PUT', '/api/budgets/user:nobody', { limitMicros: 1 }, 400],
  ['POST', '/api/kill', { scope: 'user:nobody', mode: 'kill', reason: 'x' }, 400],
  ['POST', '/api/kill', { scope: 'tool:echo', mode: 'kill', reason: 'x' }, 400],
  ['POST', '/api/agents', { template: 'paid', overrides: { permission: { allow: ['nothing_*'] } } }, 400],
  ['POST', '/api/agents', { template: 'paid', overrides: { permission: { allow: ['echo'], deny: ['echo'] } } }, 400],
] as const)('a scope or pattern that nothing could ever match is refused, not kept: %s %s %j', async (method, path, body, status) => {
  const kept = async (): Promise<unknown> =>
    (
      await world.sql(
        'select (select count(*) from baton.limits) + (select count(*) from baton.switches) + (select count(*) from baton.budgets) as n',
      )
    )[0]
  const before = await kept()
  expect((await world.http(method, path, body)).status).toBe(status)
  expect(await kept()).toEqual(before)
})

test('the id of a user is one scope in any spelling, for limits, budgets and switches', async () => {
  const user = 'ABCDEF01-2345-4789-8ABC-DEF012345678'
  const calls: [string, string, object][] = [
    ['PUT', `/api/limits/user:${user}`, { messagesPerMinute: 7 }],
    ['PUT', `/api/budgets/user:${user}`, { limitMicros: 7 }],
    ['POST', '/api/kill', { scope: `user:${user}`, mode: 'hold', reason: 'x' }],
  ]
  for (const [method, path, body] of calls)
    expect(await world.http(method, path, body)).toMatchObject({ status: 200, body: { scope: `user:${user.toLowerCase()}` } })
  expect((await world.http('DELETE', `/api/kill/user:${user}`)).status).toBe(200)
})

test('a hold on a key and its lift leave no run at work uncounted: places of runs at a time come back', async () => {
  await world.http('PUT', '/api/limits/tenant', { concurrentRuns: 2 })
  try {
    const slow = script({ text: 'x', delayMs: 300, usage })
    const open = (await world.sql(`select 1 from baton.runs where state in ('running', 'waiting')`)).length
    expect(open).toBe(0)
    await setSwitch(world, 'agent:place-1', { mode: 'hold' })
    const held = runOf(await send('place-1', slow, { prefer: 'respond-async' }))
    const asked = await send('place-2', call('charge', { key: 'place-2', cents: 1 }), { template: 'asks' })
    expect(asked.body['status']).toBe('paused')
    // One is held (it waits), one awaits an approval (it runs nowhere): one place is left.
    const gate = world.gate()
    const third = runOf(await send('place-3', script({ text: 'x', gate: gate.file }), { prefer: 'respond-async' }))
    expect(await send('place-4', 'hi')).toMatchObject({ status: 429, body: { code: 'queue_full' } })
    await gate.open()
    await lift(world, 'agent:place-1')
    for (const id of [held, third]) await world.ended(id)
    expect((await send('place-4', 'hi')).status).toBe(200)
  } finally {
    await world.http('PUT', '/api/limits/tenant', {})
  }
})
