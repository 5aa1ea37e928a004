import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '#lib/api/reader.fixture'
import { localKeys } from '#local/keys'
import { signStreamToken } from '#lib/http/token'
import { until } from '#tests/engine/helpers'
import { followUrl, is, type Follower, type FollowOptions } from '#tests/live/follower'
import { script, startWorld, type Answer, type World } from '#tests/world'

let world: World
let dataDir: string
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'baton-live-'))
  world = await startWorld({ servers: 2, dataDir })
})
afterAll(async () => {
  await world.close()
  await rm(dataDir, { recursive: true, force: true })
})

function post(agent: string, answers: Answer[], server = 0, options: FollowOptions = {}): Promise<Follower> {
  const body = JSON.stringify({ message: script(...answers), template: 'scripted' })
  return followUrl(`${world.base(server)}/api/agents/${agent}/messages`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    ...options,
  })
}
const follow = (path: string, server = 0, options: FollowOptions = {}): Promise<Follower> => followUrl(world.base(server) + path, options)
const runOf = async (follower: Follower): Promise<string> =>
  String((await follower.until(({ data }) => typeof data['runId'] === 'string')).data['runId'])
const slow = (chunks: string[], chunkDelayMs = 150): Answer => ({ text: chunks.join(''), chunks, chunkDelayMs })
const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `part${index} `)

test.concurrent('A15: types and channels show only what was asked for, and the position moves on all the same', async () => {
  const sent = await world.send('a15', script({ text: 'a', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'b' }), {
    prefer: 'wait=25',
  })
  const runId = String(sent.body['runId'])
  const some = await follow(`/api/runs/${runId}/events?types=text_delta,done`, 0, { check: false })
  expect(await some.end).toBe('clean')
  expect(new Set(some.types())).toEqual(new Set(['text_delta', 'done']))
  const monitor = await follow(`/api/runs/${runId}/events?channels=monitor`, 0, { check: false })
  await monitor.end
  expect(new Set(monitor.frames.map(({ data }) => data['channel']))).toEqual(new Set(['monitor']))
  const whole = await world.events('a15')
  const only = await follow('/api/agents/a15/events?after=0&types=text_delta', 0, { check: false })
  await only.until(({ data }) => data['text'] === 'b')
  await until('the position is at the last event', () => only.lastEventId === String(whole.at(-1)?.seq))
  only.leave()
})

test.concurrent('A16: a reader that comes back with Last-Event-ID or ?after gets exactly what follows, in order', async () => {
  const sent = await world.send('a16', script({ text: 'first', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'second' }), {
    prefer: 'wait=25',
  })
  const whole = (await world.events('a16')).map(({ seq }) => seq)
  for (const seen of whole.slice(0, -1)) {
    const byHeader = await follow(`/api/runs/${String(sent.body['runId'])}/events`, seen % 2, { lastEventId: String(seen) })
    expect(await byHeader.end).toBe('clean')
    expect(byHeader.client.ids).toEqual(whole.filter((seq) => seq > seen))
  }
  const byQuery = await follow(`/api/runs/${String(sent.body['runId'])}/events?after=${whole[2]}`)
  await byQuery.end
  expect(byQuery.client.ids).toEqual(whole.slice(3))
  // The header is what a browser sends when it reconnects to the same address: it is newer than the query.
  const both = await follow(`/api/runs/${String(sent.body['runId'])}/events?after=0`, 0, { lastEventId: String(whole[4]) })
  await both.end
  expect(both.client.ids).toEqual(whole.slice(5))
})

test.concurrent('a run stream ends after done and answers 204 to a reconnect after the end; an agent stream never does', async () => {
  const sent = await world.send('ends', script({ text: 'x' }), { prefer: 'wait=25' })
  const path = `/api/runs/${String(sent.body['runId'])}/events`
  const reader = await follow(path)
  expect(await reader.end).toBe('clean')
  expect(reader.types().at(-1)).toBe('done')
  const again = await fetch(world.base() + path, { headers: { accept: 'text/event-stream', 'last-event-id': reader.lastEventId } })
  expect([again.status, await again.text()]).toEqual([204, ''])
  const agent = await follow('/api/agents/ends/events', 1, { lastEventId: reader.lastEventId })
  expect(agent.frames).toEqual([])
  await world.send('ends', script({ text: 'next' }), { prefer: 'wait=25' })
  await agent.until(is('done'))
  expect(agent.client.ids[0]).toBe(Number(reader.lastEventId) + 1)
  agent.leave()
})

