import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { toNextDay } from '#tests/day'
import { booked, runOf } from '#tests/engine/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({
    servers: 2,
    env: localTemplates({
      templates: [
        { id: 'unpriced', model: 'compatible/un/priced' },
        { id: 'dear', model: 'local/scripted', toolCosts: { charge: 2_000 } },
        { id: 'dearer', model: 'local/scripted', toolCosts: { count: 60_000 } },
      ],
    }),
  })
  // Only what the tests set limits here.
  await toNextDay(world, 300_000)
  await put('tenant', { limitMicros: null, period: 'day' })
})
afterAll(() => world.close())

const wait = { prefer: 'wait=25' }
const put = (scope: string, body: object): Promise<Reply> => world.http('PUT', `/api/budgets/${encodeURIComponent(scope)}`, body)
const get = async (scope: string): Promise<Record<string, unknown>> =>
  (await world.http('GET', `/api/budgets/${encodeURIComponent(scope)}`)).body
/** A call of about so many dollars: 3 micro-dollars an input token. */
const costing = (dollars: number): string => script({ text: 'paid', usage: { input: Math.floor((dollars * 1_000_000) / 3), output: 0 } })
const calls = async (filter: { runId: string }): Promise<number> =>
  (await world.effects(filter)).filter((line) => line.kind === 'model').length

test('the ledger names the model of the agent, also where the message names no template', async () => {
  await world.http('POST', '/api/agents', { id: 'named', template: 'scripted' })
  const sent = await world.http('POST', '/api/agents/named/messages', { message: costing(0.5) }, wait)
  expect(sent.status).toBe(200)
  const rows = await world.sql('select distinct model from baton.reservations where run_id = $1', [sent.body['runId']])
  expect(rows).toEqual([{ model: 'local/scripted' }])
})

