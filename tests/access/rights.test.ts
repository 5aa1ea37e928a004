import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KeyScope } from '#lib/core/keys'
import { table } from '#tests/access/endpoints'
import { adminKey, bearer, makeKey, startGuarded, tokenOf } from '#tests/access/kit'
import { until } from '#tests/engine/helpers'
import { script, type World } from '#tests/world'

const scopes: readonly KeyScope[] = ['agents:read', 'agents:run', 'approvals:decide', 'admin']
const user = '11111111-1111-4111-8111-111111111111'
const usersRights: readonly string[] = ['open', 'agents:read', 'agents:run']

let world: World
const keys = new Map<KeyScope, string>()
beforeAll(async () => {
  world = await startGuarded()
  for (const scope of scopes) keys.set(scope, (await makeKey(world, [scope])).key)
})
afterAll(() => world.close())

/** The endpoint values of lib/api, by what they serve. */
async function endpoints(): Promise<string[]> {
  const names: string[] = []
  for (const file of readdirSync('lib/api').filter((name) => name.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(name))) {
    const module = (await import(`../../lib/api/${file.slice(0, -3)}.ts`)) as Record<string, unknown>
    for (const value of Object.values(module)) {
      if (typeof value === 'object' && value !== null && 'respond' in value && 'path' in value && 'method' in value)
        names.push(`${String(value.method)} ${String(value.path)}`)
    }
  }
  return names
}

test('every endpoint has a row in the table of endpoints.ts', async () => {
  const served = await endpoints()
  expect(served.length).toBeGreaterThan(25)
  expect([...new Set(served)].filter((name) => table[name] === undefined)).toEqual([])
})

