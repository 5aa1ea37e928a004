import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BatonError, createBaton, type Baton } from '#client'
import { adminKey, makeKey, signUp, startGuarded } from '#tests/access/kit'
import { readAll, readTexts, slow } from '#tests/client/kit'
import { startProxy } from '#tests/proxy'
import { script, type World } from '#tests/world'

let world: World
let admin: Baton
beforeAll(async () => {
  world = await startGuarded({ env: { BATON_USER_TENANT: 'ten_local' } })
  admin = createBaton({ url: world.base(), key: adminKey })
})
afterAll(() => world.close())

const codeOf = (work: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(work).then(
    () => 'accepted',
    (error: unknown) => (error instanceof BatonError ? `${error.status} ${error.code}` : error),
  )
const echo = { name: 'echo', input: { value: 1 } }
const scripted = { template: 'scripted' }
const asking = script({ tools: [{ name: 'charge', input: { key: 'k', cents: 5 } }] }, { text: 'charged' })

describe('with access control on', () => {
  test('a key with rights sends, reads, and streams by link without headers', async () => {
    const { key } = await makeKey(world, ['agents:run', 'agents:read'])
    const baton = createBaton({ url: world.base(), key })
    const sent = baton.agents.send('keyed', script({ text: 'Good day' }), scripted)
    const [seen, outcome] = await Promise.all([readAll(sent), sent])
    expect(outcome).toMatchObject({ status: 'done', output: 'Good day', agentId: 'keyed' })
    expect(seen.seqs.length).toBeGreaterThan(3)
    for (const url of [
      await baton.runs.streamUrl(outcome.runId),
      `${await baton.agents.streamUrl('keyed', { types: ['done'] })}&after=0`,
    ]) {
      const stop = new AbortController()
      const answer = await fetch(url, { headers: { accept: 'text/event-stream' }, signal: stop.signal })
      expect(answer.status).toBe(200)
      const { value } = (await answer.body?.getReader().read()) ?? {}
      expect(new TextDecoder().decode(value)).toContain('retry: 1000')
      stop.abort()
    }
  })

  test('the link of an agent opens that agent and no other, and nothing beside its events', async () => {
    await admin.agents.create({ id: 'linked', template: 'scripted' })
    await admin.agents.create({ id: 'other', template: 'scripted' })
    const url = new URL(await admin.agents.streamUrl('linked'))
    const status = async (path: string): Promise<number> => {
      const stop = new AbortController()
      const answer = await fetch(world.base() + path + url.search, { signal: stop.signal })
      stop.abort()
      return answer.status
    }
    expect(await status('/api/agents/linked/events')).toBe(200)
    expect(await status('/api/agents/other/events')).toBe(403)
    expect(await status('/api/agents/linked')).toBeGreaterThanOrEqual(400)
    await admin.agents.delete('linked')
    await admin.agents.create({ id: 'linked', template: 'scripted' })
    expect(await status('/api/agents/linked/events')).toBe(404)
  })

  test("a user's token is asked for each time; what is somebody else's is 404", async () => {
    const [alice, bob] = [await signUp(world, 'alice@example.com'), await signUp(world, 'bob@example.com')]
    let asked = 0
    const baton = createBaton({ url: world.base(), getToken: () => (asked++ === 0 ? 'expired' : alice.token) })
    expect(await baton.agents.send('hers', 'hello', scripted)).toMatchObject({ status: 'done' })
    expect(await baton.agents.get('hers')).toMatchObject({ userId: alice.id })
    const other = createBaton({ url: world.base(), getToken: () => bob.token })
    expect(await codeOf(other.agents.get('hers'))).toBe('404 agent_not_found')
    expect(await codeOf(baton.budgets.set('tenant', { limitMicros: 5 }))).toBe('403 forbidden')
  })

  test('a key that may only send gets its answer over cut connections too, and is told what it may not read', async () => {
    const { key } = await makeKey(world, ['agents:run'])
    const proxy = await startProxy(() => world.base())
    const baton = createBaton({ url: proxy.url, key })
    const gate = world.gate()
    const answers = [
      { text: 'Let me see.', tools: [echo] },
      { ...slow(15, 20), gate: gate.file },
    ]
    const sent = baton.agents.send('sender', script(...answers), scripted)
    let cuts = 0
    const [seen, said, outcome] = await Promise.all([
      readAll(sent, async ({ type, step }) => {
        if (type !== 'text_delta' || step !== 2 || cuts++ > 0) return
        proxy.cut()
        await gate.open()
      }),
      readTexts(sent.text),
      sent,
    ])
    expect([cuts > 0, said.at(-1)]).toEqual([true, slow(15, 0).text])
    // The stream is told from its beginning again: what has been shown is not.
    expect(said.filter((text) => text === 'Let me see.')).toHaveLength(1)
    expect(seen.events.map(({ type }) => type)).not.toContain('step_reset')
    expect(outcome).toMatchObject({ status: 'done', output: slow(15, 0).text })
    expect(await codeOf(baton.agents.get('sender'))).toBe('403 forbidden')
    await proxy.close()
  })
})

describe('a pause that is awaited again', () => {
  test('a key that may only send is told how its message stands then: paused, behind another, and done', async () => {
    const { key } = await makeKey(world, ['agents:run'])
    const baton = createBaton({ url: world.base(), key })
    await admin.agents.create({ id: 'again', template: 'scripted', overrides: { permission: { ask: ['charge'] } } })
    const sent = baton.agents.send('again', asking)
    const [paused, again] = [await sent, await sent]
    if (paused.status !== 'paused') throw new Error('not paused')
    expect(again).toEqual(paused)
    const behind = baton.agents.send('again', 'and this?')
    const blocked = { status: 'paused', blockedBy: 'approvals', blockingRunId: paused.runId, approvals: paused.approvals }
    expect([await behind, await behind]).toMatchObject([blocked, blocked])
    await admin.approvals.decide(paused.approvals[0]?.id ?? '', { decision: 'allow' })
    expect(await sent).toMatchObject({ status: 'done', output: 'charged' })
    expect(await behind).toMatchObject({ status: 'done', output: 'You said: and this?' })
  })

  test('a call that the outside answers is told to a key that may only send, too', async () => {
    const { key } = await makeKey(world, ['agents:run'])
    const baton = createBaton({ url: world.base(), key })
    expect(await baton.agents.send('outer', script({ tools: [{ name: 'outside', input: {} }] }), scripted)).toMatchObject({
      status: 'paused',
      externalCalls: [{ tool: 'outside' }],
    })
  })

  test('a message whose handle nobody has read is told that it waits behind a pause, and by then behind one that has gone on', async () => {
    await admin.agents.create({ id: 'late', template: 'scripted', overrides: { permission: { ask: ['charge'] } } })
    const gate = world.gate()
    const then = { ...slow(2, 20), gate: gate.file }
    const first = await admin.agents.send('late', script({ tools: [{ name: 'charge', input: { key: 'l', cents: 5 } }] }, then))
    if (first.status !== 'paused') throw new Error('not paused')
    const proxy = await startProxy(() => world.base())
    const behind = createBaton({ url: proxy.url, key: adminKey }).agents.send('late', 'and this?')
    await behind.accepted
    // Its stream has been left: the next one is another connection.
    await expect.poll(() => proxy.open()).toBe(0)
    expect(await behind).toMatchObject({ status: 'paused', blockedBy: 'approvals', blockingRunId: first.runId })
    await admin.approvals.decide(first.approvals[0]?.id ?? '', { decision: 'allow' })
    const outcome = behind.outcome()
    await gate.open()
    expect(await outcome).toMatchObject({ status: 'done', output: 'You said: and this?' })
    await proxy.close()
  })
})

describe('errors', () => {
  test('401, 403, 404, 400, 402, 409, 429: each is a BatonError with its code', async () => {
    expect(await codeOf(createBaton({ url: world.base() }).agents.get('x'))).toBe('401 unauthorized')
    expect(await codeOf(createBaton({ url: world.base(), key: 'bt_wrong' }).agents.send('x', 'hello', scripted))).toBe('401 unauthorized')
    expect(await codeOf(admin.agents.get('nobody'))).toBe('404 agent_not_found')
    expect(await codeOf(admin.runs.get('run_0'))).toBe('404 run_not_found')
    expect(await codeOf(admin.agents.send('x', 'hello', { template: 'none' }))).toBe('400 template_unknown')
    expect(await codeOf(admin.agents.send('nobody', 'hello', { mustExist: true }))).toMatch(/^4(04|12) /)
    await admin.budgets.set('agent:poor', { limitMicros: 0 })
    const paid = script({ text: 'paid', usage: { input: 100, output: 0 } })
    expect(await codeOf(admin.agents.send('poor', paid, scripted))).toBe('402 budget_exceeded')
    const gate = world.gate()
    const first = admin.agents.send('one', script({ ...slow(8, 20), gate: gate.file }), scripted)
    await first.accepted
    const second = await admin.agents
      .send('one', 'me too', { ...scripted, onBusy: 'reject' })
      .outcome()
      .catch((caught: unknown) => caught)
    expect(second).toMatchObject({ code: 'agent_busy', status: 409, retryable: true })
    await gate.open()
    const { id, key } = await makeKey(world, ['agents:run'])
    await admin.request('PUT', `/api/limits/key:${id}`, { body: { messagesPerMinute: 1 } })
    const limited = createBaton({ url: world.base(), key })
    await limited.agents.send('l1', 'hello', scripted)
    const refused = await limited.agents
      .send('l2', 'hello', scripted)
      .outcome()
      .catch((caught: unknown) => caught)
    expect(refused).toMatchObject({ code: 'rate_limited', status: 429, retryable: true })
    expect((refused as BatonError).retryAfterMs).toBeGreaterThan(0)
    await first
  })

  test('a run that ended badly is told as HTTP tells it: by await, and by every iterator until its done', async () => {
    const failing = script({ error: { status: 401 } })
    const sent = admin.agents.send('fails', failing, scripted)
    const error: unknown = await sent.outcome().catch((caught: unknown) => caught)
    const reply = await world.http(
      'POST',
      '/api/agents/fails2/messages',
      { message: failing, ...scripted },
      { authorization: `Bearer ${adminKey}` },
    )
    const { runId, code, status } = reply.body
    expect(error).toMatchObject({ code, status, retryable: false, runId: (await sent.accepted).runId })
    expect(runId).toBeDefined()
    expect((await readAll(sent)).events.at(-1)).toMatchObject({ type: 'done', state: 'failed', stopReason: code })
  })
})

describe('waiting', () => {
  test('abort ends the waiting and never the run; the same key finds it again', async () => {
    const stop = new AbortController()
    const gate = world.gate()
    const message = script({ ...slow(10, 20), gate: gate.file })
    const sent = admin.agents.send('left', message, { ...scripted, signal: stop.signal })
    const { runId } = await sent.accepted
    const reading = readAll(sent, ({ type }) => void (type === 'text_delta' && stop.abort(new Error('enough'))))
    await expect(reading).rejects.toThrow('enough')
    await expect(sent.outcome()).rejects.toThrow('enough')
    await gate.open()
    const again = admin.agents.send('left', message, { ...scripted, idempotencyKey: sent.idempotencyKey })
    expect(await again).toMatchObject({ status: 'done', runId, output: slow(10, 0).text })
    const mismatch = admin.agents.send('left', 'something else', { ...scripted, idempotencyKey: sent.idempotencyKey })
    expect(await codeOf(mismatch)).toBe('422 idempotency_mismatch')
  })

  test('a run that waits for a person is an outcome; the decision goes on, and the iterator shows all of it', async () => {
    await admin.agents.create({ id: 'asks', template: 'scripted', overrides: { permission: { ask: ['charge'] } } })
    const sent = admin.agents.send('asks', asking)
    const all = readAll(sent)
    const paused = await sent
    if (paused.status !== 'paused') throw new Error('not paused')
    expect(paused.approvals).toMatchObject([{ tool: 'charge', input: { key: 'k', cents: 5 } }])
    const inbox: string[] = []
    for await (const approval of admin.approvals.list({ state: 'pending' })) inbox.push(approval.id)
    expect(inbox).toEqual([paused.approvals[0]?.id])
    const behind = admin.agents.send('asks', 'and this?')
    const followed = readAll(behind)
    expect(await behind).toMatchObject({
      status: 'paused',
      blockedBy: 'approvals',
      blockingRunId: paused.runId,
      approvals: [{ id: inbox[0] }],
    })
    expect((await admin.runs.wait(paused.runId)).state).toBe('awaiting_approval')
    const ended = admin.runs.wait(paused.runId, { untilEnded: true })
    expect(await admin.approvals.decide(inbox[0] ?? '', { decision: 'allow', note: 'fine' })).toMatchObject({
      state: 'allowed',
      replayed: false,
    })
    expect(await codeOf(admin.approvals.decide(inbox[0] ?? '', { decision: 'deny' }))).toBe('409 already_decided')
    expect(await ended).toMatchObject({ state: 'completed', output: 'charged' })
    expect((await all).events.map(({ type }) => type)).toEqual(expect.arrayContaining(['approval_required', 'approval_decided', 'done']))
    expect(await sent).toMatchObject({ status: 'done', output: 'charged' })
    const types = (await followed).events.map(({ type }) => type)
    expect([types[0], types.filter((type) => type === 'blocked'), types.at(-1)]).toEqual(['blocked', ['blocked'], 'done'])
    expect(await behind).toMatchObject({ status: 'done', output: 'You said: and this?' })
  })

  test('wait gives up at its time-out, cancel ends the run, retry begins another', async () => {
    const sent = admin.agents.send('slow', script(slow(50, 200)), { ...scripted, background: true })
    const { runId } = await sent.accepted
    expect(await codeOf(admin.runs.wait(runId, { timeoutMs: 300 }))).toBe('0 timeout')
    await sent.cancel('enough')
    expect(await codeOf(sent)).toBe('409 cancelled')
    expect(await admin.runs.wait(runId)).toMatchObject({ state: 'cancelled', stopNote: 'enough' })
    const retried = await admin.runs.retry(runId)
    expect(retried.retryOf).toBe(runId)
    expect(await admin.agents.interrupt('slow', { runId: retried.id })).toHaveProperty('stopped')
    expect((await admin.runs.wait(retried.id)).stopReason).toBe('interrupted')
  })
})
