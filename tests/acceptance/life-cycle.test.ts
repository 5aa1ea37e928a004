import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { begun, redis, runOf, runsOf, until } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
})
afterAll(() => world.close())

/** Tables of schema baton with a column for the agent, and how many of their rows are this agent's. */
async function rowsOf(agentUid: string): Promise<Record<string, number>> {
  const tables = await world.sql<{ name: string }>(
    `select c.table_name as name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
     where c.table_schema = 'baton' and c.column_name = 'agent_uid' and t.table_type = 'BASE TABLE'`,
  )
  const counted = tables.map(async ({ name }): Promise<[string, number]> => {
    const [row] = await world.sql<{ n: number }>(`select count(*)::integer as n from baton.${name} where agent_uid = $1`, [agentUid])
    return [name, row?.n ?? -1]
  })
  return Object.fromEntries(await Promise.all(counted))
}

test('A1: a created agent is ready and has taken no step', async () => {
  const made = await world.http('POST', '/api/agents', { id: 'a1', template: 'basic' })
  expect(made.status).toBe(201)
  expect(made.headers.get('location')).toBe('/api/agents/a1')
  const read = await world.http('GET', '/api/agents/a1')
  expect(read.status).toBe(200)
  expect(read.body).toMatchObject({ id: 'a1', template: 'basic', state: 'ready', steps: 0, messages: 0, activeRunId: null, costMicros: 0 })
})

test('A2: an idle agent answers the message it is sent', async () => {
  const reply = await world.send('a2', script({ text: 'Hello World' }), { prefer: 'wait=25' })
  expect(reply.status).toBe(200)
  expect(reply.body).toMatchObject({ status: 'done', output: 'Hello World', agentId: 'a2', stopReason: 'end_turn' })
  expect((await world.agent('a2')).steps).toBeGreaterThan(0)
})

test('A6: an unknown id is agent_not_found everywhere below it', async () => {
  const paths = ['', '/events', '/runs', '/messages', '/tool-calls']
  const replies = await Promise.all(paths.map((path) => world.http('GET', `/api/agents/nobody${path}`)))
  for (const reply of replies) {
    expect(reply.status).toBe(404)
    expect(reply.headers.get('content-type')).toBe('application/problem+json')
    expect(reply.body).toMatchObject({ code: 'agent_not_found', status: 404 })
  }
  const changes = await Promise.all([
    world.http('PATCH', '/api/agents/nobody', { metadata: {} }),
    world.http('DELETE', '/api/agents/nobody'),
    world.http('POST', '/api/agents/nobody/interrupt', {}),
  ])
  expect(changes.map(({ status, body }) => [status, body['code']])).toEqual(Array(3).fill([404, 'agent_not_found']))
})