describe.each(Object.entries(table))('%s', (name, { right, body, query = '', users }) => {
  const [method = '', path = ''] = name.split(' ')
  async function statusFor(headers: Record<string, string>): Promise<{ status: number; needed: unknown }> {
    const address = path
      .replace('/chat/{id}/stream', '/chat/run_0/stream')
      .replace('{id}/result', '{id}/result?token=none')
      .replace('users/{id}', `users/${user}`)
      .replace('{scope}', 'agent:nobody')
      .replace('responses/{id}', `responses/resp_${'0'.repeat(32)}`)
      .replace('{id}', 'nothing')
      .replace('{deliveryId}', 'nothing')
    const response = await fetch(world.base() + address + query, {
      method,
      headers: { ...headers, prefer: 'respond-async', accept: 'application/json', 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    // Metrics and streams are no JSON.
    const answer = (response.headers.get('content-type')?.includes('json') === true ? JSON.parse(text) : {}) as Record<string, unknown>
    // Dialects word their errors themselves.
    const error = (answer['error'] ?? answer) as Record<string, unknown>
    return { status: response.status, needed: error['needed'] }
  }

  test.each(scopes)('a key of %s alone', async (scope) => {
    const { status, needed } = await statusFor(bearer(String(keys.get(scope))))
    if (right === 'signed') return expect(status).toBe(401)
    const may = right === 'open' || (right !== 'operator' && (right.split('|').includes(scope) || scope === 'admin'))
    if (may) expect([401, 403, 500]).not.toContain(status)
    else expect({ status, needed }).toEqual({ status: 403, needed: right === 'operator' ? undefined : right })
  })

  test('nobody, the admin key, and a signed-in user', async () => {
    expect((await statusFor({})).status).toBe(right === 'open' ? 200 : 401)
    if (right === 'signed') return expect((await statusFor(bearer(adminKey))).status).toBe(401)
    expect([401, 403, 500]).not.toContain((await statusFor(bearer(adminKey))).status)
    const { status } = await statusFor(bearer(await tokenOf(world, user)))
    if (users ?? usersRights.includes(right)) expect([401, 403, 500]).not.toContain(status)
    else expect(status).toBe(403)
  })
})

test('a refusal of a key is in the audit, with what was needed', async () => {
  const { id, key } = await makeKey(world, ['agents:read'])
  const reply = await world.http('POST', '/api/agents', { template: 'scripted' }, { ...bearer(key), 'x-request-id': 'refused-1' })
  expect(reply).toMatchObject({ status: 403, body: { code: 'forbidden', reason: 'right_missing', needed: 'agents:run' } })
  expect(
    await world.sql('select action, decision, code, reason, request_id, data from baton.audit where actor = $1', [`key:${id}`]),
  ).toMatchObject([
    {
      action: 'request.authorize',
      decision: 'refused',
      code: 'forbidden',
      reason: 'right_missing',
      request_id: 'refused-1',
      data: { needed: 'agents:run' },
    },
  ])
})

test('who may only send gets the answer to what it sent, also from a queue, and reads nothing else', async () => {
  const key = String(keys.get('agents:run'))
  const send = (text: string, prefer: string) =>
    world.http(
      'POST',
      '/api/agents/sender/messages',
      { message: script({ text, delayMs: 700 }), template: 'scripted' },
      { ...bearer(key), prefer },
    )
  const first = await send('first', 'respond-async')
  expect(first.status).toBe(202)
  expect(await send('second', 'wait=30')).toMatchObject({ status: 200, body: { output: 'second' } })
  expect((await world.http('GET', `/api/runs/${String(first.body['runId'])}`, undefined, bearer(key))).status).toBe(403)
})

describe('what others have sent, to a key that may act but not read', () => {
  const metadata = { of: 'the secret customer' }
  const sent = async (agent: string, message: string, more: object = {}, prefer = 'wait=20'): Promise<string> => {
    const body = { template: 'scripted', message, metadata, ...more }
    const reply = await world.http('POST', `/api/agents/${agent}/messages`, body, { ...bearer(adminKey), prefer })
    return String(reply.body['runId'])
  }
  const as = (scope: KeyScope, method: string, path: string, body: object = {}) =>
    world.http(method, path, body, bearer(String(keys.get(scope))))

  test('a stop, a change and a second making tell which it is and where it stands, and nothing of what was said', async () => {
    const agent = { id: 'theirs', template: 'scripted', metadata }
    expect((await world.http('POST', '/api/agents', agent, bearer(adminKey))).status).toBe(201)
    const runId = await sent('theirs', script({ text: 'the secret answer' }))
    const run = { id: runId, agentId: 'theirs', state: 'completed', stopReason: 'end_turn', output: null, metadata: {}, costMicros: 0 }
    const stops = [
      await as('agents:run', 'POST', `/api/runs/${runId}/cancel`),
      await as('agents:run', 'POST', '/api/agents/theirs/interrupt', { runId }),
      await as('agents:run', 'POST', '/api/chat/theirs/stop', { runId }),
    ]
    for (const stop of stops) expect(stop).toMatchObject({ status: 200, body: { stopped: false, run } })
    const responseId = `resp_${runId.slice(4)}`
    const response = await as('agents:run', 'POST', `/v1/responses/${responseId}/cancel`)
    expect(response).toMatchObject({ status: 200, body: { id: responseId, status: 'completed', output: [], metadata: {} } })
    const shown = { id: 'theirs', metadata: {}, messages: 0, activeRunId: null }
    const patched = await as('agents:run', 'PATCH', '/api/agents/theirs')
    expect(patched).toMatchObject({ status: 200, body: shown })
    const again = await as('agents:run', 'POST', '/api/agents', agent)
    expect(again).toMatchObject({ status: 200, body: { ...shown, metadata } })
    expect(await as('agents:run', 'PATCH', '/api/agents/theirs', { metadata: { a: 1 } })).toMatchObject({ body: { metadata: { a: 1 } } })
    expect(JSON.stringify([stops, response, patched])).not.toContain('secret')
    // Who may read is told all of it, and so is who has sent it.
    const told = await as('admin', 'POST', `/api/runs/${runId}/cancel`)
    expect(told.body['run']).toMatchObject({ output: 'the secret answer', metadata })
    const own = { message: script({ text: 'own' }), template: 'scripted' }
    const mine = await world.http('POST', '/api/agents/mine/messages', own, {
      ...bearer(String(keys.get('agents:run'))),
      prefer: 'wait=20',
    })
    const mineAgain = await as('agents:run', 'POST', `/api/runs/${String(mine.body['runId'])}/cancel`)
    expect(mineAgain.body['run']).toMatchObject({ output: 'own' })
  })

  test('it cannot have the outputs sent to itself', async () => {
    await sent('watched', script({ text: 'x' }))
    for (const webhook of [{ url: 'https://example.com/hook' }, null]) {
      const refused = await as('agents:run', 'PATCH', '/api/agents/watched', { webhook })
      expect(refused).toMatchObject({ status: 403, body: { code: 'forbidden', needed: 'agents:read' } })
      expect(refused.body['detail']).toContain('agents:read')
    }
    const { key } = await makeKey(world, ['agents:run', 'agents:read'])
    const set = await world.http('PATCH', '/api/agents/watched', { webhook: { url: 'https://example.com/hook' } }, bearer(key))
    expect(set).toMatchObject({ status: 200, body: { webhook: { url: 'https://example.com/hook' } } })
  })

  test('a decision tells of the run where it stands, also when it is repeated after the end', async () => {
    const asks = script({ tools: [{ name: 'charge', input: { key: 'k', cents: 1 } }] }, { text: 'the secret end' })
    const runId = await sent('asks', asks, { overrides: { permission: { ask: ['charge'] } } })
    const inbox = await world.http('GET', `/api/approvals?run=${runId}`, undefined, bearer(String(keys.get('approvals:decide'))))
    const [{ id }] = inbox.body['data'] as [{ id: string }]
    const decide = (scope: KeyScope) => as(scope, 'POST', `/api/approvals/${id}`, { decision: 'allow' })
    expect(await decide('approvals:decide')).toMatchObject({ status: 200, body: { replayed: false, run: { id: runId, metadata: {} } } })
    const ended = await world.http('GET', `/api/runs/${runId}?wait=30`, undefined, bearer(adminKey))
    expect(ended.body).toMatchObject({ state: 'completed', output: 'the secret end' })
    const run = { id: runId, state: 'completed', stopReason: 'end_turn', output: null, metadata: {} }
    expect(await decide('approvals:decide')).toMatchObject({ status: 200, body: { replayed: true, run } })
    expect((await decide('admin')).body['run']).toMatchObject({ output: 'the secret end', metadata })
  })

  const post = async (
    path: string,
    body: object,
    headers: Record<string, string> = {},
    key = String(keys.get('agents:run')),
  ): Promise<string> => {
    const response = await fetch(world.base() + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...bearer(key), ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    })
    return `${response.status} ${await response.text()}`
  }
  const sse = { accept: 'text/event-stream' }
  const chat = (id: string, more: object = {}) => ({
    id,
    messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'and?' }] }],
    ...more,
  })

  test('behind a pause, or refused or steered for it, it learns which tool waits and nothing of what that was given', async () => {
    const runId = await sent('paused', script({ tools: [{ name: 'charge', input: { key: 'the secret key', cents: 5 } }] }), {
      overrides: { permission: { ask: ['charge'] } },
    })
    const path = '/api/agents/paused/messages'
    const say = { message: 'and?' }
    const told = [
      await post(path, say, { prefer: 'wait=20' }),
      await post(path, say, sse),
      await post('/api/chat', chat('paused')),
      await post(path, { ...say, onBusy: 'reject' }),
      await post(path, { ...say, onBusy: 'steer' }, { prefer: 'wait=20' }),
      await post(path, { ...say, onBusy: 'steer' }, sse),
      await post('/api/chat', chat('paused', { onBusy: 'steer' })),
    ]
    for (const answer of told) {
      expect(answer).toMatch(/"tool":"charge"/)
      expect(answer).toMatch(/"input":null/)
      expect(answer).toContain(runId)
      expect(answer).not.toContain('secret')
    }
    expect(told.map((answer) => answer.slice(0, 3))).toEqual(['202', '200', '200', '409', '202', '200', '200'])
    for (const stream of [told[1], told[5]]) expect(stream).toContain('event: blocked')
    // Who may read is told all of it.
    for (const more of [{}, { onBusy: 'reject' }]) expect(await post(path, { ...say, ...more }, {}, adminKey)).toContain('the secret key')
    expect(await post(path, say, sse, adminKey)).toContain('the secret key')
  })

  test('steered into a run that waits for the outside, it gets no address for the result', async () => {
    await sent('outer', script({ tools: [{ name: 'outside', input: { of: 'the secret order' } }] }))
    const steered = await post('/api/agents/outer/messages', { message: 'and?', onBusy: 'steer' }, { prefer: 'wait=20' })
    expect(JSON.parse(steered.slice(4))).toMatchObject({
      status: 'paused',
      externalCalls: [{ tool: 'outside', input: null, callbackUrl: '' }],
    })
    expect(steered).not.toContain('secret')
  })

  test("a retry of another's run tells which run it is and where it stands, and so does a stop of that one", async () => {
    const runId = await sent('failed', script({ error: { status: 401 } }))
    const retried = await world.http('POST', `/api/runs/${runId}/retry`, undefined, bearer(String(keys.get('agents:run'))))
    expect(retried).toMatchObject({ status: 202, body: { agentId: 'failed', cause: 'retry', retryOf: runId, metadata: {}, limits: {} } })
    const stopped = await post(`/api/runs/${String(retried.body['id'])}/cancel`, {})
    for (const answer of [JSON.stringify(retried.body), stopped]) expect(answer).not.toContain('secret')
    await world.http('GET', `/api/runs/${String(retried.body['id'])}?wait=30`, undefined, bearer(adminKey))
    expect(await post(`/api/runs/${runId}/retry`, {}, {}, adminKey)).toContain('the secret customer')
  })

  test("steered into another's run it is told what comes from then on, also by its link, when it is sent again, and in every dialect", async () => {
    const gate = world.gate()
    const working = script(
      { text: 'the secret text', tools: [{ name: 'echo', input: { value: 'the secret input' } }] },
      { tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }] },
      { text: 'the end' },
    )
    const runId = await sent('steered', working, {}, 'respond-async')
    await until('it is at work', async () => {
      const calls = await world.sql(`select from baton.tool_calls where run_id = $1 and name = 'wait' and state = 'executing'`, [runId])
      return calls.length > 0
    })
    await world.sql(`update baton.agents set settings = jsonb_set(settings, '{onBusy}', '"steer"') where id = 'steered'`)
    const queued = `select from baton.inbox i join baton.agents a using (agent_uid) where a.id = 'steered'`
    const path = '/api/agents/steered/messages'
    const key = { 'idempotency-key': 'steered-once' }
    const taken = await post(path, { message: 'one' }, { ...key, prefer: 'respond-async' })
    const { links } = JSON.parse(taken.slice(4)) as { links: { events: string } }
    const streams = [
      post(path, { message: 'two' }, sse),
      post('/api/chat', chat('steered')),
      post('/v1/responses', { conversation: 'steered', input: 'four', stream: true }),
    ]
    await until('all are accepted', async () => (await world.sql(queued)).length === 4)
    await gate.open()
    const told = [taken, ...(await Promise.all(streams)), await post(path, { message: 'one' }, { ...key, ...sse })]
    for (const headers of [sse, { accept: 'application/json' }])
      told.push(await (await fetch(`${world.base()}${links.events}&after=0`, { headers })).text())
    for (const answer of told) expect(answer).not.toContain('secret')
    for (const answer of told.slice(1)) expect(answer).toContain('the end')
    for (const answer of [told[1], ...told.slice(4)]) expect(answer).toContain('message_entered')
  })
})

test('an admin key makes keys; a key of other rights makes none, whatever it asks for', async () => {
  const admin = String(keys.get('admin'))
  const made = await makeKey(world, ['admin'], {}, admin)
  expect((await world.http('GET', '/api/keys', undefined, bearer(made.key))).status).toBe(200)
  for (const scope of ['agents:read', 'agents:run', 'approvals:decide'] as const) {
    const reply = await world.http('POST', '/api/keys', { name: 'x', scopes: [scope] }, bearer(String(keys.get(scope))))
    expect(reply.status).toBe(403)
  }
})