test.concurrent('invariant 8: a cursor older than the oldest kept event is 410 with that number, in every form', async () => {
  const sent = await world.send('old', script({ text: 'x' }), { prefer: 'wait=25', key: 'old-1' })
  const { agentUid } = await world.agent('old')
  await world.sql('delete from baton.events where agent_uid = $1 and seq <= 3', [agentUid])
  await world.sql('update baton.agents set first_event_seq = 4 where agent_uid = $1', [agentUid])
  for (const [path, headers] of [
    ['/api/agents/old/events?after=2', {}],
    ['/api/agents/old/events', { 'last-event-id': '0' }],
    [`/api/runs/${String(sent.body['runId'])}/events?after=1`, {}],
    ['/api/agents/old/events?after=1', { accept: 'application/json' }],
  ] as const) {
    const reply = await world.http('GET', path, undefined, { accept: 'text/event-stream', ...headers })
    expect([reply.status, reply.body['code'], reply.body['oldestSeq']], path).toEqual([410, 'cursor_expired', 4])
  }
  const kept = await follow('/api/agents/old/events?after=3')
  await kept.until(is('done'))
  expect(kept.client.ids[0]).toBe(4)
  kept.leave()
  // A message that has to wait streams its own run, whatever is gone from the agent's past; a repeat of an old one says what is gone.
  const busy = await post('old', [slow(letters(4), 200)])
  const waiting = await post('old', [{ text: 'later' }])
  expect(await waiting.end).toBe('clean')
  expect(await busy.end).toBe('clean')
  const repeat = await world.http(
    'POST',
    '/api/agents/old/messages',
    { message: script({ text: 'x' }), template: 'scripted' },
    { accept: 'text/event-stream', 'idempotency-key': 'old-1' },
  )
  expect([repeat.status, repeat.body['code'], repeat.body['oldestSeq']]).toEqual([410, 'cursor_expired', 4])
  const bad = await world.http('GET', '/api/agents/old/events', undefined, { accept: 'text/event-stream', 'last-event-id': 'x1' })
  expect(bad.status).toBe(400)
})

test.concurrent('invariant 8: a cursor beyond the last event is 410 too: whoever follows an agent that was made anew would be told nothing', async () => {
  for (let turn = 0; turn < 2; turn++) await world.send('anew', script({ text: 'x' }), { prefer: 'wait=25' })
  const { lastSeq } = await world.agent('anew')
  expect((await world.http('DELETE', '/api/agents/anew')).status).toBe(204)
  const sent = await world.send('anew', script({ text: 'x' }), { prefer: 'wait=25' })
  const beyond = { accept: 'text/event-stream', 'last-event-id': String(lastSeq) }
  for (const path of ['/api/agents/anew/events', `/api/runs/${String(sent.body['runId'])}/events`]) {
    const reply = await world.http('GET', path, undefined, beyond)
    expect([reply.status, reply.body['code'], reply.body['oldestSeq']], path).toEqual([410, 'cursor_expired', 1])
  }
  const all = await follow('/api/agents/anew/events?after=0')
  await all.until(is('done'))
  all.leave()
})

