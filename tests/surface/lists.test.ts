import { afterAll, beforeAll, expect, test } from 'vitest'
import { begun, runOf } from '#tests/engine/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

/** All pages of the list, as who follows nextCursor to its end gets them. */
async function pagesOf(path: string, more = ''): Promise<Record<string, unknown>[][]> {
  const pages: Record<string, unknown>[][] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Reply = await world.http('GET', `${path}${more}${cursor === '' ? '' : `&cursor=${cursor}`}`)
    expect(page.status).toBe(200)
    pages.push(page.body['data'] as Record<string, unknown>[])
    cursor = page.body['nextCursor'] as string | null
    expect(pages.length).toBeLessThan(100)
  }
  return pages
}

test('GET 200: a page of large messages ends at 4 MB with a cursor, a chat at 3 MB, with the newest', async () => {
  await world.send('m-large', script({ text: 'zero' }))
  await world.sql(
    `insert into baton.messages (agent_uid, seq, tenant_id, run_id, role, content, bytes, est_tokens)
    select a.agent_uid, n, a.tenant_id, 'run_large', 'user', to_json(repeat('x', 250000)), 250002, 1 from baton.agents a, generate_series(3, 42) n where a.id = 'm-large'`,
  )
  const sizes: number[] = []
  const seqs: unknown[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Reply = await world.http('GET', `/api/agents/m-large/messages?limit=200${cursor === '' ? '' : `&cursor=${cursor}`}`)
    expect(page.status).toBe(200)
    const data = page.body['data'] as Record<string, unknown>[]
    sizes.push(data.length)
    seqs.push(...data.map(({ seq }) => seq))
    cursor = page.body['nextCursor'] as string | null
  }
  expect(sizes).toEqual([17, 15, 10])
  expect(seqs).toEqual(Array.from({ length: 42 }, (_, n) => n + 1))
  // Backwards from a message: the newest page first, each in its order, to the first message of all.
  const backwards = await pagesOf('/api/agents/m-large/messages?limit=200', '&before=42')
  const all = Array.from({ length: 41 }, (_, n) => n + 1)
  expect(backwards.map((rows) => rows.map(({ seq }) => seq))).toEqual([all.slice(26), all.slice(11, 26), all.slice(0, 11)])
  const chat = await world.http('GET', '/api/chat/m-large')
  expect(chat.body['messages']).toHaveLength(11)
  // One message that is larger than a page is a page.
  await world.sql(`update baton.messages set bytes = 5000000 where seq = 42 and run_id = 'run_large'`)
  const last = await world.http('GET', '/api/agents/m-large/messages?limit=200&after=40')
  expect(last.body).toMatchObject({ data: [{ seq: 41 }], nextCursor: expect.any(String) })
  const rest = await world.http('GET', `/api/agents/m-large/messages?limit=200&cursor=${String(last.body['nextCursor'])}`)
  expect(rest.body).toMatchObject({ data: [{ seq: 42 }], nextCursor: null })
})

test('GET 200: every list ends a page of large rows at 4 MB with a cursor: runs, tool calls, events', async () => {
  const sent = await world.send('m-lists', script({ tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'zero' }))
  const runId = runOf(sent)
  const like = (table: string, from: string, changes: string): Promise<unknown> =>
    world.sql(
      `insert into baton.${table} select x.* from baton.${table} r, generate_series(1000, 1041) n, jsonb_populate_record(r, ${changes}) x where r.run_id = $1 ${from}`,
      [runId],
    )
  const large = `repeat('x', 250000)`
  await like(
    'tool_calls',
    '',
    `jsonb_build_object('call_id', 'call_f' || n, 'output', jsonb_build_object('type', 'text', 'value', ${large}))`,
  )
  await like('events', `and r.type = 'text_end'`, `jsonb_build_object('seq', n, 'data', jsonb_build_object('part', 0, 'text', ${large}))`)
  await world.sql(`update baton.agents set last_event_seq = 1041 where id = 'm-lists'`)
  await like('runs', '', `jsonb_build_object('run_id', 'run_f' || n, 'output', ${large})`)
  const paths = ['/api/agents/m-lists/tool-calls?', '/api/agents/m-lists/runs?order=asc&', '/api/agents/m-lists/events?']
  for (const path of paths) {
    const sizes: number[] = []
    const ids = new Set<unknown>()
    for (let cursor: string | null = ''; cursor !== null;) {
      const at: string = path.includes('/events') ? `&after=${cursor || 999}` : cursor === '' ? '' : `&cursor=${cursor}`
      const page: Reply = await world.http('GET', `${path}limit=200${at}`, undefined, { accept: 'application/json' })
      const data = page.body['data'] as Record<string, unknown>[]
      for (const row of data) ids.add(row['callId'] ?? row['seq'] ?? row['id'])
      sizes.push(data.length)
      cursor = page.body['nextCursor'] as string | null
    }
    expect([sizes, ids.size], path).toEqual(path.includes('/events') ? [[15, 15, 12], 42] : [[16, 15, 12], 43])
  }
})

