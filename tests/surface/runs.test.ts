import { afterAll, beforeAll, expect, test } from 'vitest'
import { begun, until } from '#tests/engine/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ env: { BATON_MAX_DURATION_MS: '300000' } })
})
afterAll(() => world.close())

/** A run that is at work when this resolves, and until `finish` is called. */
async function atWork(agent: string): Promise<{ runId: string; finish: () => Promise<void> }> {
  const gate = world.gate()
  return { runId: await begun(world, agent, [{ gate: gate.file, text: 'worked' }]), finish: gate.open }
}

async function list(path: string): Promise<{ id: string; state: string }[]> {
  const page = await world.http('GET', path)
  expect(page.status, JSON.stringify(page.body)).toBe(200)
  return page.body['data'] as { id: string; state: string }[]
}

test('GET 200 shows the whole run', async () => {
  const sent = await world.send(
    'r-whole',
    script({ text: 'x', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'done', usage: { input: 10, output: 1 } }),
  )
  const reply = await world.http('GET', `/api/runs/${String(sent.body['runId'])}`)
  expect(reply.status).toBe(200)
  expect(reply.headers.get('etag')).toMatch(/^"[0-9a-f]+\.\d+"$/)
  expect(reply.body).toMatchObject({
    id: sent.body['runId'],
    agentId: 'r-whole',
    state: 'completed',
    stopReason: 'end_turn',
    cause: 'message',
    output: 'done',
    error: null,
    lastError: null,
    wait: null,
    lease: null,
    dueAt: null,
    modelCalls: 2,
    toolCalls: 1,
    slices: 1,
    crashes: 0,
    openCalls: [],
    webhooks: [],
    template: 'scripted',
    costMicros: sent.body['costMicros'],
    links: { run: `/api/runs/${String(sent.body['runId'])}` },
  })
  expect(reply.body['explain']).toMatch(/^The run ended as completed \(end_turn\) after \d+ steps? in 1 slice$/)
  for (const field of ['createdAt', 'startedAt', 'endedAt', 'updatedAt']) expect(Date.parse(String(reply.body[field])), field).not.toBeNaN()
})

test('GET 200 after the end of a long poll, 304 to a known ETag', async () => {
  const { runId, finish } = await atWork('r-poll')
  const path = `/api/runs/${runId}`
  const now = await world.http('GET', path)
  const known = { 'if-none-match': String(now.headers.get('etag')) }
  const [unchanged, short] = await Promise.all([fetch(world.base() + path, { headers: known }), world.http('GET', `${path}?wait=0.2`)])
  expect([unchanged.status, await unchanged.text(), unchanged.headers.get('etag')]).toEqual([304, '', now.headers.get('etag')])
  expect([short.status, short.body['state']]).toEqual([200, 'running'])
  // With a known ETag the poll answers when something has changed, without one when the run has ended.
  const polls = [world.http('GET', `${path}?wait=20`, undefined, known), world.http('GET', `${path}?wait=20`)] as const
  await finish()
  const [changed, ended] = await Promise.all(polls)
  expect([changed.status, ended.status, ended.body['state'], ended.body['output']]).toEqual([200, 200, 'completed', 'worked'])
  expect(changed.headers.get('etag')).not.toBe(now.headers.get('etag'))
  const last = await fetch(world.base() + path, { headers: { 'if-none-match': String(ended.headers.get('etag')) } })
  expect(last.status).toBe(304)
})

test('GET 200 to a known ETag as soon as the run has got on, though it still works', async () => {
  const [first, second] = [world.gate(), world.gate()]
  const tools = [{ name: 'echo', input: { value: 1 } }]
  const sent = await world.send('r-steps', script({ gate: first.file, tools }, { gate: second.file, text: 'x' }), { prefer: 'wait=0' })
  const path = `/api/runs/${String(sent.body['runId'])}`
  await until('r-steps is at work', async () => (await world.http('GET', path)).body['state'] === 'running')
  const known = { 'if-none-match': String((await world.http('GET', path)).headers.get('etag')) }
  // Longer than this request may take: the answer comes because of the change, not because its time is over.
  const poll = world.http('GET', `${path}?wait=300`, undefined, known)
  await first.open()
  expect(await poll).toMatchObject({ status: 200, body: { state: 'running' } })
  await second.open()
  expect(await world.ended(String(sent.body['runId']))).toMatchObject({ state: 'completed' })
})

