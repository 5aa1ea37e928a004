import { afterAll, beforeAll, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { until } from '#tests/engine/helpers'
import { script, startWorld, type Gate, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  const many = { id: 'many', model: 'local/scripted', fallback: ['local/spare'], models: ['local/cheap'] }
  const prices = { 'local/cheap': { input: 1, output: 1 }, 'local/spare': { input: 9, output: 9 } }
  // The clock moves under runs at work, which keep their leases.
  world = await startWorld({ env: { ...localTemplates({ templates: [many], prices }), BATON_LEASE_MS: '600000' } })
})
afterAll(() => world.close())

const usage = { input: 1_000, output: 1_000 }
const create = (id: string, overrides: object, template = 'scripted'): Promise<Reply> =>
  world.http('POST', '/api/agents', { id, template, overrides })
const send = (agent: string, message: string, body: object = {}): Promise<Reply> =>
  world.http('POST', `/api/agents/${agent}/messages`, { message, template: 'scripted', ...body })
const now = async (): Promise<number> => Date.parse(String((await world.http('GET', '/api/local/time')).body['now']))
const at = async (ms: number): Promise<string> => new Date((await now()) + ms).toISOString()

/** Waits until so many tools of the agent are at work, lets its authority end, and then lets them end. */
async function outlive(agent: string, tools: number, gate: Gate): Promise<void> {
  const atWork = async () => (await world.effects()).filter(({ agentId, kind }) => agentId === agent && kind === 'tool').length
  await until(`${agent} is at work`, async () => (await atWork()) === tools)
  await world.advance(60_000)
  await gate.open()
}

test('A77: a run whose authority ends while it works starts nothing more and ends expired with authority_expired', async () => {
  const gate = world.gate()
  const tools = [{ name: 'wait', input: { ms: 0, gate: gate.file } }]
  const overrides = { expiresAt: await at(60_000) }
  const [reply] = await Promise.all([send('a77', script({ tools }, { text: 'too late' }), { overrides }), outlive('a77', 1, gate)])
  expect(reply).toMatchObject({ status: 410, body: { code: 'expired', state: 'expired', stopReason: 'expired', retryable: false } })
  const run = await world.run(String(reply.body['runId']))
  expect(run).toMatchObject({ state: 'expired', error: { code: 'authority_expired' }, overrides, modelCalls: 1 })
  const kinds = (await world.effects({ runId: run.id })).map(({ kind }) => kind)
  expect(kinds).toEqual(['model', 'tool'])
  const calls = (await world.http('GET', '/api/agents/a77/tool-calls')).body['data']
  expect(calls).toMatchObject([{ name: 'wait', state: 'completed' }])
  expect(await send('a77', 'still there')).toMatchObject({ status: 200 })
})

test('A77: calls that had not begun at T are never executed', async () => {
  const gate = world.gate()
  const tools = [
    ...Array.from({ length: 3 }, () => ({ name: 'wait', input: { ms: 0, gate: gate.file } })),
    { name: 'charge', input: { key: 'after-t', cents: 1 } },
  ]
  const overrides = { expiresAt: await at(60_000) }
  const [reply] = await Promise.all([send('a77-calls', script({ tools }, { text: 'no' }), { overrides }), outlive('a77-calls', 3, gate)])
  expect(reply).toMatchObject({ status: 410 })
  expect(await world.effects({ key: 'after-t' })).toEqual([])
  const calls = (await world.http('GET', '/api/agents/a77-calls/tool-calls')).body['data'] as {
    name: string
    state: string
    output: unknown
  }[]
  expect(calls.map(({ name, state }) => [name, state])).toEqual([
    ['wait', 'completed'],
    ['wait', 'completed'],
    ['wait', 'completed'],
    ['charge', 'sealed'],
  ])
  expect(JSON.stringify(calls[3]?.output)).toContain('was not executed')
})