test('A7: deleting an agent leaves nothing of it but the ledger and the audit log, and a late continuation ends as a no-op', async () => {
  await world.send(
    'a7',
    script(
      {
        text: 'x',
        tools: [
          { name: 'echo', input: { value: 1 } },
          { name: 'emit', input: { type: 't' } },
        ],
      },
      { text: 'done' },
    ),
    {
      key: 'a7-first',
      webhook: { url: 'http://127.0.0.1:9/hook' },
    },
  )
  const { agentUid } = await world.agent('a7')
  // A run at work, one in the queue, and continuations that are kept back: nothing is idle when the agent goes.
  await world.chaos({ holdEvents: true })
  const watching = new AbortController()
  void fetch(`${world.base(1)}/api/agents/a7/events`, { headers: { accept: 'text/event-stream' }, signal: watching.signal }).catch(
    () => null,
  )
  const chunks = Array.from({ length: 1_000 }, () => 'never ')
  // In the route: no event would bring it to another executor.
  void world.send('a7', script({ chunks, chunkDelayMs: 3_000 }), { prefer: 'wait=50', key: 'a7-second' })
  await until('it is at work', async () => (await runsOf(world, 'a7')).some((run) => run.state === 'running'))
  const open = (await runsOf(world, 'a7')).find((run) => run.state === 'running')?.id ?? ''
  const queued = await world.send('a7', script({ text: 'never' }), { prefer: 'respond-async' })
  expect(queued.status).toBe(202)
  // Somebody watches in another process, so the text goes through Redis.
  await expect.poll(() => redisKeys(agentUid), { timeout: 60_000 }).toHaveLength(1)
  const before = await rowsOf(agentUid)
  for (const name of [
    'agents',
    'runs',
    'messages',
    'inbox',
    'events',
    'tool_calls',
    'outbox',
    'webhook_deliveries',
    'idempotency',
    'reservations',
  ]) {
    expect(before[name], `rows in ${name} before`).toBeGreaterThan(0)
  }

  const gone = await world.http('DELETE', '/api/agents/a7')
  expect([gone.status, gone.body]).toEqual([204, {}])
  // The ledger and the audit log do not die with their agent: ids and decisions, never content.
  const { reservations, audit, ...after } = await rowsOf(agentUid)
  expect(after).toEqual(Object.fromEntries(Object.keys(after).map((name) => [name, 0])))
  expect(reservations).toBe(before['reservations'])
  // Two decisions: that the agent goes, and what its call in hand is booked for.
  expect(audit).toBe((before['audit'] ?? 0) + 2)
  expect(await world.sql(`select id from baton.reservations where agent_uid = $1 and state = 'reserved'`, [agentUid])).toEqual([])
  expect((await world.http('GET', `/api/runs/${open}`)).status).toBe(404)
  await expect.poll(() => redisKeys(agentUid), { timeout: 60_000 }).toEqual([])

  await world.chaos({ holdEvents: false, releaseHeld: true })
  const eventId = await continueByHand({ tenantId: 'ten_local', agentUid, runId: open, epoch: 1 })
  await noOp(eventId)
  const { reservations: _kept, audit: _told, ...later } = await rowsOf(agentUid)
  expect(later).toEqual(after)
  // Nor has the executor written more that stays, which it did until it heard.
  await expect.poll(() => redisKeys(agentUid), { timeout: 60_000 }).toEqual([])
  watching.abort()
  // The name is free again, and a new agent of that name has nothing of the old one.
  const again = await world.send('a7', script({ text: 'new' }), { key: 'a7-again' })
  expect(again.body).toMatchObject({ status: 'done', output: 'new' })
  expect(await world.messages('a7')).toHaveLength(2)
})

/** The Redis keys that name the agent. */
const redisKeys = (agentUid: string): Promise<unknown> => redis(world, 'KEYS', `*${agentUid}*`)