test('GET 304 to a list of entity tags and to weak ones, as RFC 9110 compares them', async () => {
  const sent = await world.send('r-etags', script({ text: 'x' }))
  const path = `/api/runs/${String(sent.body['runId'])}`
  const etag = String((await world.http('GET', path)).headers.get('etag'))
  for (const header of [`"other", ${etag}`, `W/${etag}`, '*']) {
    const reply = await fetch(world.base() + path, { headers: { 'if-none-match': header } })
    expect(reply.status, header).toBe(304)
  }
})

test('GET 200 explains each state in one sentence', async () => {
  const sentence = async (runId: string): Promise<string> => (await world.run(runId)).explain
  const { runId: running, finish } = await atWork('r-explain')
  expect(await sentence(running)).toMatch(/^Slice 1 \(epoch 1\) is at work on step 1; its lease ends in .* s unless renewed\.$/)
  const queued = [
    await world.send('r-explain', script({ text: 'x' }), { prefer: 'respond-async' }),
    await world.send('r-explain', script({ text: 'y' }), { prefer: 'respond-async' }),
  ]
  expect(await sentence(String(queued[1]?.body['runId']))).toBe('The run waits for its turn: number 2 in the queue of its agent.')
  expect(await world.run(String(queued[0]?.body['runId']))).toMatchObject({ state: 'queued', queuePosition: 1 })
  await finish()

  const gate = world.gate()
  const tool = await begun(world, 'r-explain-tool', [{ tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }] }, { text: 'x' }], {
    tool: 'wait',
  })
  expect(await sentence(tool)).toMatch(/is at work on tools: wait \(executing\)/)
  await gate.open()

  const retry = await world.send('r-explain-retry', script({ error: { status: 503, times: 1, retryAfter: 30 } }, { text: 'x' }), {
    prefer: 'wait=1',
  })
  await expect.poll(async () => (await world.run(String(retry.body['runId']))).state, { timeout: 60_000 }).toBe('waiting')
  expect(await sentence(String(retry.body['runId']))).toMatch(
    /^The run waits \(retry\) and is due in \d.* s\. The last error was provider_unavailable: /,
  )
  await world.http('POST', `/api/runs/${String(retry.body['runId'])}/cancel`)
  expect(await sentence(String(retry.body['runId']))).toMatch(/^The run ended as cancelled \(cancelled\)/)

  await world.chaos({ holdEvents: true })
  const due = await world.send('r-explain-due', script({ text: 'x' }), { prefer: 'respond-async' })
  expect(await sentence(String(due.body['runId']))).toMatch(/^The run is due now and no executor holds it/)
  await world.chaos({ holdEvents: false, releaseHeld: true })
  await world.ended(String(due.body['runId']))

  const failed = await world.send('r-explain-failed', script({ error: { status: 401 } }))
  expect(await sentence(String(failed.body['runId']))).toMatch(/^The run ended as failed \(provider_auth\) after 0 steps in 1 slice: ./)
})

test('GET 200 explains a run that waits because a provider limits the rate', async () => {
  const send = async (agent: string, message: string): Promise<string> =>
    String((await world.send(agent, message, { prefer: 'respond-async' })).body['runId'])
  // Short enough to be waited for within a slice.
  const limited = await send('r-gate-1', script({ error: { status: 429, times: 1, retryAfter: 18 } }, { text: 'x' }))
  await until('the gate is closed', async () => (await world.sql('select 1 from baton.gates')).length === 1)
  const behind = await send('r-gate-2', script({ text: 'behind' }))
  await expect
    .poll(async () => (await world.run(behind)).explain)
    .toMatch(/the provider limits the rate, and calls of the model go on in \d/)
  // The gate is of the model and would hold up the tests after this one.
  for (const id of [limited, behind]) await world.http('POST', `/api/runs/${id}/cancel`)
  for (const id of [limited, behind]) await world.ended(id)
  await world.sql('delete from baton.gates')
})

