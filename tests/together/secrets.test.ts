import { readdir, readFile } from 'node:fs/promises'
import { join as path } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { acting, pausedBody } from '#tests/approvals/acting'
import { join } from '#tests/audit/corpus'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import { runOf, until } from '#tests/engine/helpers'
import { setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
let receiver: Receiver
const { decide } = acting(() => world)
beforeAll(async () => {
  receiver = await startReceiver()
  world = await startWorld({
    servers: 2,
    env: localTemplates({ templates: [{ id: 'asks', model: 'local/scripted', permission: { ask: ['charge'] } }] }),
  })
})
afterAll(async () => {
  await world.close()
  await receiver.close()
})
vi.setConfig({ testTimeout: 90_000 })

let planted = 0
const all = new Map<string, string>()
/** A secret of its own for each place, so that a leak names where it came in. */
function plant(place: string): string {
  const secret = join('gh', 'p_', `${String(++planted).padStart(4, '0')}kLmX4qW8zR1nV5cY3dJ6hF0sA2eG4uI`)
  all.set(place, secret)
  return secret
}

async function tables(): Promise<Map<string, string>> {
  const names = await world.sql<{ t: string }>(
    `select c.relname as t from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'baton' and c.relkind = 'r'`,
  )
  const rows = new Map<string, string>()
  for (const { t } of names) {
    const [row] = await world.sql<{ text: string | null }>(`select string_agg(row_to_json(x)::text, E'\\n') as text from baton.${t} x`)
    rows.set(t, row?.text ?? '')
  }
  return rows
}

/** What belongs to the conversation or is the caller's own data, and stays exact (docs/decisions/0012). */
const exact: Record<string, readonly string[]> = {
  // The call itself has the input that the person wrote instead.
  'tool input': ['messages', 'approvals'],
  'edited input': ['tool_calls', 'approvals'],
  'output of the outside': ['tool_calls', 'messages'],
}

test('secrets that are planted everywhere at once stay where the conversation is, and are in no event, audit, webhook or log', async () => {
  // Switches, decisions, callbacks, custom events, hooks of administrators: each brings its own.
  const key = plant('tool input')
  const message = script(
    { tools: [{ name: 'charge', input: { key, cents: 1 } }] },
    { tools: [{ name: 'outside', input: {} }] },
    {
      tools: [
        { name: 'emit', input: { type: 'told', data: { note: plant('custom event') } } },
        { name: 'fail', input: { message: plant('thrown error') } },
      ],
    },
    { text: 'over' },
  )
  const paused = await world.send('planted', message, { template: 'asks', prefer: 'wait=25', webhook: { url: receiver.url } })
  const runId = runOf(paused)
  await until('the webhook has come', () => receiver.ids(runId).length > 0)
  const input = { key: plant('edited input'), cents: 2 }
  const approval = pausedBody(paused).approvals[0]?.id ?? ''
  expect((await decide(approval, { decision: 'allow', input, note: `because ${plant('note')}` })).status).toBe(200)
  await decide(approval, { decision: 'deny', note: plant('note of a decision that came too late') })
  await until('it waits outside', async () => (await world.run(runId)).wait?.kind === 'external')
  const [call] = (await world.http('GET', '/api/agents/planted/tool-calls')).body['data'] as { callbackUrl?: string; name: string }[]
  const outside = ((await world.http('GET', '/api/agents/planted/tool-calls')).body['data'] as { callbackUrl?: string }[]).find(
    (one) => one.callbackUrl,
  )
  expect(call).toBeDefined()
  const { pathname, search } = new URL(outside?.callbackUrl ?? '')
  expect((await world.http('POST', pathname + search, { output: { said: plant('output of the outside') } })).status).toBe(200)
  await world.ended(runId)

  const slow = await world.send('planted-2', script({ text: 'x', delayMs: 20_000 }), {
    prefer: 'respond-async',
    webhook: { url: receiver.url },
  })
  const reason = `they said ${plant('reason of a kill')}`
  const set = await world.http('POST', '/api/kill', { scope: 'agent:planted-2', mode: 'kill', reason })
  expect(set.body['reason']).toBe('they said [redacted]')
  await world.ended(runOf(slow))
  await until('the webhook has come', () => receiver.ids(runOf(slow)).length > 0)
  await world.send('planted-2', 'refused', { prefer: 'wait=5' })
  await world.http('DELETE', `/api/kill/agent:planted-2?reason=${plant('reason of a lift')}`)
  await setSwitch(world, 'agent:planted-3', { mode: 'hold' })
  const held = await world.send('planted-3', 'x', { prefer: 'respond-async' })
  await world.http('POST', `/api/runs/${runOf(held)}/cancel`, { reason: plant('reason of a cancel') })
  const made = await world.http('POST', '/api/keys', { name: plant('name of a key'), scopes: ['agents:read'] })
  await world.http('PATCH', `/api/keys/${String(made.body['id'])}`, { name: plant('new name of a key') })
  const hook = await world.http('POST', '/api/webhooks', { url: receiver.url, description: plant('description of a webhook') })
  await world.http('PATCH', `/api/webhooks/${String(hook.body['id'])}`, { description: plant('description of a patch') })
  for (const [place, url] of [['budget', `/api/budgets/tenant?x=${plant('query')}`]] as const)
    expect([place, (await world.http('GET', url)).status]).toEqual([place, 400])
  await world.http('GET', `/api/budgets/agent:${plant('name in a path')}`)

  const rows = await tables()
  const folder = path(world.dataDir, 'logs')
  const files = (await readdir(folder, { recursive: true })).filter((name) => /log/.test(name))
  const logs = (await Promise.all(files.map((name) => readFile(path(folder, name), 'utf8').catch(() => '')))).join('\n')
  const told = JSON.stringify([
    receiver.arrivals,
    ...(await Promise.all(['planted', 'planted-2', 'planted-3'].map((agent) => world.events(agent)))),
    (await world.http('GET', '/api/audit?limit=200')).body,
    (await world.http('GET', '/api/kill')).body,
  ])
  for (const [place, secret] of all) {
    const stands = [...rows].filter(([, text]) => text.includes(secret)).map(([table]) => table)
    expect({ place, stands: stands.toSorted() }).toEqual({
      place,
      stands: place in exact ? (exact[place] ?? []).toSorted() : ['messages', 'tool_calls'].filter((table) => stands.includes(table)),
    })
    expect({ place, told: told.includes(secret), logs: logs.includes(secret) }).toEqual({ place, told: false, logs: false })
  }
  // The conversation itself is exact: the tool got what the person wrote.
  expect(rows.get('tool_calls')).toContain(input.key)
  expect(rows.get('messages')).toContain(key)
})

test('one entry a decision: no doubled ones, each with its request, and none without its act', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const headers = { 'x-request-id': 'req_once', traceparent }
  await world.send('once', 'hi', { prefer: 'wait=25', headers })
  await world.http('POST', '/api/kill', { scope: 'agent:once', mode: 'kill', reason: 'r' }, headers)
  await world.send('once', 'refused', { headers })
  await world.http('DELETE', '/api/kill/agent:once', undefined, headers)
  await world.send('once', 'hi', { template: 'asks', headers })
  await world.http('PATCH', '/api/agents/once', { metadata: { a: 1 } }, headers)
  await world.http('DELETE', '/api/agents/once', undefined, headers)
  const entries = await world.sql<{
    action: string
    decision: string
    code: string | null
    request_id: string | null
    trace_id: string | null
  }>(`select action, decision, code, request_id, trace_id from baton.audit where agent_id = 'once' or scope = 'agent:once' order by id`)
  expect(entries.map(({ action, decision, code }) => [action, decision, code].filter((part) => part !== null).join(' '))).toEqual([
    'message.accept allowed',
    'model.call allowed',
    'switch.set allowed',
    'message.accept refused killed',
    'switch.lift allowed',
    'message.accept refused conflict',
    'agent.patch allowed',
    'agent.delete allowed',
  ])
  for (const { action, request_id: request, trace_id: trace } of entries) {
    if (action !== 'model.call') expect({ action, request }).toEqual({ action, request: 'req_once' })
    if (/message|model/.test(action)) expect({ action, trace }).toEqual({ action, trace: '0af7651916cd43dd8448eb211c80319c' })
  }
})

test('the hooked template: what a hook denies or answers is one entry each', async () => {
  const input = (value: string): object => ({ value })
  const tools = ['blocked', 'cached', 'fine'].map((value) => ({ name: 'echo', input: input(value) }))
  const reply = await world.send('hook-once', script({ tools }, { text: 'over' }), { template: 'hooked', prefer: 'wait=25' })
  expect(reply.status).toBe(200)
  const entries = await world.sql<{ decision: string; code: string; reason: string }>(
    `select decision, code, reason from baton.audit where run_id = $1 and action = 'tool.call' order by decision`,
    [runOf(reply)],
  )
  expect(entries.map(({ decision, code }) => `${decision} ${code}`)).toEqual(['recorded hook', 'refused hook'])
})
