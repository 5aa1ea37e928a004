import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '#lib/api/reader.fixture'
import { localKeys } from '#local/keys'
import { signStreamToken } from '#lib/http/token'
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
  return followUrl(`${world.base(server)}/api/agents/${agent}/messages`, { method: 'POST', body, headers: { 'content-type': 'application/json' }, ...options })
}
const follow = (path: string, server = 0, options: FollowOptions = {}): Promise<Follower> => followUrl(world.base(server) + path, options)
const runOf = async (follower: Follower): Promise<string> => String((await follower.until(({ data }) => typeof data['runId'] === 'string')).data['runId'])
const slow = (chunks: string[], chunkDelayMs = 150): Answer => ({ text: chunks.join(''), chunks, chunkDelayMs })
const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `part${index} `)

test.concurrent('A14: a POST that accepts an event stream gets start, deltas, end and done in order, and the agent working, then ready', async () => {
  const reader = await post('a14', [{ text: 'one two three', chunks: ['one ', 'two ', 'three'] }])
  expect(await reader.end).toBe('clean')
  expect(reader.retryMs).toBe(1_000)
  expect(reader.types().filter((type) => type.startsWith('text_') || type === 'done')).toEqual(
    expect.arrayContaining(['text_start', 'text_delta', 'text_end', 'done']),
  )
  const types = reader.types()
  const order = ['text_start', 'text_delta', 'text_end', 'step_complete', 'done'].map((type) => types.indexOf(type))
  expect(order).toEqual(order.toSorted((a, b) => a - b))
  expect(order).not.toContain(-1)
  expect(types.at(-1)).toBe('done')
  const states = reader.frames.filter(is('state_changed')).map(({ data }) => data['state'])
  expect(states).toEqual(['working', 'ready'])
  expect(reader.client.ids).toEqual((await world.events('a14')).map(({ seq }) => seq))
})

test.concurrent('A15: types and channels show only what was asked for, and the position moves on all the same', async () => {
  const sent = await world.send('a15', script({ text: 'a', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'b' }), { prefer: 'wait=25' })
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
  await expect.poll(() => only.lastEventId, { timeout: 5_000 }).toBe(String(whole.at(-1)?.seq))
  only.leave()
})

test.concurrent('A16: a reader that comes back with Last-Event-ID or ?after gets exactly what follows, in order', async () => {
  const sent = await world.send('a16', script({ text: 'first', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'second' }), { prefer: 'wait=25' })
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
  const sent = await world.send('old', script({ text: 'x' }), { prefer: 'wait=25' })
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
  const bad = await world.http('GET', '/api/agents/old/events', undefined, { accept: 'text/event-stream', 'last-event-id': 'x1' })
  expect(bad.status).toBe(400)
})

test.concurrent('whoever comes in the middle of a text gets it from offset 0, in this process and in another, and all see the same', async () => {
  const first = await post('late', [slow(letters(25))])
  const runId = await runOf(first)
  await first.untilText('part4 ')
  const late = await Promise.all([
    follow(`/api/runs/${runId}/events`, 0),
    follow(`/api/runs/${runId}/events`, 1),
    follow('/api/agents/late/events?after=0', 1),
  ])
  for (const reader of late) await reader.untilText('part4 ')
  // Live means before the commit: none has the end yet.
  for (const reader of late) expect(reader.types()).not.toContain('text_end')
  expect(await first.end).toBe('clean')
  for (const reader of late) {
    await reader.until(is('done'))
    const deltas = reader.frames.filter(is('text_delta'))
    expect(deltas[0]?.data['offset']).toBe(0)
    expect(deltas.map(({ data }) => data['text']).join('')).toBe(letters(25).join(''))
    expect(reader.types().filter((type) => type === 'text_start')).toHaveLength(1)
    expect(reader.client.ids).toEqual(first.client.ids)
    reader.leave()
  }
})

test.concurrent('a reader in another process follows live, piece by piece, before the step is committed', async () => {
  await world.send('far', script({ text: 'warm' }), { prefer: 'wait=25' })
  const far = await follow('/api/agents/far/events', 1)
  const near = await post('far', [slow(letters(20), 200)])
  await far.untilText('part3 ')
  expect(far.types()).not.toContain('text_end')
  expect(far.frames.filter(is('text_delta')).length).toBeGreaterThan(1)
  await near.end
  await far.until(is('done'))
  expect(await far.until(is('text_end'))).toMatchObject({ data: { text: letters(20).join('') } })
  far.leave()
})

