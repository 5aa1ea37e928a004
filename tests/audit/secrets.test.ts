import { readdir, readFile } from 'node:fs/promises'
import { join as path } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { join } from '#tests/audit/corpus'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import { runOf, until } from '#tests/engine/helpers'
import { fake } from '#tests/fake-provider/script'
import { startFakeProvider, type FakeProvider } from '#tests/fake-provider/server'
import { script, startWorld, type Frame, type World } from '#tests/world'

/** One key with a known beginning, and one that only this process can know for a key. */
const anthropicKey = join('sk', '-ant-api03-', 'Zk3jQ8vN1xT6bR4mW9cY2hL7')
const openaiKey = 'companyproxy.credential.0042.quite.unlike.others'
/** What a model, a tool or a caller might bring; each must stay in the conversation and be seen nowhere else. */
const brought = {
  github: join('gh', 'p_', 'b7T2k9LmX4qW8zR1nV5cY3dJ6hF0sA2eG4uI'),
  password: 'correct-horse-77',
  database: 'Tr0ub4dor',
  stripe: join('sk', '_live_', '9aB8cD7eF6gH5iJ4kL3mN2oP'),
  bearer: join('Bearer ', 'zyx987.wvu654'),
}

let provider: FakeProvider
let receiver: Receiver
let world: World
beforeAll(async () => {
  provider = await startFakeProvider()
  receiver = await startReceiver()
  const templates = [
    { id: 'claude', model: 'anthropic/claude-haiku-4-5' },
    { id: 'gpt', model: 'openai/gpt-5-mini' },
  ]
  world = await startWorld({
    real: ['models'],
    env: {
      ANTHROPIC_API_KEY: anthropicKey,
      ANTHROPIC_BASE_URL: provider.baseUrl,
      OPENAI_API_KEY: openaiKey,
      OPENAI_BASE_URL: provider.baseUrl,
      ...localTemplates({ templates }),
    },
  })
})
afterAll(async () => {
  await world.close()
  await receiver.close()
  await provider.close()
})

const wait = { prefer: 'wait=25' }

/** Every row of every table, by table. */
async function dump(): Promise<Map<string, string>> {
  const tables = await world.sql<{ t: string }>(
    `select c.relname as t from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'baton' and c.relkind = 'r'`,
  )
  const rows = new Map<string, string>()
  for (const { t } of tables) {
    const [row] = await world.sql<{ text: string | null }>(`select string_agg(row_to_json(x)::text, E'\\n') as text from baton.${t} x`)
    rows.set(t, row?.text ?? '')
  }
  return rows
}

/** The tables in which a text stands. */
async function tablesWith(secret: string): Promise<string[]> {
  return [...(await dump())]
    .filter(([, text]) => text.includes(secret))
    .map(([table]) => table)
    .toSorted()
}

async function logs(): Promise<string> {
  const folder = path(world.dataDir, 'logs')
  const names = (await readdir(folder, { recursive: true })).filter((name) => /log/.test(name))
  expect(names.length).toBeGreaterThan(0)
  const written = (await Promise.all(names.map((name) => readFile(path(folder, name), 'utf8').catch(() => '')))).join('\n')
  expect(written).toContain('"message":"request"')
  return written
}

test.each([
  ['claude', anthropicKey],
  ['gpt', openaiKey],
])('a provider that repeats the key in its error (%s): it is in no answer, event, row or log', async (template, key) => {
  const message = 'Incorrect API key provided: {KEY}. mark'
  const refuse = (status: number): string =>
    fake({ text: `${template} ${status}`, error: { status, body: { type: 'error', error: { type: 'x', message } } } })
  const webhook = { url: receiver.url }
  for (const status of [401, 500]) {
    const agent = `${template}-${status}`
    const reply = await world.send(agent, refuse(status), { ...wait, template, webhook })
    expect(reply.status).toBe(502)
    expect(reply.body['detail']).toContain('Incorrect API key provided: [redacted]')
    const run = await world.ended(runOf(reply))
    expect(run.error?.message).toContain('[redacted]')
    await until('the webhook has come', () => receiver.ids(run.id).length > 0)
    const seen = JSON.stringify([reply.body, run, await world.events(agent), await world.http('GET', '/api/audit'), receiver.arrivals])
    expect(seen).not.toContain(key)
  }
  expect(provider.requests.some(({ headers }) => JSON.stringify(headers).includes(key))).toBe(true)
  expect(await tablesWith(key)).toEqual([])
  expect(await logs()).not.toContain(key)
})