/** Sends a continuation as Inngest would get it; gives the event's id. */
async function continueByHand(data: object): Promise<string> {
  const keys = JSON.parse(await readFile(join(world.dataDir, 'keys.json'), 'utf8')) as { inngestEventKey: string }
  const id = `by_hand_${Date.now()}`
  const body = JSON.stringify([{ id, name: 'agent/continue', data }])
  const response = await fetch(`${world.stack.info.inngestUrl}/e/${keys.inngestEventKey}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(5_000),
  })
  expect(response.status).toBe(200)
  return id
}

/** Waits until the function that the event started has ended well, at the first try. */
async function noOp(eventId: string): Promise<void> {
  let found: { outcome: string; error?: string } | undefined
  await poll(
    async () => {
      const state = (await (await fetch(`${world.stack.info.inngestUrl}/state`)).json()) as {
        runs: { eventId: string; outcome: string; error?: string }[]
      }
      found = state.runs.find((run) => run.eventId === eventId)
      return found !== undefined
    },
    { everyMs: 100, forMs: 60_000 },
  )
  expect(found).toMatchObject({ outcome: 'completed' })
}

test('A8: pages of a filtered list have no gaps and no duplicates while agents are added', async () => {
  const names = Array.from({ length: 25 }, (_, index) => `a8-${index}`)
  for (const [index, id] of names.entries()) {
    await world.http('POST', '/api/agents', { id, template: index % 2 === 0 ? 'scripted' : 'basic', metadata: { suite: 'a8' } })
  }
  for (const order of ['asc', 'desc']) {
    const seen: string[] = []
    let cursor: string | null = null
    let added = 0
    do {
      const query: string = `template=scripted&metadata.suite=a8&limit=4&order=${order}${cursor === null ? '' : `&cursor=${cursor}`}`
      const page = await world.http('GET', `/api/agents?${query}`)
      expect(page.status).toBe(200)
      const data = page.body['data'] as { id: string; template: string }[]
      expect(data.every(({ template }) => template === 'scripted')).toBe(true)
      seen.push(...data.map(({ id }) => id))
      cursor = page.body['nextCursor'] as string | null
      // Added while the list is read; only the first three, so that a list in rising order ends.
      if (added < 3)
        await world.http('POST', '/api/agents', { id: `a8-late-${order}-${added++}`, template: 'scripted', metadata: { suite: 'a8' } })
    } while (cursor !== null)
    const expected = names.filter((_, index) => index % 2 === 0)
    const old = seen.filter((id) => !id.startsWith('a8-late'))
    expect(old).toEqual(order === 'asc' ? expected : expected.toReversed())
    expect(new Set(seen).size).toBe(seen.length)
  }
})

test('A9: messages sent while the model is called wait their turn and are processed in order, each once', async () => {
  const gate = world.gate()
  const first = await begun(world, 'a9', [{ gate: gate.file, text: 'one' }])
  const [second, third] = [
    await world.send('a9', script({ text: 'two' }), { prefer: 'respond-async' }),
    await world.send('a9', script({ text: 'three' }), { prefer: 'respond-async' }),
  ]
  expect([second.status, third.status]).toEqual([202, 202])
  expect([second.body['run'], third.body['run']]).toMatchObject([{ state: 'queued' }, { state: 'queued' }])
  await gate.open()
  const runIds = [first, runOf(second), runOf(third)]
  const ended = await Promise.all(runIds.map((runId) => world.ended(runId)))
  expect(ended.map(({ state, output }) => [state, output])).toEqual([
    ['completed', 'one'],
    ['completed', 'two'],
    ['completed', 'three'],
  ])
  const messages = await world.messages('a9')
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user', 'assistant'])
  expect(messages.map((message) => (message as { runId?: string }).runId)).toEqual(runIds.flatMap((id) => [id, id]))
  for (const runId of runIds) expect((await world.effects({ runId })).filter(({ kind }) => kind === 'model')).toHaveLength(1)
})

test('A44: at the slice deadline in a model call the caller gets 202, the continuation finishes, and effects and charges are made once', async () => {
  const usage = { input: 1_000, output: 100 }
  const gate = world.gate()
  const sent = await world.send(
    'a44',
    script(
      { gate: gate.file, text: 'x', usage, tools: [{ name: 'charge', input: { key: 'a44', cents: 1 } }] },
      { delayMs: 300, text: 'at last', usage },
    ),
    { prefer: 'wait=1' },
  )
  expect([sent.status, sent.body['status']]).toEqual([202, 'processing'])
  const runId = String(sent.body['runId'])
  // The call in hand is not cut off and not made again: its answer is committed by the slice that has made it.
  await until('the call is made', async () => (await world.effects({ runId })).length === 1)
  await gate.open()
  const run = await world.ended(runId)
  expect(run).toMatchObject({ state: 'completed', output: 'at last', crashes: 0, modelCalls: 2, toolCalls: 1 })
  expect((await world.effects({ runId })).map(({ kind, name }) => (kind === 'model' ? kind : name))).toEqual(['model', 'charge', 'model'])
  // One hand-off, or more where the machine is so slow that the continuation has its deadline in a call, too.
  const handedOff = (await world.events('a44')).filter(({ type }) => type === 'handed_off')
  expect(handedOff.length).toBeGreaterThan(0)
  expect(handedOff).toMatchObject(handedOff.map(() => ({ reason: 'slice_deadline' })))
  expect(run.slices).toBe(handedOff.length + 1)
  // Two calls of 1,000 and 100 tokens at $3 and $15 a million.
  expect(run.costMicros).toBe(2 * (1_000 * 3 + 100 * 15))
  const ledger = await world.sql(
    'select state, cost_micros::integer as cost from baton.reservations where run_id = $1 and cost_micros > 0',
    [runId],
  )
  expect(ledger).toEqual([
    { state: 'settled', cost: 4_500 },
    { state: 'settled', cost: 4_500 },
  ])
})