test.concurrent('a stream token reads the events of its own run, and nothing else, for 15 minutes', async () => {
  const sent = await world.send('token', script({ text: 'x' }), { prefer: 'respond-async' })
  const runId = String(sent.body['runId'])
  const link = String((sent.body['links'] as { events: string }).events)
  const token = new URL(link, 'http://x').searchParams.get('token') ?? ''
  const reader = await follow(link)
  expect(await reader.end).toBe('clean')
  const other = await world.send('token2', script({ text: 'x' }), { prefer: 'wait=25' })
  const { agentUid } = await world.agent('token')
  const key = Buffer.from((await localKeys(dataDir)).encryptionKey, 'base64')
  const [{ tenantId } = { tenantId: '' }] = await world.sql<{ tenantId: string }>(
    'select tenant_id as "tenantId" from baton.agents where agent_uid = $1',
    [agentUid],
  )
  const claims = { id: runId, agentUid, tenantId }
  const old = await signStreamToken({ kind: 'run', ...claims }, key, Date.now() - 16 * 60_000)
  const forged = await signStreamToken({ kind: 'run', ...claims }, Buffer.alloc(32, 1), Date.now())
  const agentToken = await signStreamToken({ kind: 'agent', ...claims, id: 'token' }, key, Date.now())
  const get = async (path: string): Promise<number> => {
    const answer = await fetch(world.base() + path, { headers: { accept: 'text/event-stream' } })
    await answer.body?.cancel()
    return answer.status
  }
  expect(await get(`/api/runs/${String(other.body['runId'])}/events?token=${token}`)).toBe(403)
  expect(await get(`/api/agents/token/events?token=${token}`)).toBe(403)
  expect(await get(`/api/runs/${runId}/events?token=${old}`)).toBe(401)
  expect(await get(`/api/runs/${runId}/events?token=${forged}`)).toBe(401)
  expect(await get(`/api/runs/${runId}/events?token=${agentToken}`)).toBe(403)
  expect(await get(`/api/agents/token/events?after=0&token=${agentToken}`)).toBe(200)
  expect(await get(`/api/agents/token2/events?token=${agentToken}`)).toBe(403)
  const log = await readFile(join(dataDir, 'logs', 'server-0.log'), 'utf8')
  expect(log).toContain('token=[redacted]')
  expect(log).not.toContain(token)
})

test.concurrent('a long history is replayed whole to a reader who reads, and pages are joined without a seam', async () => {
  const big = 'x'.repeat(200_000)
  for (let turn = 0; turn < 6; turn++) await world.send('big', script({ text: big }), { prefer: 'wait=25' })
  const reader = await follow('/api/agents/big/events?after=0')
  await reader.until(({ type, id }) => type === 'done' && id !== undefined && reader.frames.filter(is('done')).length === 6)
  expect(reader.frames.filter(is('text_end'))).toHaveLength(6)
  reader.leave()
  const answers = Array.from({ length: 30 }, () => ({ tools: Array.from({ length: 3 }, () => ({ name: 'echo', input: { value: 1 } })) }))
  const many = await world.send('pages', script(...answers), { prefer: 'wait=50' })
  const run = await world.ended(String(many.body['runId']))
  expect(run.lastSeq).toBeGreaterThan(220)
  const paged = await follow(`/api/runs/${run.id}/events`)
  expect(await paged.end).toBe('clean')
  expect(paged.client.ids).toHaveLength(run.lastSeq)
})

test.concurrent('a client that comes back again and again in the middle of a text misses and doubles nothing', async () => {
  const gate = world.gate()
  const near = await post('comeback', [{ ...slow(letters(15), 200), gate: gate.file }, { text: 'unused' }])
  const runId = await runOf(near)
  const client = new Client()
  let lastEventId: string | undefined
  for (let turn = 0; turn < 6; turn++) {
    const reader: Follower = await follow(`/api/runs/${runId}/events`, turn % 2, {
      client,
      ...(lastEventId === undefined ? {} : { lastEventId }),
    })
    await reader.untilText(`part${turn * 2}`)
    reader.leave()
    await reader.end
    lastEventId = reader.lastEventId
    client.reconnect()
  }
  const last = await follow(`/api/runs/${runId}/events`, 1, { client, ...(lastEventId === undefined ? {} : { lastEventId }) })
  await gate.open()
  expect(await last.end).toBe('clean')
  expect(client.ids).toEqual((await world.events('comeback')).map(({ seq }) => seq))
})