test('what model, tools and callers bring stays exact in the conversation and is hidden in events, live and stored, errors, webhooks and logs', async () => {
  const { github, password, database, stripe, bearer } = brought
  const url = `postgres://app:${database}@db.example.com/x`
  const text = `Your key is ${github}.`
  const frames: Frame[] = await world.stream(`/api/agents/leaky/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      template: 'scripted',
      webhook: { url: receiver.url },
      message: script(
        {
          tools: [
            { name: 'echo', input: { value: { user: 'ann', password, inputTokens: 12, list: [bearer] } } },
            { name: 'fail', input: { message: `could not connect to ${url}` } },
            { name: 'emit', input: { type: 'told', data: { authorization: bearer, note: stripe } } },
          ],
        },
        { text },
      ),
    }),
  })
  const runId = String(frames.at(-1)?.data['runId'])
  await until('the webhook has come', () => receiver.ids(runId).length > 0)

  // The conversation, the calls' records and the text of the stream are what the model and the tools have said.
  const calls = (await world.http('GET', '/api/agents/leaky/tool-calls')).body['data'] as Record<string, unknown>[]
  expect(calls.find((call) => call['name'] === 'echo')).toMatchObject({
    input: { value: { user: 'ann', password, list: [bearer] } },
    output: { type: 'json', value: { user: 'ann', password, list: [bearer] } },
  })
  expect(calls.find((call) => call['name'] === 'fail')).toMatchObject({ output: { value: { message: `could not connect to ${url}` } } })
  expect(JSON.stringify(await world.messages('leaky'))).toContain(password)
  const events = await world.events('leaky')
  expect(events.find((event) => event.type === 'text_end')).toMatchObject({ text })
  expect(frames.flatMap(({ event, data }) => (event === 'text_delta' ? [data['text']] : [])).join('')).toBe(text)
  expect((await world.run(runId)).output).toBe(text)

  // Events show shapes and counts, and none of the secrets; the stream shows what is stored.
  const started = events.find((event) => event.type === 'tool_start' && event['name'] === 'echo')
  expect(started).toMatchObject({ input: { value: { user: 'ann', password: '[redacted]', inputTokens: 12, list: ['Bearer [redacted]'] } } })
  const custom = events.find((event) => event.type === 'custom')
  expect(custom).toMatchObject({ data: { authorization: '[redacted]', note: '[redacted]' }, eventType: 'told' })
  const streamed = JSON.stringify(frames.filter(({ event }) => event !== 'text_end' && event !== 'text_delta' && event !== 'done'))
  const told = JSON.stringify(events.filter((event) => event.type !== 'text_end' && event.type !== 'done'))
  for (const secret of Object.values(brought)) {
    expect(told).not.toContain(secret)
    expect(streamed).not.toContain(secret)
  }
  expect(told).toContain('db.example.com/x')
  expect(receiver.arrivals.find((arrival) => arrival.runId === runId)?.text).toContain('Your key is [redacted].')

  const hidden = ['audit', 'events', 'outbox', 'reservations']
  for (const secret of [password, database, stripe, bearer]) {
    for (const table of hidden) expect((await dump()).get(table), `${secret} in ${table}`).not.toContain(secret)
    expect(await tablesWith(secret)).toEqual(['messages', 'tool_calls'])
  }
  const written = await logs()
  for (const secret of Object.values(brought)) expect(written).not.toContain(secret)
})

test('A81: a reason that holds a secret is hidden in the audit log, the run and its events', async () => {
  const reason = `leaked ${brought.github}, password=${brought.password}`
  const reply = await world.send('reasoned', script({ text: 'x', delayMs: 20_000 }), { prefer: 'respond-async' })
  const runId = runOf(reply)
  await world.http('POST', `/api/runs/${runId}/cancel`, { reason }, { 'x-request-id': 'req_reason' })
  const run = await world.ended(runId)
  const kill = await world.http('POST', '/api/kill', { scope: 'agent:reasoned', mode: 'kill', reason })
  expect(kill.body['reason']).toBe('leaked [redacted], password=[redacted]')
  const { body } = await world.http('GET', `/api/audit?run=${runId}`)
  // Where the model had begun already, its call is booked as an estimate besides.
  const entries = (body['data'] as { action: string }[]).filter(({ action }) => action !== 'model.call')
  expect(entries).toMatchObject([
    { action: 'run.cancel', reason: 'leaked [redacted], password=[redacted]', requestId: 'req_reason', actor: 'local' },
    { action: 'message.accept' },
  ])
  const seen = JSON.stringify([run, await world.events('reasoned')])
  for (const secret of [brought.github, brought.password]) {
    expect(seen).not.toContain(secret)
    expect((await dump()).get('audit')).not.toContain(secret)
  }
})

test('requests with secrets in their address or body leave none in answers of errors and in logs', async () => {
  const token = join('eyJ', 'hbGciOiJIUzI1NiJ9.', 'eyJhIjoxfQ.', 'c2lnbmF0dXJlLW9uZQ')
  await world.http('GET', `/api/agents/x/events?token=${token}`)
  await world.http('GET', `/api/runs/${brought.github}?apikey=${brought.stripe}`)
  const bad = await world.http('POST', '/api/agents/x/messages', { message: '', password: brought.password, [brought.github]: 1 })
  expect(bad.status).toBe(400)
  expect(JSON.stringify(bad.body)).not.toContain(brought.github)
  const written = await logs()
  for (const secret of [token, brought.github, brought.stripe, brought.password]) expect(written).not.toContain(secret)
})