test('GET 200 lists runs newest first by every filter, without gaps while runs are added', async () => {
  const ids: string[] = []
  for (let n = 0; n < 7; n++) {
    const message = n === 3 ? script({ error: { status: 401 } }) : script({ text: String(n) })
    ids.push(String((await world.send(`r-list-${n % 2}`, message)).body['runId']))
  }
  const newest = ids.toReversed()
  const own = (rows: { id: string }[]): string[] => rows.map(({ id }) => id).filter((id) => ids.includes(id))
  expect(own(await list('/api/runs?limit=200'))).toEqual(newest)
  expect(own(await list('/api/runs?limit=200&order=asc'))).toEqual(ids)
  expect(own(await list('/api/runs?limit=200&state=failed'))).toEqual([ids[3]])
  expect(own(await list('/api/runs?limit=200&stopReason=provider_auth'))).toEqual([ids[3]])
  expect(own(await list('/api/runs?limit=200&template=basic'))).toEqual([])
  expect(own(await list('/api/agents/r-list-1/runs'))).toEqual([ids[5], ids[3], ids[1]])
  const { createdAt } = (await world.http('GET', `/api/runs/${String(ids[5])}`)).body
  expect(own(await list(`/api/runs?from=${encodeURIComponent(String(createdAt))}`))).toEqual([ids[6], ids[5]])

  for (const order of ['desc', 'asc']) {
    const seen: string[] = []
    let added = 0
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: Reply = await world.http('GET', `/api/runs?limit=2&order=${order}${cursor === '' ? '' : `&cursor=${cursor}`}`)
      seen.push(...(page.body['data'] as { id: string }[]).map(({ id }) => id))
      cursor = page.body['nextCursor'] as string | null
      if (added++ < 3) await world.send('r-list-added', script({ text: 'x' }))
    }
    expect(own(seen.map((id) => ({ id })))).toEqual(order === 'desc' ? newest : ids)
    expect(new Set(seen).size).toBe(seen.length)
  }
})

test('cancel: 202 of a running run, which its executor then ends; 200 of an ended one, which it leaves as it is', async () => {
  const { runId } = await atWork('r-cancel')
  const asked = await world.http('POST', `/api/runs/${runId}/cancel`, { reason: 'changed my mind' })
  expect([asked.status, asked.body['stopped']]).toEqual([202, false])
  expect(asked.body['run']).toMatchObject({ id: runId, state: 'running', stopRequested: 'cancelled', stopNote: 'changed my mind' })
  const ended = await world.ended(runId)
  expect(ended).toMatchObject({ state: 'cancelled', stopReason: 'cancelled', stopNote: 'changed my mind' })
  const again = await world.http('POST', `/api/runs/${runId}/cancel`)
  expect([again.status, again.body['stopped'], (again.body['run'] as { endedAt: string }).endedAt]).toEqual([200, true, ended.endedAt])
  const done = (await world.events('r-cancel')).filter(({ type }) => type === 'done')
  expect(done).toHaveLength(1)
})

