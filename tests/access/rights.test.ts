import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KeyScope } from '#lib/core/keys'
import { adminKey, bearer, makeKey, startGuarded, tokenOf } from '#tests/access/kit'
import { script, type World } from '#tests/world'

/** What one endpoint needs, and a request that is valid but for its rights. */
interface Row {
  /** Several with | between them: any of them. `signed`: the address is its own credential. */
  right: KeyScope | 'open' | 'operator' | 'signed' | 'agents:read|approvals:decide'
  body?: unknown
  query?: string
  /** Where it is not the right that says whether users may. */
  users?: boolean
}

/** Every endpoint has its row here: one without a row is one whose rights nobody has thought of. */
const table: Record<string, Row> = {
  'GET /api/health': { right: 'open' },
  'GET /api/health/live': { right: 'open' },
  'GET /api/health/ready': { right: 'open' },
  'GET /api/health/startup': { right: 'open' },
  'GET /api/metrics': { right: 'admin' },
  'GET /api/metrics.json': { right: 'admin' },
  'GET /api/openapi.json': { right: 'open' },
  'GET /api/local/effects': { right: 'operator' },
  'GET /api/local/time': { right: 'operator' },
  'POST /api/local/time': { right: 'operator', body: { advanceMs: 0 } },
  'POST /api/local/crash': { right: 'operator', body: {} },
  'GET /api/agents': { right: 'agents:read' },
  'GET /api/agents/{id}': { right: 'agents:read' },
  'GET /api/agents/{id}/messages': { right: 'agents:read' },
  'GET /api/agents/{id}/tool-calls': { right: 'agents:read' },
  'GET /api/agents/{id}/runs': { right: 'agents:read' },
  'GET /api/agents/{id}/events': { right: 'agents:read' },
  'GET /api/runs': { right: 'agents:read' },
  'GET /api/runs/{id}': { right: 'agents:read' },
  'GET /api/runs/{id}/events': { right: 'agents:read' },
  'POST /api/agents': { right: 'agents:run', body: { template: 'scripted' } },
  'PATCH /api/agents/{id}': { right: 'agents:run', body: { metadata: {} } },
  'DELETE /api/agents/{id}': { right: 'agents:run' },
  'POST /api/agents/{id}/messages': { right: 'agents:run', body: { message: 'x', template: 'scripted' } },
  'POST /api/agent/{id}': { right: 'agents:run', body: { message: 'x', template: 'scripted' } },
  'POST /api/chat': {
    right: 'agents:run',
    body: { id: 'x', messages: [{ role: 'user', parts: [{ type: 'text', text: 'x' }] }], template: 'nowhere' },
  },
  'GET /api/chat/{id}': { right: 'agents:read' },
  'GET /api/chat/{id}/stream': { right: 'agents:read' },
  'POST /api/chat/{id}/stop': { right: 'agents:run', body: {} },
  'POST /api/agents/{id}/interrupt': { right: 'agents:run', body: {} },
  'POST /api/runs/{id}/cancel': { right: 'agents:run', body: {} },
  'POST /api/runs/{id}/retry': { right: 'agents:run' },
  'GET /api/approvals': { right: 'agents:read|approvals:decide', users: true },
  'GET /api/approvals/{id}': { right: 'agents:read|approvals:decide', users: true },
  'POST /api/approvals/{id}': { right: 'approvals:decide', users: true, body: { decision: 'allow', note: 'x' } },
  'GET /api/console/session': { right: 'open' },
  // What the body brings is the credential, whatever comes beside it.
  'POST /api/console/session': { right: 'signed', body: { key: 'bt_nobody' } },
  'DELETE /api/console/session': { right: 'open' },
  'POST /api/tool-calls/{id}/result': { right: 'signed', body: { output: 1 } },
  'POST /v1/responses': { right: 'agents:run', body: { model: 'scripted', input: 'x', background: true } },
  'GET /v1/responses/{id}': { right: 'agents:read' },
  'POST /v1/responses/{id}/cancel': { right: 'agents:run' },
  'GET /api/usage': { right: 'agents:read' },
  'GET /api/budgets': { right: 'agents:read', users: false },
  'GET /api/budgets/{scope}': { right: 'agents:read', users: false },
  'PUT /api/budgets/{scope}': { right: 'admin', body: { period: 'day', limitMicros: 1 } },
  'DELETE /api/budgets/{scope}': { right: 'admin' },
  'POST /api/keys': { right: 'admin', body: { name: 'x', scopes: ['agents:read'] } },
  'GET /api/keys': { right: 'admin' },
  'GET /api/keys/{id}': { right: 'admin' },
  'PATCH /api/keys/{id}': { right: 'admin', body: { name: 'x' } },
  'DELETE /api/keys/{id}': { right: 'admin' },
  'POST /api/keys/{id}/rotate': { right: 'admin', body: {} },
  'GET /api/limits': { right: 'admin' },
  'GET /api/audit': { right: 'admin' },
  'POST /api/kill': { right: 'admin', body: { scope: 'agent:nobody', mode: 'hold', reason: 'a test' } },
  'DELETE /api/kill/{scope}': { right: 'admin' },
  'GET /api/kill': { right: 'admin' },
  'POST /api/runs/retry': { right: 'agents:run', body: {} },
  'POST /api/webhooks': { right: 'admin', body: { url: 'http://127.0.0.1:9/x' } },
  'GET /api/webhooks': { right: 'admin' },
  'GET /api/webhooks/{id}': { right: 'admin' },
  'PATCH /api/webhooks/{id}': { right: 'admin', body: { enabled: true } },
  'POST /api/webhooks/{id}/rotate-secret': { right: 'admin', body: {} },
  'DELETE /api/webhooks/{id}': { right: 'admin' },
  'POST /api/webhooks/{id}/test': { right: 'admin' },
  'GET /api/webhooks/{id}/deliveries': { right: 'admin' },
  'GET /api/webhooks/{id}/deliveries/{deliveryId}': { right: 'admin' },
  'POST /api/webhooks/{id}/deliveries/{deliveryId}/redeliver': { right: 'admin' },
  'POST /api/runs/{id}/webhooks/{deliveryId}/redeliver': { right: 'admin' },
  'GET /api/agents/{id}/consistency': { right: 'agents:read' },
  'POST /api/agents/{id}/repair': { right: 'admin' },
  'GET /api/stats': { right: 'agents:read' },
  'GET /api/retention': { right: 'admin' },
  'PUT /api/retention': { right: 'admin', body: {} },
  'GET /api/export': { right: 'admin', query: '?scope=agent:nobody' },
  'DELETE /api/users/{id}': { right: 'admin' },
  'DELETE /api/tenant': { right: 'admin', query: '?confirm=nobody' },
  'PUT /api/limits/{scope}': { right: 'admin', body: { messagesPerMinute: 1_000 } },
}

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

test('every endpoint has a row in the table above', async () => {
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

test('an admin key makes keys; a key of other rights makes none, whatever it asks for', async () => {
  const admin = String(keys.get('admin'))
  const made = await makeKey(world, ['admin'], {}, admin)
  expect((await world.http('GET', '/api/keys', undefined, bearer(made.key))).status).toBe(200)
  for (const scope of ['agents:read', 'agents:run', 'approvals:decide'] as const) {
    const reply = await world.http('POST', '/api/keys', { name: 'x', scopes: [scope] }, bearer(String(keys.get(scope))))
    expect(reply.status).toBe(403)
  }
})