test('A77: a run that waits for a person or for the outside ends when its authority does, and what comes after T is refused', async () => {
  const expiresAt = await at(60_000)
  await create('a77-asks', { expiresAt, permission: { ask: ['charge'] } })
  const asks = await send('a77-asks', script({ tools: [{ name: 'charge', input: { key: 'a77-asks', cents: 1 } }] }, { text: 'no' }))
  const outside = await send('a77-outside', script({ tools: [{ name: 'outside', input: {} }] }, { text: 'no' }), {
    overrides: { expiresAt },
  })
  const [approval] = asks.body['approvals'] as { id: string; expiresAt: string }[]
  const [call] = outside.body['externalCalls'] as { callbackUrl: string; expiresAt: string }[]
  // Nobody is promised more time than there is.
  for (const wait of [approval, call]) expect(Date.parse(String(wait?.expiresAt))).toBe(Date.parse(expiresAt))
  await world.advance(60_000)
  for (const { body } of [asks, outside]) {
    const run = await world.ended(String(body['runId']))
    expect(run).toMatchObject({ state: 'expired', stopReason: 'expired', error: { code: 'authority_expired' }, modelCalls: 1 })
  }
  const decided = await world.http('POST', `/api/approvals/${approval?.id}`, { decision: 'allow' })
  expect(decided).toMatchObject({ status: 410, body: { code: 'too_late', state: 'expired' } })
  const { pathname, search } = new URL(String(call?.callbackUrl))
  expect(await world.http('POST', pathname + search, { output: 1 })).toMatchObject({ status: 410, body: { code: 'too_late' } })
  expect(await world.effects({ key: 'a77-asks' })).toEqual([])
})

test('A77: an agent whose authority is over refuses messages', async () => {
  expect(await create('a77-agent', { expiresAt: await at(3_600_000) })).toMatchObject({ status: 201 })
  expect(await send('a77-agent', 'before')).toMatchObject({ status: 200 })
  await world.advance(3_600_000)
  expect(await send('a77-agent', 'after')).toMatchObject({ status: 410, body: { code: 'authority_expired', retryable: false } })
  expect(await send('a77-agent', 'after', { overrides: { expiresAt: '2020-01-01T00:00:00Z' } })).toMatchObject({ status: 410 })
})

test('A84: an agent made with a preset has its limits', async () => {
  const documented = {
    restricted: { inAll: 1_000_000, maxPerCallMicros: 100_000, expiresInMs: 3_600_000 },
    development: { inAll: 10_000_000, maxPerCallMicros: undefined, expiresInMs: 86_400_000 },
    production: { inAll: 100_000_000, maxPerCallMicros: 5_000_000, expiresInMs: null },
    temporary: { inAll: 500_000, maxPerCallMicros: 50_000, expiresInMs: 300_000 },
  }
  for (const [preset, { inAll, maxPerCallMicros, expiresInMs }] of Object.entries(documented)) {
    const before = await now()
    const made = await create(`a84-${preset}`, { preset })
    expect(made, preset).toMatchObject({ status: 201, body: { overrides: { preset } } })
    const expiresAt = made.body['expiresAt']
    if (expiresInMs === null) expect(expiresAt).toBeNull()
    else {
      expect(Date.parse(String(expiresAt)) - before - expiresInMs).toBeGreaterThanOrEqual(-1)
      expect(Date.parse(String(expiresAt)) - before - expiresInMs).toBeLessThan(60_000)
    }
    expect(await create(`a84-${preset}`, { preset })).toMatchObject({ status: 200 })
    const reply = await send(`a84-${preset}`, script({ text: 'ok' }))
    const { limits } = await world.run(String(reply.body['runId']))
    // The template's own limit of $10 a run is lower than what production allows in all.
    expect(limits).toMatchObject({ maxCostMicros: Math.min(inAll, 10_000_000) })
    expect(limits['maxPerCallMicros']).toBe(maxPerCallMicros)
    const budget = await world.http('GET', `/api/budgets/agent:a84-${preset}`)
    expect(budget.body, preset).toMatchObject({
      period: 'lifetime',
      limitMicros: inAll,
      maxPerCallMicros: maxPerCallMicros ?? null,
      spentMicros: reply.body['costMicros'],
    })
  }
})

