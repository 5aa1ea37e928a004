import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { until } from '#tests/engine/helpers'
import { script, startWorld, type Gate, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
  // With a limit of its own (far above what is used here) every caller's check brings the news of changed limits.
  await put('tenant', { requestsPerMinute: 100_000 })
})
afterAll(() => world.close())

async function put(scope: string, values: Record<string, number>, server = 0): Promise<Reply> {
  const reply = await world.http('PUT', `/api/limits/${encodeURIComponent(scope)}`, values, {}, server)
  expect(reply).toMatchObject({ status: 200, body: { scope, ...values } })
  return reply
}

const statuses = (replies: Reply[]): Record<number, number> => {
  const counts: Record<number, number> = {}
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1
  return counts
}
const sum = async (agent: string): Promise<unknown> =>
  (
    await world.sql(
      `select (select coalesce(sum(v.micros), 0) from baton.reservations v where v.agent_id = $1) as spent,
        (select count(*) from baton.runs r join baton.agents a using (agent_uid) where a.id = $1) as runs,
        (select last_message_seq from baton.agents a where a.id = $1) as messages`,
      [agent],
    )
  )[0]

test('A64: with one message a minute the second is refused before anything is spent or kept', async () => {
  await put('agent:a64', { messagesPerMinute: 1 })
  const first = await world.send('a64', script({ text: 'one', usage: { input: 1_000, output: 1_000 } }), { prefer: 'wait=25' })
  expect(first.status).toBe(200)
  const before = await sum('a64')
  const second = await world.send('a64', script({ text: 'two' }), { prefer: 'wait=25', key: 'kept' })
  expect(second).toMatchObject({
    status: 429,
    body: { code: 'rate_limited', hard: false, retryable: true, limit: { name: 'agent-messages', limit: 1, windowMs: 60_000 } },
  })
  const retryAfter = Number(second.headers.get('retry-after'))
  expect(retryAfter).toBeGreaterThan(40)
  expect(retryAfter).toBeLessThanOrEqual(60)
  expect(await sum('a64')).toEqual(before)
  expect(await world.sql(`select 1 from baton.idempotency where key = 'kept'`)).toEqual([])
  // Another agent of the same caller is not concerned, and reading is none of it.
  expect((await world.send('a64-other', script({ text: 'x' }), { prefer: 'wait=25' })).status).toBe(200)
  expect((await world.http('GET', '/api/agents/a64')).status).toBe(200)
  // A higher limit helps at once.
  await put('agent:a64', { messagesPerMinute: 2 })
  expect((await world.send('a64', script({ text: 'two' }), { prefer: 'wait=25' })).status).toBe(200)
})

test('a dialect whose body names the agent is held to the limit of its messages, in its own words', async () => {
  await put('agent:dialects', { messagesPerMinute: 1 })
  const chat = (id: string) =>
    world.http('POST', '/api/chat', {
      id,
      template: 'scripted',
      messages: [{ id: `m-${Math.random()}`, role: 'user', parts: [{ type: 'text', text: 'x' }] }],
    })
  const responses = (conversation: string) => world.http('POST', '/v1/responses', { model: 'scripted', input: 'x', conversation })
  expect((await chat('dialects')).status).toBe(200)
  const before = await sum('dialects')
  const [chatted, responded] = [await chat('dialects'), await responses('dialects')]
  expect(chatted).toMatchObject({ status: 429, body: { text: expect.stringContaining('rate_limited: The limit agent-messages of 1') } })
  expect(responded).toMatchObject({ status: 429, body: { error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } } })
  for (const { headers } of [chatted, responded]) expect(Number(headers.get('retry-after'))).toBeGreaterThan(40)
  expect((await world.send('dialects', script({ text: 'x' }))).status).toBe(429)
  expect(await sum('dialects')).toEqual(before)
  expect((await chat('dialects-other')).status).toBe(200)
})

test('two server processes share a limit: of 20 messages over both at once exactly 10 pass', async () => {
  await put('agent:*', { messagesPerMinute: 10 }, 1)
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, n) => world.send('shared', script({ text: 'x' }), { prefer: 'respond-async', server: n % 2 })),
  )
  expect(statuses(replies)).toEqual({ 202: 10, 429: 10 })
  await put('agent:*', {}, 1)
  expect((await world.send('shared', script({ text: 'x' }), { prefer: 'respond-async' })).status).toBe(202)
})