test.concurrent('a zombie is not shown: frames of a lower epoch, of a call that is over and from nowhere are dropped', async () => {
  const { agentUid } = await (async () => {
    await world.send('zombie', script({ text: 'before' }), { prefer: 'wait=25' })
    return world.agent('zombie')
  })()
  const far = await follow('/api/agents/zombie/events', 1)
  const near = await post('zombie', [slow(letters(20), 200)], 0)
  await far.untilText('part2 ')
  const [row] = await world.sql<{ epoch: number; seq: number; run: string }>(
    'select lease_epoch::int as epoch, last_event_seq::int as seq, active_run as run from baton.agents where agent_uid = $1',
    [agentUid],
  )
  if (row === undefined) throw new Error('no agent row')
  const frame = { agentUid, runId: row.run, epoch: row.epoch, step: 1, attempt: 0, afterSeq: row.seq, body: { type: 'delta', kind: 'text', part: 0, offset: 0, text: 'GHOST '.repeat(30) } }
  const frames = [{ ...frame, epoch: row.epoch - 1 }, { ...frame, runId: 'run_gone', epoch: 0 }, { ...frame, epoch: row.epoch - 1, afterSeq: 1_000_000 }, { ...frame, afterSeq: 1 }]
  const redis = await fetch(world.stack.info.redisUrl ?? '', {
    method: 'POST',
    headers: { authorization: `Bearer ${world.stack.info.redisToken ?? ''}`, 'content-type': 'application/json' },
    body: JSON.stringify(['XADD', `baton:local:live:${agentUid}`, '*', 'd', JSON.stringify({ from: 'proc_ghost', number: 1, frames })]),
  })
  expect(await redis.json()).toHaveProperty('result')
  await near.end
  await far.until(is('done'))
  expect(JSON.stringify(far.frames)).not.toContain('GHOST')
  far.leave()
})

test.concurrent('a step that is repeated says step_reset, and the text of the new attempt takes the place of the old one', async () => {
  const near = await post('again', [{ text: 'abcdef', chunks: ['ab', 'cd', 'ef'], chunkDelayMs: 100, cutAfterChunks: 2 }, { text: 'unused' }])
  const far = await follow(`/api/runs/${await runOf(near)}/events`, 1)
  for (const reader of [near, far]) {
    expect(await reader.end).toBe('clean')
    expect(reader.frames.filter(is('text_end')).map(({ data }) => data['text'])).toEqual(['abcdef'])
  }
  const types = near.types().filter((type) => ['text_start', 'step_reset', 'retry', 'text_end'].includes(type))
  expect(types.filter((type) => type === 'step_reset')).toHaveLength(1)
  expect(types.filter((type) => type === 'text_start')).toHaveLength(2)
  expect(types).toContain('retry')
  expect(types.at(-1)).toBe('text_end')
})