test('cancel: 200 of a queued run, whose message never enters; the others go on', async () => {
  const { runId: first, finish } = await atWork('r-cancel-queued')
  const [second, third] = [
    await world.send('r-cancel-queued', script({ text: 'never' }), { prefer: 'respond-async' }),
    await world.send('r-cancel-queued', script({ text: 'third' }), { prefer: 'respond-async' }),
  ]
  const reply = await world.http('POST', `/api/runs/${String(second.body['runId'])}/cancel`)
  expect([reply.status, reply.body['stopped']]).toEqual([200, true])
  expect(reply.body['run']).toMatchObject({ state: 'cancelled', stopReason: 'cancelled' })
  expect((await world.agent('r-cancel-queued')).queued).toBe(1)
  await finish()
  await world.ended(first)
  expect(await world.ended(String(third.body['runId']))).toMatchObject({ state: 'completed', output: 'third' })
  expect((await world.messages('r-cancel-queued')).map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
})

test('cancel: 409 problem to the caller that waits for the run', async () => {
  const waiting = world.send('r-cancel-wait', script({ delayMs: 20_000, text: 'x' }), { prefer: 'wait=20' })
  await expect.poll(async () => (await world.agent('r-cancel-wait')).activeRunId ?? null, { timeout: 60_000 }).not.toBeNull()
  await world.http('POST', `/api/runs/${String((await world.agent('r-cancel-wait')).activeRunId)}/cancel`)
  const reply = await waiting
  expect([reply.status, reply.body['code'], reply.body['state'], reply.body['retryable']]).toEqual([409, 'cancelled', 'cancelled', false])
})

test('interrupt: 200 of an idle agent changes nothing; 202 of one at work ends its run and takes messages as before', async () => {
  await world.http('POST', '/api/agents', { id: 'r-interrupt', template: 'scripted' })
  const idle = await world.http('POST', '/api/agents/r-interrupt/interrupt')
  expect([idle.status, idle.body]).toEqual([200, { stopped: false, run: null }])
  const { runId } = await atWork('r-interrupt')
  const asked = await world.http('POST', '/api/agents/r-interrupt/interrupt', { reason: 'wrong way' })
  expect([asked.status, asked.body['stopped'], (asked.body['run'] as { id: string }).id]).toEqual([202, false, runId])
  expect(await world.ended(runId)).toMatchObject({ state: 'cancelled', stopReason: 'interrupted' })
  expect((await world.send('r-interrupt', script({ text: 'on' }))).body).toMatchObject({ status: 'done', output: 'on' })
})

test('interrupt: 404 to a run of another agent; an ended run is left alone and a later one is not hit', async () => {
  const other = await world.send('r-interrupt-other', script({ text: 'x' }))
  await world.send('r-interrupt-own', script({ text: 'x' }))
  const foreign = await world.http('POST', '/api/agents/r-interrupt-own/interrupt', { runId: other.body['runId'] })
  expect([foreign.status, foreign.body['code']]).toEqual([404, 'run_not_found'])
  const { runId: later, finish } = await atWork('r-interrupt-other')
  const late = await world.http('POST', '/api/agents/r-interrupt-other/interrupt', { runId: other.body['runId'] })
  expect([late.status, (late.body['run'] as { state: string }).state]).toEqual([200, 'completed'])
  await finish()
  expect(await world.ended(later)).toMatchObject({ state: 'completed' })
})

test('retry with an Idempotency-Key: a double click makes one run, another run under the same key is refused, a refusal keeps no key', async () => {
  const fails = script({ error: { status: 401 } })
  const [failed, other] = await Promise.all(['r-retry-twice', 'r-retry-other'].map((agent) => world.send(agent, fails)))
  const retry = (run: unknown, key: string) => world.http('POST', `/api/runs/${String(run)}/retry`, undefined, { 'idempotency-key': key })
  const clicks = await Promise.all([retry(failed?.body['runId'], 'click'), retry(failed?.body['runId'], 'click')])
  expect(clicks.map(({ status }) => status)).toEqual([202, 202])
  expect(clicks.filter(({ headers }) => headers.get('idempotent-replayed') === 'true')).toHaveLength(1)
  expect(new Set(clicks.map(({ body }) => body['id'])).size).toBe(1)
  expect(await world.sql(`select run_id from baton.runs where retry_of = $1`, [failed?.body['runId']])).toHaveLength(1)
  expect(await retry(other?.body['runId'], 'click')).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
  const open = String((await world.send('r-retry-open', script({ delayMs: 20_000 }), { prefer: 'respond-async' })).body['runId'])
  expect(await retry(open, 'later')).toMatchObject({ status: 409, body: { code: 'run_open' } })
  await world.http('POST', `/api/runs/${open}/cancel`)
  await world.ended(open)
  expect((await retry(open, 'later')).status).toBe(202)
})

test('the events of a run are its own; those of its agent are of all its runs', async () => {
  const runs = [await world.send('r-events', 'one'), await world.send('r-events', 'two')].map(({ body }) => String(body['runId']))
  const runsOf = async (path: string): Promise<string[]> => {
    const { body } = await world.http('GET', path, undefined, { accept: 'application/json' })
    return [...new Set((body['data'] as { runId: string }[]).map(({ runId }) => runId))]
  }
  for (const runId of runs) expect(await runsOf(`/api/runs/${runId}/events`)).toEqual([runId])
  expect(await runsOf('/api/agents/r-events/events')).toEqual(runs)
})

test('retry: 202 with a new run from the history; 409 while the old one is open', async () => {
  const failed = await world.send('r-retry', script({ error: { status: 401 } }))
  const reply = await world.http('POST', `/api/runs/${String(failed.body['runId'])}/retry`)
  expect(reply.status).toBe(202)
  expect(reply.headers.get('location')).toBe(`/api/runs/${String(reply.body['id'])}`)
  expect(reply.body).toMatchObject({ cause: 'retry', retryOf: failed.body['runId'], state: 'running' })
  expect(await world.ended(String(reply.body['id']))).toMatchObject({ state: 'failed', stopReason: 'provider_auth' })
  expect(await world.messages('r-retry')).toHaveLength(1)
  const { runId: open, finish } = await atWork('r-retry-open-2')
  const refused = await world.http('POST', `/api/runs/${open}/retry`)
  expect([refused.status, refused.body['code'], refused.body['retryable']]).toEqual([409, 'run_open', true])
  await finish()
  await world.ended(open)
})