test('A84: a call above the maximum of a preset is not made', async () => {
  // 10,000 output tokens at $15 a million are 15 cents, above the 10 of restricted.
  const dear = script({ text: 'dear', usage: { input: 0, output: 10_000 } })
  await create('per-call', { preset: 'restricted' })
  const refused = await send('per-call', dear)
  expect(refused).toMatchObject({ status: 402, body: { code: 'budget_exceeded' } })
  expect(await world.effects({ runId: String(refused.body['runId']) })).toEqual([])
  expect(await send('per-call', script({ text: 'cheap', usage: { input: 0, output: 6_000 } }))).toMatchObject({ status: 200 })
  expect(await send('per-call-message', dear, { overrides: { preset: 'restricted' } })).toMatchObject({ status: 402 })
  expect(await send('per-call-message', dear)).toMatchObject({ status: 200 })
})

test('A84: the eleventh call within a minute of temporary waits for the next window, and is made then', async () => {
  await create('rate', { preset: 'temporary', permission: { allow: ['echo'] } })
  const step = { tools: [{ name: 'echo', input: { value: 1 } }], usage: { input: 1, output: 1 } }
  // Six model calls and five of a tool: the last model call is the eleventh.
  const reply = await world.http(
    'POST',
    '/api/agents/rate/messages',
    {
      message: script(step, step, step, step, step, { text: 'then', usage: { input: 1, output: 1 } }),
      template: 'scripted',
      limits: { sliceMs: 2_000 },
    },
    { prefer: 'wait=2' },
  )
  expect(reply).toMatchObject({ status: 202 })
  const runId = String(reply.body['runId'])
  await until('it waits', async () => (await world.run(runId)).state === 'waiting')
  expect(await world.effects({ runId })).toHaveLength(10)
  expect(await send('rate', 'one more')).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
  // The window, and a fifth more at most by which waits are spread.
  await world.advance(73_000)
  expect(await world.ended(runId, 30_000)).toMatchObject({ state: 'completed', output: 'then' })
})

test('overrides.model is one that the template allows, is used alone, and costs its own price', async () => {
  const price = async (reply: Reply): Promise<unknown> => {
    const rows = await world.sql('select model, cost_micros::integer as cost from baton.reservations where run_id = $1', [
      reply.body['runId'],
    ])
    return rows
  }
  const cheap = { template: 'many', overrides: { model: 'local/cheap' } }
  expect(await price(await send('model', script({ text: 'hi', usage }), cheap))).toEqual([{ model: 'local/cheap', cost: 2_000 }])
  expect(await price(await send('model', script({ text: 'hi', usage }), { template: 'many' }))).toEqual([
    { model: 'local/scripted', cost: 18_000 },
  ])
  await create('model-agent', { model: 'local/cheap' }, 'many')
  const reply = await send('model-agent', script({ text: 'hi', usage }), { template: undefined })
  expect(await price(reply)).toEqual([{ model: 'local/cheap', cost: 2_000 }])
  const failing = await send('model', script({ error: { status: 400 } }), cheap)
  expect(failing).toMatchObject({ status: 502 })
  const effects = await world.effects({ runId: String(failing.body['runId']) })
  expect(effects.map(({ name }) => name)).toEqual(['local/cheap'])
})