test('the headers say policy and what is left, on successes and refusals, and browsers may read them', async () => {
  await put('agent:headers', { messagesPerMinute: 3 })
  const origin = { origin: 'http://localhost:1234' }
  const left: (string | null)[] = []
  for (let n = 0; n < 4; n++) {
    const { headers } = await world.send('headers', 'hi', { prefer: 'wait=25', headers: origin })
    expect(headers.get('ratelimit-policy')).toContain('"agent-messages";q=3;w=60')
    expect(headers.get('access-control-expose-headers')?.split(', ')).toEqual(
      expect.arrayContaining(['ratelimit', 'ratelimit-policy', 'retry-after']),
    )
    left.push(/"agent-messages";r=(\d+);t=\d+/.exec(headers.get('ratelimit') ?? '')?.[1] ?? null)
  }
  expect(left).toEqual(['2', '1', '0', '0'])
  // Also where the answer is a refusal of something else.
  const missing = await world.http('GET', '/api/agents/nobody')
  expect([missing.status, missing.headers.get('ratelimit-policy')]).toEqual([404, '"tenant";q=100000;w=60'])
})

test('a flood of refused messages is one entry in the audit log', async () => {
  await put('agent:flood', { messagesPerMinute: 0 })
  const entries = () => world.sql(`select data from baton.audit where action = 'request.admit' and code = 'rate_limited'`)
  const before = await entries()
  const replies = await Promise.all(Array.from({ length: 30 }, () => world.send('flood', 'x')))
  expect(statuses(replies)).toEqual({ 429: 30 })
  expect((await entries()).length - before.length).toBeLessThanOrEqual(1)
  expect(await poll(async () => (await entries()).length > 0, { everyMs: 50, forMs: 60_000 })).toBe(true)
})

test('A70: only the tool above its rate is refused, and the run goes on', async () => {
  await put('tool:echo', { requestsPerMinute: 2 })
  const tools = [1, 2, 3].map((value) => ({ name: 'echo', input: { value } }))
  const reply = await world.send('a70', script({ tools: [...tools, { name: 'count', input: { key: 'a70' } }] }, { text: 'went on' }), {
    prefer: 'wait=25',
  })
  expect(reply).toMatchObject({ status: 200, body: { output: 'went on' } })
  const { body } = await world.http('GET', '/api/agents/a70/tool-calls')
  const calls = body['data'] as { name: string; state: string; output: { value: Record<string, unknown> } }[]
  expect(calls.map(({ name, state }) => `${name} ${state}`).toSorted()).toEqual([
    'count completed',
    'echo completed',
    'echo completed',
    'echo failed',
  ])
  expect(calls.find(({ state }) => state === 'failed')?.output.value).toMatchObject({ errorType: 'rate_limited', retryable: true })
  const effects = await world.effects({ runId: String(reply.body['runId']) })
  expect(effects.filter(({ name }) => name === 'echo')).toHaveLength(2)
  const audit = await world.sql(
    `select scope, decision, code from baton.audit where agent_id = 'a70' and action = 'tool.call' and decision = 'refused'`,
  )
  expect(audit).toEqual([{ scope: 'tool:echo', decision: 'refused', code: 'rate_limited' }])
  // In the other process too.
  const more = await world.send('a70-more', script({ tools: tools.slice(0, 1) }, { text: 'again' }), { prefer: 'wait=25', server: 1 })
  expect(more.body['output']).toBe('again')
  const [failed] = (await world.http('GET', '/api/agents/a70-more/tool-calls')).body['data'] as { state: string }[]
  expect(failed?.state).toBe('failed')
})

test('A12: above 2 concurrent runs and 3 queued messages the answer is queue_full, and earlier ones are unaffected', async () => {
  await put('agent:a12-queue', { queuedMessages: 3 })
  const [first, second] = [world.gate(), world.gate()]
  const long = (gate: Gate): string => script({ gate: gate.file, text: 'long' })
  const busy = await world.send('a12-queue', long(first), { prefer: 'respond-async' })
  const queued = await Promise.all([1, 2, 3].map((n) => world.send('a12-queue', `q${n}`, { prefer: 'respond-async', server: n % 2 })))
  expect(statuses(queued)).toEqual({ 202: 3 })
  const fourth = await world.send('a12-queue', 'q4', { prefer: 'respond-async', server: 1 })
  expect(fourth).toMatchObject({ status: 429, body: { code: 'queue_full', scope: 'agent:a12-queue', limit: 3 } })
  expect(Number(fourth.headers.get('retry-after'))).toBeGreaterThan(0)
  await first.open()
  for (const { body } of [busy, ...queued]) expect(await world.ended(String(body['runId']))).toMatchObject({ state: 'completed' })

  // Runs of tests before it count, too.
  const open = async (): Promise<number> => (await world.sql('select 1 from baton.runs where ended_at is null')).length
  await until('no run is open', async () => (await open()) === 0)
  await put('tenant', { requestsPerMinute: 100_000, concurrentRuns: 2 })
  const replies = await Promise.all(
    Array.from({ length: 8 }, (_, n) => world.send(`a12-${n}`, long(second), { prefer: 'respond-async', server: n % 2 })),
  )
  expect(statuses(replies)).toEqual({ 202: 2, 429: 6 })
  await second.open()
  for (const { status, body } of replies)
    if (status === 202) expect(await world.ended(String(body['runId']))).toMatchObject({ state: 'completed', output: 'long' })
    else expect(body).toMatchObject({ code: 'queue_full', scope: 'tenant', limit: 2, running: 2 })
  expect((await world.send('a12-after', 'x', { prefer: 'wait=25' })).status).toBe(200)
  await put('tenant', { requestsPerMinute: 100_000 })
})