test.concurrent('a hand-off in the middle is not seen by the reader, who gets the whole run on one connection', async () => {
  const answers = [1, 2, 3, 4].map((step) => ({ ...slow([`s${step} `, 'text '], 300), ...(step < 4 ? { tools: [{ name: 'wait', input: { ms: 200 } }] } : {}) }))
  const body = JSON.stringify({ message: script(...answers), template: 'scripted', limits: { sliceMs: 700 } })
  const reader = await followUrl(`${world.base()}/api/agents/handed/messages`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  expect(await reader.end).toBe('clean')
  expect(reader.types()).toContain('handed_off')
  expect(reader.types()).toContain('resumed')
  expect(reader.types()).not.toContain('step_reset')
  expect(reader.frames.filter(is('text_end')).map(({ data }) => data['text'])).toEqual(['s1 text ', 's2 text ', 's3 text ', 's4 text '])
  expect(reader.client.ids).toEqual((await world.events('handed')).map(({ seq }) => seq))
})

test.concurrent('done and tool_end are shown only after the commit that makes them true', async () => {
  const reader = await post('true', [{ tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'x' }])
  const seen = await reader.until(is('done'))
  const [row] = await world.sql<{ state: string }>('select state from baton.runs where run_id = $1', [seen.data['runId']])
  expect(row?.state).toBe('completed')
  expect(await reader.end).toBe('clean')
  for (const frame of reader.frames) {
    if (['done', 'tool_start', 'tool_end', 'text_end', 'state_changed', 'usage', 'step_complete'].includes(frame.type)) expect(frame.id, frame.type).toBeTypeOf('number')
    else expect(frame.id, frame.type).toBeUndefined()
  }
})

test.concurrent('a heartbeat comment comes while nothing happens, and event lines can be left out', async () => {
  await world.send('quiet', script({ text: 'x' }), { prefer: 'wait=25' })
  const reader = await follow('/api/agents/quiet/events?after=0&named=false', 0, { check: false })
  await expect.poll(() => reader.comments, { timeout: 15_000 }).toContain('heartbeat')
  expect(reader.frames.length).toBeGreaterThan(0)
  const raw = await (await fetch(`${world.base()}/api/runs/${String(reader.frames[0]?.data['runId'])}/events?named=false`)).text()
  expect(raw).not.toMatch(/^event:/m)
  expect(raw).toMatch(/^id: \d+$/m)
  reader.leave()
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
  const [{ tenantId } = { tenantId: '' }] = await world.sql<{ tenantId: string }>('select tenant_id as "tenantId" from baton.agents where agent_uid = $1', [agentUid])
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

test.concurrent('a hundred readers of one run, in both processes, get the same', async () => {
  const near = await post('many', [slow(letters(12), 250)])
  const runId = await runOf(near)
  const readers = await Promise.all(Array.from({ length: 100 }, (_, index) => follow(`/api/runs/${runId}/events`, index % 2)))
  const ends = await Promise.all(readers.map(({ end }) => end))
  expect(new Set(ends)).toEqual(new Set(['clean']))
  const text = letters(12).join('')
  for (const reader of readers) {
    expect(reader.client.ids).toEqual(readers[0]?.client.ids)
    expect(reader.frames.filter(is('text_delta')).map(({ data }) => data['text']).join('')).toBe(text)
  }
})

test.concurrent('a client that leaves does not stop the run', async () => {
  const reader = await post('leaves', [slow(letters(8), 200), { text: 'never' }])
  const runId = await runOf(reader)
  await reader.untilText('part1')
  reader.leave()
  expect(await reader.end).toBe('broken')
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: letters(8).join('') })
})

test.concurrent('a run that is cancelled in the middle of a text takes the text back before done', async () => {
  const reader = await post('cancelled', [slow(letters(60), 200)])
  await reader.untilText('part2')
  await world.http('POST', `/api/runs/${await runOf(reader)}/cancel`)
  expect(await reader.end).toBe('clean')
  expect(reader.types()).toContain('step_reset')
  expect(reader.client.text).toBe('')
  expect(reader.frames.at(-1)?.data).toMatchObject({ type: 'done', state: 'cancelled' })
})

test.concurrent('a queued message streams its own run, from its own beginning; one that is cancelled in the queue ends too', async () => {
  const first = await post('queue', [slow(letters(10), 200)], 0, { client: new Client({ gaps: true }) })
  await first.untilText('part0')
  const second = await post('queue', [{ text: 'second' }], 1)
  const dropped = await world.send('queue', script({ text: 'third' }), { prefer: 'respond-async' })
  const third = await follow(`/api/runs/${String(dropped.body['runId'])}/events`, 1)
  await world.http('POST', `/api/runs/${String(dropped.body['runId'])}/cancel`)
  expect(await third.end).toBe('clean')
  expect(third.types()).toEqual(['state_changed', 'done'])
  // Its events stand in the middle of the first run's text and do not disturb it.
  expect(await first.end).toBe('clean')
  expect(first.types().filter((type) => type === 'text_start')).toHaveLength(1)
  expect(first.frames.filter(is('text_delta')).length).toBeGreaterThan(3)
  expect(await second.end).toBe('clean')
  expect(second.frames.filter(is('text_end')).map(({ data }) => data['text'])).toEqual(['second'])
  const afterwards = await follow(`/api/runs/${String(dropped.body['runId'])}/events`)
  expect(await afterwards.end).toBe('clean')
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
  const near = await post('comeback', [slow(letters(15), 200), { text: 'unused' }])
  const runId = await runOf(near)
  const client = new Client()
  let lastEventId: string | undefined
  for (let turn = 0; turn < 6; turn++) {
    const reader: Follower = await follow(`/api/runs/${runId}/events`, turn % 2, { client, ...(lastEventId === undefined ? {} : { lastEventId }) })
    await reader.untilText(`part${turn * 2}`)
    reader.leave()
    await reader.end
    lastEventId = reader.lastEventId
    client.reconnect()
  }
  const last = await follow(`/api/runs/${runId}/events`, 1, { client, ...(lastEventId === undefined ? {} : { lastEventId }) })
  expect(await last.end).toBe('clean')
  expect(client.ids).toEqual((await world.events('comeback')).map(({ seq }) => seq))
})