test('GET 200: the conversation in order, then what waits, without seq and as queued', async () => {
  await world.send('m-list', script({ text: 'zero' }))
  const gate = world.gate()
  const open = await begun(world, 'm-list', [{ gate: gate.file, text: 'one' }])
  const waiting = []
  for (const text of ['two', 'three']) waiting.push(await world.send('m-list', script({ text }), { prefer: 'respond-async' }))
  const page = await world.http('GET', '/api/agents/m-list/messages')
  const data = page.body['data'] as Record<string, unknown>[]
  expect(data.map(({ seq, role, state }) => [seq, role, state])).toEqual([
    [1, 'user', 'entered'],
    [2, 'assistant', 'entered'],
    [3, 'user', 'entered'],
    [undefined, 'user', 'queued'],
    [undefined, 'user', 'queued'],
  ])
  for (const row of data.slice(3)) expect(Object.keys(row)).not.toContain('seq')
  expect(data.slice(2).map(({ runId }) => runId)).toEqual([open, ...waiting.map(({ body }) => body['runId'])])
  expect(data.slice(3).map(({ content }) => content)).toEqual([script({ text: 'two' }), script({ text: 'three' })])
  expect(page.body['nextCursor']).toBeNull()

  // By pages: the queue comes after the last page only.
  const pages: Record<string, unknown>[][] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const next: Reply = await world.http('GET', `/api/agents/m-list/messages?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`)
    pages.push(next.body['data'] as Record<string, unknown>[])
    cursor = next.body['nextCursor'] as string | null
  }
  expect(pages.flat()).toEqual(data)
  expect((await pagesOf('/api/agents/m-list/messages?limit=1', '&before=3')).flat().map(({ seq }) => seq)).toEqual([2, 1])
  const before = await world.http('GET', '/api/agents/m-list/messages?before=3')
  expect((before.body['data'] as { seq: number }[]).map(({ seq }) => seq)).toEqual([1, 2])
  // What waits comes after every number, and has a time as the others have.
  const { at } = data[3] as { at: string }
  const among = async (query: string): Promise<unknown[]> =>
    ((await world.http('GET', `/api/agents/m-list/messages?${query}`)).body['data'] as { content: unknown }[]).map(({ content }) => content)
  expect(await among('after=3')).toEqual([script({ text: 'two' }), script({ text: 'three' })])
  expect(await among('from=2030-01-01T00:00:00Z')).toEqual([])
  expect(await among(`from=${encodeURIComponent(at)}`)).toEqual([script({ text: 'two' }), script({ text: 'three' })])
  expect(await among(`after=3&to=${encodeURIComponent(String(data[4]?.['at']))}`)).toEqual([script({ text: 'two' })])
  const after = await world.http('GET', '/api/agents/m-list/messages?after=1&role=assistant')
  expect((after.body['data'] as { seq: number }[]).map(({ seq }) => seq)).toEqual([2])
  await gate.open()
  await world.ended(String(waiting[1]?.body['runId']))
  expect((await world.messages('m-list')).map(({ state }) => state)).toEqual(Array(8).fill('entered'))
})