describe.concurrent('calls', () => {
  test('A59: two processes reserve $5.5 of $10 at once: one is made, the other is 402', async () => {
    await put('agent:a', { limitMicros: 10_000_000, period: 'lifetime' })
    const replies = await Promise.all([0, 1].map((server) => world.send('a', costing(5.5), { ...wait, server })))
    expect(replies.map((reply) => reply.status).toSorted((a, b) => a - b)).toEqual([200, 402])
    const refused = replies.find((reply) => reply.status === 402)
    expect(refused?.body).toMatchObject({
      code: 'budget_exceeded',
      scope: 'agent:a',
      limitMicros: 10_000_000,
      spentMicros: 5_499_999,
      hard: false,
    })
    expect(refused?.headers.get('x-should-retry')).toBe('false')
    expect(await get('agent:a')).toMatchObject({ spentMicros: 5_499_999, reservedMicros: 0, remainingMicros: 4_500_001, resetsAt: null })
    const effects = (await world.effects()).filter((line) => line.agentId === 'a')
    expect(effects).toHaveLength(1)
  })

  test('A60: five calls of $6 at once under $10: one is made', async () => {
    await put('agent:b', { limitMicros: 10_000_000 })
    const replies = await Promise.all([1, 2, 3, 4, 5].map(() => world.send('b', costing(6), wait)))
    expect(replies.map((reply) => reply.status).toSorted((a, b) => a - b)).toEqual([200, 402, 402, 402, 402])
    expect(await get('agent:b')).toMatchObject({ spentMicros: 6_000_000 })
  })

  test('A61: a call above maxPerCall is refused hard, before any effect', async () => {
    await put('agent:c', { maxPerCallMicros: 100_000 })
    const reply = await world.send('c', costing(0.5), wait)
    expect([reply.status, reply.body['code'], reply.body['hard']]).toEqual([402, 'budget_exceeded', true])
    expect((await world.effects()).filter((line) => line.agentId === 'c')).toEqual([])
    expect((await world.send('c', costing(0.1), wait)).status).toBe(200)
  })

  test('A61: a call of a tool that costs more than maxPerCall is refused hard, before any effect, and the run goes on', async () => {
    const usage = { input: 0, output: 0 }
    const message = (key: string): string => script({ tools: [{ name: 'count', input: { key } }], usage }, { text: 'went on', usage })
    await put('agent:c-tool', { maxPerCallMicros: 59_999 })
    await put('agent:c-fits', { maxPerCallMicros: 60_000 })
    // A preset's maximum, 50,000 here, is one of the run itself.
    const overrides = { preset: 'temporary', permission: { allow: ['count'] } }
    await world.http('POST', '/api/agents', { id: 'c-preset', template: 'dearer', overrides })
    for (const [agent, costMicros] of [
      ['c-tool', 0],
      ['c-preset', 0],
      ['c-fits', 60_000],
    ] as const) {
      const reply = await world.send(agent, message(agent), { ...wait, template: 'dearer' })
      expect(reply.body, agent).toMatchObject({ output: 'went on', costMicros })
      expect(await world.effects({ key: agent }), agent).toHaveLength(costMicros === 0 ? 0 : 1)
      if (costMicros > 0) continue
      const [call] = (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as { state: string; output: unknown }[]
      expect(call, agent).toMatchObject({ state: 'failed', output: { value: { errorType: 'budget_exceeded', hard: true } } })
    }
  })

  test('A65: with a limit of zero no paid call is made, and nothing is kept', async () => {
    await put('agent:d', { limitMicros: 0 })
    const reply = await world.send('d', costing(0.000_003), wait)
    expect([reply.status, reply.body['code'], reply.body['scope']]).toEqual([402, 'budget_exceeded', 'agent:d'])
    expect((await world.http('GET', '/api/agents/d')).status).toBe(404)
  })

  test('a run in the middle of its work ends when its next call has no room', async () => {
    await put('agent:e', { limitMicros: 1_000 })
    const usage = { input: 200, output: 0 }
    const echo = { tools: [{ name: 'echo', input: { value: 1 } }], usage }
    const reply = await world.send('e', script(echo, { text: 'never', usage }), wait)
    expect(reply.body).toMatchObject({ code: 'budget_exceeded', scope: 'agent:e', estimateMicros: 600, spentMicros: 600, costMicros: 600 })
    const run = await world.run(runOf(reply))
    expect(run).toMatchObject({
      state: 'budget_exceeded',
      error: { code: 'budget_exceeded', details: { scope: 'agent:e', period: 'lifetime' } },
    })
    expect(await calls({ runId: run.id })).toBe(1)
    await booked(world, run.id)
    const events = (await world.events('e')).filter((event) => event.type === 'budget')
    expect(events).toMatchObject([{ refused: true, scope: 'agent:e' }])
    expect((await world.http('POST', `/api/runs/${run.id}/retry`)).status).toBe(202)
  })

  test('a retry is refused while the budget is used up', async () => {
    await put('agent:r', { limitMicros: 600 })
    const echo = { tools: [{ name: 'echo', input: { value: 1 } }], usage: { input: 200, output: 0 } }
    const reply = await world.send('r', script(echo, echo), wait)
    expect(reply.status).toBe(402)
    const retry = (): Promise<Reply> => world.http('POST', `/api/runs/${runOf(reply)}/retry`)
    expect((await retry()).body).toMatchObject({ code: 'budget_exceeded', scope: 'agent:r' })
    await put('agent:r', { limitMicros: 1_200 })
    expect((await retry()).status).toBe(202)
  })

  test('A67: the refusal of a model without a price names the line to add', async () => {
    const reply = await world.send('f', 'hi', { ...wait, template: 'unpriced' })
    expect([reply.status, reply.body['code']]).toEqual([402, 'price_unknown'])
    expect(reply.body['detail']).toMatch(/prices of compatible in lib\/providers\.ts.*'un\/priced': dollars\(\{ input: /)
  })

  test('A70: only the tool that is over its limit is refused, and the run goes on', async () => {
    await put('tool:charge', { limitMicros: 5_000, period: 'lifetime' })
    await put('tool:count', { limitCalls: 1, period: 'run' })
    const charge = (key: string) => ({ name: 'charge', input: { key, cents: 1 } })
    const count = (key: string) => ({ name: 'count', input: { key } })
    const usage = { input: 0, output: 0 }
    const first = { usage, tools: [charge('g1'), charge('g2'), charge('g3'), count('g4'), { name: 'echo', input: { value: 1 } }] }
    const reply = await world.send('g', script(first, { usage, tools: [count('g5')] }, { text: 'went on', usage }), {
      ...wait,
      template: 'dear',
    })
    expect(reply.body).toMatchObject({ status: 'done', output: 'went on', costMicros: 4_000 })
    const list = await world.http('GET', '/api/agents/g/tool-calls')
    const outcomes = (list.body['data'] as { name: string; state: string }[]).map(({ name, state }) => `${name} ${state}`)
    expect(outcomes).toEqual(['charge completed', 'charge completed', 'charge failed', 'count completed', 'echo completed', 'count failed'])
    expect((await world.effects({ runId: runOf(reply) })).filter((line) => line.name === 'charge')).toHaveLength(2)
    expect(await get('tool:charge')).toMatchObject({ spentMicros: 4_000, calls: 2 })
    await booked(world, runOf(reply))
    expect((await world.send('g', script({ text: 'chat', usage }), { ...wait, template: 'dear' })).status).toBe(200)
  })
})

describe.concurrent('the surface', () => {
  test.each([
    { limitMicros: -1 },
    { limitMicros: 0.5 },
    { limitMicros: 1, period: 'week' },
    { limitTokens: '5' },
    {},
    { maxPerCall: 1 },
    { period: 'day' },
  ])('PUT %j is refused', async (body) => {
    const reply = await put('agent:bad', body)
    expect([reply.status, reply.body['code']]).toEqual([400, 'validation'])
    expect((await world.http('GET', '/api/budgets/agent:bad')).status).toBe(404)
  })

  test.each(['team:a', 'agent', 'global:x', 'user:me', 'agent:%20', 'run:1'])('%s is no scope', async (scope) => {
    expect((await world.http('PUT', `/api/budgets/${scope}`, { limitMicros: 1 })).status).toBe(400)
  })

  test('a scope with more colons, encoded or not, is one budget; each period has a row; DELETE removes them', async () => {
    expect((await put('agent:x:y', { limitMicros: 5, period: 'day' })).body).toMatchObject({
      scope: 'agent:x:y',
      period: 'day',
      remainingMicros: 5,
      source: 'set',
    })
    await put('agent:x:y', { limitMicros: 3, limitCalls: 9, period: 'month' })
    const { body } = await world.http('GET', '/api/budgets/agent:x:y')
    expect(body).toMatchObject({ period: 'month', limitMicros: 3, limitCalls: 9, periods: [{ period: 'month' }, { period: 'day' }] })
    expect(String(body['resetsAt'])).toMatch(/^\d{4}-\d{2}-01T00:00:00/)
    const ofDay = await world.http('GET', '/api/budgets/agent:x:y?period=day')
    expect(ofDay.body).toMatchObject({ period: 'day', limitMicros: 5, periods: [{ period: 'day' }] })
    expect(ofDay.body['periods']).toHaveLength(1)
    expect((await world.http('DELETE', '/api/budgets/agent:x:y?period=day')).status).toBe(204)
    expect((await world.http('DELETE', '/api/budgets/agent:x:y')).status).toBe(204)
    expect((await world.http('DELETE', '/api/budgets/agent:x:y')).status).toBe(404)
    const audit = await world.sql<{ action: string; actor: string }>(
      `select action, actor from baton.audit where scope = 'agent:x:y' order by id`,
    )
    expect(audit.map(({ action, actor }) => `${actor} ${action}`)).toEqual([
      'local budget.set',
      'local budget.set',
      'local budget.remove',
      'local budget.remove',
    ])
  })

  test('budgets are listed in pages', async () => {
    for (const name of ['l1', 'l2', 'l3']) await put(`agent:${name}`, { limitMicros: 1 })
    const scopes: unknown[] = []
    for (let cursor = ''; ;) {
      const { body } = await world.http('GET', `/api/budgets?limit=2${cursor}`)
      scopes.push(...(body['data'] as { scope: string }[]).map(({ scope }) => scope))
      if (body['nextCursor'] === null) break
      cursor = `&cursor=${body['nextCursor'] as string}`
    }
    expect(scopes).toEqual(expect.arrayContaining(['agent:l1', 'agent:l2', 'agent:l3', 'tenant']))
    expect(new Set(scopes).size).toBe(scopes.length)
  })

  test('usage shows what was spent, by group', async () => {
    await world.send('spender', costing(0.003), wait)
    const { body } = await world.http('GET', '/api/usage?groupBy=agent&limit=200')
    const rows = body['data'] as Record<string, unknown>[]
    expect(rows.find((row) => row['agent'] === 'spender')).toMatchObject({
      calls: 1,
      costMicros: 3_000,
      settledMicros: 3_000,
      estimatedMicros: 0,
      costUsd: 0.003,
    })
    expect((await world.http('GET', '/api/usage?groupBy=colour')).status).toBe(400)
    // At most 400 days, to the millisecond.
    for (const [to, status] of [
      ['2021-02-04T00:00:00Z', 200],
      ['2021-02-04T00:00:00.001Z', 400],
    ] as const)
      expect((await world.http('GET', `/api/usage?from=2020-01-01T00:00:00Z&to=${to}`)).status, to).toBe(status)
    expect((await world.http('GET', '/api/usage?groupBy=day&from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z')).body['data']).toEqual([])
  })
})

test('a day budget has room again after midnight UTC', async () => {
  await put('agent:day', { limitMicros: 10_000, period: 'day' })
  expect((await world.send('day', costing(0.009), wait)).status).toBe(200)
  const refused = await world.send('day', costing(0.009), wait)
  expect([refused.status, String(refused.body['resetsAt']).slice(10, 19)]).toEqual([402, 'T00:00:00'])
  await world.advance(86_400_000)
  expect((await world.send('day', costing(0.009), wait)).status).toBe(200)
})