test('what would widen, contradicts itself or names nothing is 400 and leaves nothing behind', async () => {
  const bad: [object, string][] = [
    [{ model: 'local/dear' }, '/overrides/model'],
    [{ permission: { deny: ['nothing_*'] } }, '/overrides/permission/deny/0'],
    [{ permission: { allow: ['echo'], deny: ['echo'] } }, '/overrides/permission/allow/0'],
    [{ permission: { mode: 'custom' } }, '/overrides/permission/mode'],
    [{ permission: { mode: 'open' } }, '/overrides/permission/mode'],
    [{ preset: 'endless' }, '/overrides/preset'],
    [{ expiresAt: 'tomorrow' }, '/overrides/expiresAt'],
    [{ limits: { maxCostMicros: 1 } }, '/overrides'],
  ]
  for (const [overrides, path] of bad) {
    const answers = [
      await send('nobody', 'hi', { overrides }),
      await create('nobody', overrides),
      await send('nobody', 'hi', { overrides, template: undefined }),
    ]
    for (const answer of answers.slice(0, 2)) {
      expect(answer, JSON.stringify(overrides)).toMatchObject({ status: 400, body: { code: 'validation' } })
      expect((answer.body['problems'] as { path: string }[]).map((problem) => problem.path).join(' ')).toContain(path)
    }
    expect(answers[2]).toMatchObject({ status: 400 })
  }
  // At the top stands another name of the same: it may not say something else, and what is wrong in it is told by where it was sent.
  const top: [object, string][] = [
    [{ permission: { deny: ['echo'] }, overrides: { permission: { deny: ['charge'] } } }, '/permission'],
    [{ permission: { deny: ['nothing_*'] } }, '/permission/deny/0'],
  ]
  for (const [body, path] of top) {
    const answer = await world.http('POST', '/api/agents', { id: 'nobody', template: 'many', ...body })
    expect(answer, path).toMatchObject({ status: 400, body: { problems: [{ in: 'body', path }] } })
  }
  expect((await world.http('GET', '/api/agents/nobody')).status).toBe(404)
  await create('widen', { expiresAt: await at(60_000), model: 'local/cheap' }, 'many')
  const later = await send('widen', 'hi', { template: 'many', overrides: { expiresAt: await at(120_000) } })
  expect(later).toMatchObject({ status: 400, body: { code: 'override_refused', field: 'expiresAt' } })
  const other = await send('widen', 'hi', { template: 'many', overrides: { model: 'local/spare' } })
  expect(other).toMatchObject({ status: 400, body: { code: 'override_refused', field: 'model', allowed: 'local/cheap' } })
})

test('the overrides of a message are part of its idempotency hash, and a repeat finds the run', async () => {
  const once = (overrides: object): Promise<Reply> =>
    world.http('POST', '/api/agents/key/messages', { message: 'hi', template: 'scripted', overrides }, { 'idempotency-key': 'k1' })
  const first = await once({ preset: 'restricted' })
  const second = await once({ preset: 'restricted' })
  expect(second.headers.get('idempotent-replayed')).toBe('true')
  expect(second.body['runId']).toBe(first.body['runId'])
  expect(await once({ preset: 'temporary' })).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
})

test('kind is message; another kind is a clear 400', async () => {
  expect(await send('kind', 'hi', { kind: 'message' })).toMatchObject({ status: 200 })
  const reminder = await send('kind', 'hi', { kind: 'reminder' })
  expect(reminder).toMatchObject({ status: 400, body: { code: 'validation' } })
  expect(JSON.stringify(reminder.body['problems'])).toContain('reminders come with a later release')
})

test('a message that interrupts is heard by the executor at once: nobody waits for its next heartbeat', async () => {
  const first = await world.send('interrupts', script({ gate: world.gate().file, text: 'never' }), { prefer: 'wait=0' })
  await until('interrupts is at work', async () => (await world.effects()).some(({ agentId }) => agentId === 'interrupts'))
  const second = await world.send('interrupts', script({ text: 'after' }), { prefer: 'wait=0', onBusy: 'interrupt' })
  expect(await world.ended(String(first.body['runId']))).toMatchObject({ stopReason: 'interrupted' })
  expect(await world.ended(String(second.body['runId']))).toMatchObject({ output: 'after' })
  // The next thing that would have ended its call is the limit of the function.
  expect(await world.sql('select cuts from baton.runs where run_id = $1', [first.body['runId']])).toEqual([{ cuts: 0 }])
})