test('GET 200: messages that wait end a page at 4 MB, too: each is told once and whole, behind all that entered, in its turn', async () => {
  const path = '/api/agents/m-waits/messages?limit=200'
  const gate = world.gate()
  const open = await begun(world, 'm-waits', [{ gate: gate.file, text: 'one' }])
  await world.sql(
    `insert into baton.inbox (agent_uid, position, tenant_id, run_id, mode, content, bytes, est_tokens, limits)
    select a.agent_uid, n, a.tenant_id, 'run_f' || n, case when n > 40 then 'steer' else 'enqueue' end, to_json(n || repeat('x', 250000)), 250004, 1, '{}'
    from baton.agents a, generate_series(1, 42) n where a.id = 'm-waits'`,
  )
  const turns = [41, 42, ...Array.from({ length: 40 }, (_, n) => n + 1)]
  const pages = await pagesOf(path)
  expect(pages.map((rows) => rows.length)).toEqual([16, 15, 12])
  expect(pages.flat().map(({ runId, state }) => [runId, state])).toEqual([[open, 'entered'], ...turns.map((n) => [`run_f${n}`, 'queued'])])
  expect(pages.flat()[1]?.['content']).toBe(`41${'x'.repeat(250_000)}`)
  const chat = await world.http('GET', '/api/chat/m-waits')
  expect((chat.body['messages'] as { metadata: object }[]).map(({ metadata }) => metadata)).toMatchObject([
    { runId: open },
    ...[41, 42, 1].map((n) => ({ runId: `run_f${n}`, state: 'queued' })),
  ])
  // The code of before these pages, which runs on during an upgrade, names no bytes and is told all.
  const { agentUid } = await world.agent('m-waits')
  for (const asked of [{ before: 9_999 }, {}]) {
    const [former] = await world.sql<{ rows: number }>(`select json_array_length(baton.list_messages($1) -> 'queued') as rows`, [
      { agentUid, limit: 1, ...asked },
    ])
    expect(former).toEqual({ rows: 42 })
  }
  // A message enters between two pages, and fills one: what was told of the queue is not told again.
  const next = async (cursor: unknown): Promise<{ data: Record<string, unknown>[]; nextCursor: string | null }> =>
    (await world.http('GET', `/api/agents/m-waits/messages?limit=1&cursor=${String(cursor)}`)).body as never
  const first = await world.http('GET', '/api/agents/m-waits/messages?limit=1')
  let page = await next(first.body['nextCursor'])
  const told = [...page.data]
  await world.sql(
    `insert into baton.messages (agent_uid, seq, tenant_id, run_id, role, content, bytes, est_tokens) select agent_uid, 99, tenant_id, 'run_between', 'user', '"x"', 3, 1 from baton.agents where id = 'm-waits'`,
  )
  while (page.nextCursor !== null) told.push(...(page = await next(page.nextCursor)).data)
  await world.sql(`delete from baton.messages where run_id = 'run_between'`)
  expect(told.map(({ runId }) => runId)).toEqual([
    ...turns.slice(0, 15).map((n) => `run_f${n}`),
    'run_between',
    ...turns.slice(15).map((n) => `run_f${n}`),
  ])
  // What entered leaves no room: what waits begins a page of its own, also one that is larger than a page.
  await world.sql(`update baton.messages set bytes = 3900000 where run_id = $1`, [open])
  await world.sql(`update baton.inbox set bytes = 5000000 where run_id = 'run_f41'`)
  expect((await pagesOf(path)).map((rows) => rows.length)).toEqual([1, 1, 15, 15, 11])
  const large = await world.http('GET', '/api/chat/m-waits')
  expect((large.body['messages'] as { metadata: object }[]).map(({ metadata }) => metadata)).toMatchObject([
    { runId: open },
    { runId: 'run_f41', state: 'queued' },
  ])
  expect((await pagesOf(path, '&role=assistant')).map((rows) => rows.length)).toEqual([0])
  expect((await world.http('GET', `${path}&before=2`)).body).toMatchObject({ data: [{ seq: 1 }], nextCursor: null })
  await world.sql(`delete from baton.inbox where run_id like 'run_f%'`)
  await gate.open()
  await world.ended(open)
})