test('what cannot be a limit is refused with every reason, and zero allows nothing', async () => {
  const bad: [string, unknown, string][] = [
    ['global', { requestsPerMinute: 1 }, '/scope'],
    ['tool:*', { requestsPerMinute: 1 }, '/scope'],
    ['user:', { requestsPerMinute: 1 }, '/scope'],
    ['tenant:x', { requestsPerMinute: 1 }, '/scope'],
    ['tool:echo', { tokensPerMinute: 1 }, '/tokensPerMinute'],
    ['tenant', { requestsPerMinute: -1 }, '/requestsPerMinute'],
    ['tenant', { requestsPerMinute: 1.5 }, '/requestsPerMinute'],
    ['tenant', { requests: 1 }, '/requests'],
  ]
  for (const [scope, body, path] of bad) {
    const reply = await world.http('PUT', `/api/limits/${encodeURIComponent(scope)}`, body)
    expect(reply, scope).toMatchObject({ status: 400, body: { code: 'validation' } })
    expect(JSON.stringify(reply.body['problems']), scope).toContain(path)
  }
  const { body } = await world.http('GET', '/api/limits')
  expect(body['defaults']).toMatchObject({ 'user:*': { messagesPerMinute: 60, concurrentRuns: 5 }, 'key:*': { requestsPerMinute: 600 } })
  expect((body['data'] as { scope: string }[]).map(({ scope }) => scope)).toContain('tenant')
})

test('who has no count of its own hears of a new limit within seconds', async () => {
  await put('tenant', {})
  await put('agent:late', { messagesPerMinute: 0 }, 0)
  const refused = async () => (await world.send('late', 'x', { prefer: 'respond-async', server: 1 })).status === 429
  expect(await poll(refused, { everyMs: 200, forMs: 30_000 })).toBe(true)
})

/** The lines that the first server has logged. */
const logged = (): string[] => readFileSync(join(world.dataDir, 'logs', 'server-0.log'), 'utf8').split('\n')

// Last in this file: it leaves limits that this process has counted for itself.
test('without Redis requests are answered, the same limits hold in each process, and it is told once', async () => {
  for (const agent of ['away', 'tool'])
    expect((await world.http('PUT', `/api/limits/agent:${agent}`, { messagesPerMinute: 5 })).status).toBe(200)
  expect((await world.send('away', 'x', { prefer: 'wait=25' })).status).toBe(200)
  await world.stack.halt('redis')
  const since = performance.now()
  const statuses: number[] = []
  for (let n = 0; n < 12; n++) {
    const reply = await world.send('away', script({ text: 'x' }), { prefer: 'wait=25' })
    statuses.push(reply.status)
    if (reply.status === 429) expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  // What Redis had counted is not known here: the count of this process begins with the outage.
  expect(statuses).toEqual([...Array<number>(5).fill(200), ...Array<number>(7).fill(429)])
  // The last ones meet an open breaker, which says so when it opens.
  const told = () => logged().filter((line) => line.includes('rate limits are counted in this process'))
  /** Once, and once more for each pause of 5 s at whose end Redis was still away. */
  const most = () => 1 + Math.floor((performance.now() - since) / 5_000)
  await expect.poll(() => told().length).toBeGreaterThan(0)
  expect(told().length).toBeLessThanOrEqual(most())
  world.stack.resume('redis')
  await world.stack.waitReady('redis')
  // After the breaker's pause Redis is asked again: it knows of one message in the last minute.
  const back = async () => (await world.send('tool', 'x', { prefer: 'wait=25' })).headers.get('ratelimit')?.includes('r=') === true
  expect(await poll(back, { everyMs: 500, forMs: 60_000 })).toBe(true)
  expect(told().length).toBeLessThanOrEqual(most())
})
