import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begun, booked, runOf, until, waiting } from '#tests/engine/helpers'
import { lift, msToEnd, running, setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type Frame, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  // The heartbeat comes every ten seconds: what is reached sooner was reached by the signal.
  world = await startWorld({ servers: 2, env: { BATON_LEASE_MS: '30000' } })
})
afterAll(() => world.close())

const calls = async (agent: string) =>
  (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as Record<string, unknown>[]
const types = async (agent: string): Promise<string[]> => (await world.events(agent)).map((event) => event.type)

/** Somebody elsewhere who reads the run's events: when its first text has come, and all of it when the stream has ended. */
function watched(runId: string): { text: Promise<void>; end: Promise<Frame[]> } {
  let came = (): void => undefined
  const text = new Promise<void>((resolve) => (came = resolve))
  const end = world.stream(`/api/runs/${runId}/events`, {}, ({ event }) => void (event === 'text_delta' && came()), 1)
  return { text, end }
}

test('A71: a kill from another process stops a streaming model and a running tool; nothing happens after it', async () => {
  const longText = { text: 'word '.repeat(400), chunks: 400, chunkDelayMs: 100, usage: { input: 1_000, output: 100 } }
  const charge = { tools: [{ name: 'charge', input: { key: 'a71', cents: 1 } }] }
  const times: { model: number; tool: number }[] = []
  // The first one opens the subscription, which stays for half a minute.
  for (const turn of ['warm', '1', '2', '3']) {
    const [model, tool] = await Promise.all([
      running(world, `a71-model-${turn}`, [longText, charge]),
      running(world, `a71-tool-${turn}`, [{ tools: [{ name: 'wait', input: { ms: 60_000 } }] }, charge], 0, 'wait'),
    ])
    const reader = watched(model.runId)
    await reader.text
    const kills = await Promise.all([setSwitch(world, `agent:a71-model-${turn}`), setSwitch(world, `agent:a71-tool-${turn}`)])
    times.push({ model: await msToEnd(world, model.runId, kills[0].at), tool: await msToEnd(world, tool.runId, kills[1].at) })
    for (const { caller, runId } of [model, tool]) {
      expect(await caller).toMatchObject({ status: 423, body: { code: 'killed', runId, final: true } })
      expect(await world.run(runId)).toMatchObject({ state: 'killed', stopReason: 'killed', error: { reason: 'a test' } })
    }
    const stopped = { type: 'error-text', value: 'The call was stopped before it ended.' }
    expect(await calls(`a71-tool-${turn}`), 'it ended by its signal').toMatchObject([{ name: 'wait', state: 'failed', output: stopped }])
    const frames = await reader.end
    expect(frames.at(-1)).toMatchObject({ event: 'done', data: { state: 'killed' } })
    expect(frames.filter(({ event }) => event === 'text_delta').length).toBeLessThan(400)
    expect(await booked(world, model.runId)).toMatchObject([{ state: 'estimated' }])
    expect(await types(`a71-model-${turn}`)).toEqual(expect.arrayContaining(['killed', 'done']))
  }
  console.log('kill from another process, ms from its answer to the end of the run:', JSON.stringify(times.slice(1)))
  // By themselves the two would have gone on for 40 s and for a minute.
  expect(Math.max(...times.slice(1).flatMap(({ model, tool }) => [model, tool]))).toBeLessThan(35_000)
  expect(await world.effects({ key: 'a71' })).toEqual([])
})

describe.concurrent('a kill', () => {
  test('A73: of agent a leaves agent b alone', async () => {
    const gate = world.gate()
    const [a, b] = await Promise.all(['a73-a', 'a73-b'].map((name) => running(world, name, [{ gate: gate.file, text: name }])))
    await setSwitch(world, 'agent:a73-a')
    expect((await a?.caller)?.status).toBe(423)
    await gate.open()
    expect(await b?.caller).toMatchObject({ status: 200, body: { output: 'a73-b' } })
    expect(await world.send('a73-a', 'hi')).toMatchObject({
      status: 423,
      body: { code: 'killed', scope: 'agent:a73-a', reason: 'a test', retryable: false },
    })
    await lift(world, 'agent:a73-a')
    expect(await world.send('a73-a', 'hi', { prefer: 'wait=25' })).toMatchObject({ status: 200 })
  })

  test('of a run that waits for a retry ends it at once; a retry of it is refused until the switch is lifted', async () => {
    const runId = await begun(world, 'k-wait', [{ error: { status: 503, times: 1, retryAfter: 3_600 } }])
    await waiting(world, runId)
    expect((await setSwitch(world, `run:${runId}`)).body).toMatchObject({ ended: 1 })
    expect(await world.run(runId)).toMatchObject({ state: 'killed' })
    const refused = await world.http('POST', `/api/runs/${runId}/retry`)
    expect(refused).toMatchObject({ status: 423, body: { code: 'killed', scope: `run:${runId}` } })
    await lift(world, `run:${runId}`)
    expect(await world.run(runId)).toMatchObject({ state: 'killed' })
    const again = await world.http('POST', `/api/runs/${runId}/retry`)
    expect(again).toMatchObject({ status: 202, body: { retryOf: runId } })
    await waiting(world, runOf(again))
  })

  test('ends the messages of its queue killed, each with its own end', async () => {
    const first = await begun(world, 'k-queue', [{ delayMs: 60_000, text: 'never' }])
    const queued = await Promise.all([1, 2, 3].map(() => world.send('k-queue', 'later', { prefer: 'respond-async' }).then(runOf)))
    await setSwitch(world, 'agent:k-queue')
    for (const runId of [first, ...queued]) expect(await world.ended(runId)).toMatchObject({ state: 'killed', stopReason: 'killed' })
    const ends = (await world.events('k-queue')).filter((event) => event.type === 'done')
    expect(ends).toHaveLength(4)
    expect(new Set(ends.map((event) => event.runId))).toEqual(new Set([first, ...queued]))
    const audit = await world.sql<{ actor: string }>(`select actor from baton.audit where action = 'run.kill' and scope = 'agent:k-queue'`)
    expect(audit).toEqual(Array.from({ length: 4 }, () => ({ actor: 'local' })))
  })

  test('of a run in a tool that ignores its signal and in one that may not be repeated: each call has one result', async () => {
    const tools = [
      { name: 'stubborn', input: { ms: 60_000 } },
      { name: 'charge', input: { key: 'k-tool', cents: 1 } },
    ]
    const { runId } = await running(world, 'k-tool', [{ tools }, { text: 'never' }], 0, 'stubborn')
    await until('the charge is there', async () => (await world.effects({ key: 'k-tool' })).length === 1)
    await setSwitch(world, 'agent:k-tool')
    expect(await world.ended(runId)).toMatchObject({ state: 'killed' })
    // What had ended before the kill is stored as it was; what had not says so.
    expect((await calls('k-tool')).map(({ name, state }) => `${String(name)} ${String(state)}`).toSorted()).toEqual([
      'charge completed',
      'stubborn failed',
    ])
    expect((await world.messages('k-tool')).map((row) => row.role)).toEqual(['user', 'assistant', 'tool'])
    expect(await world.effects({ key: 'k-tool' })).toHaveLength(1)
  })

  test('of a run that waits for a retry inside its slice: no second call; one webhook tells of it', async () => {
    const answers = [{ error: { status: 503, times: 1, retryAfter: 10 } }, { text: 'never' }]
    const sent = { prefer: 'wait=25', webhook: { url: 'http://127.0.0.1:9/hook' } }
    const caller = world.send('k-pause', script(...answers), sent)
    await until('the call has failed', async () => (await types('k-pause').catch((): string[] => [])).includes('retry'))
    await setSwitch(world, 'agent:k-pause')
    const reply = await caller
    expect(reply.status).toBe(423)
    expect((await world.effects({ runId: runOf(reply) })).length).toBe(1)
    const { body } = await world.http('GET', `/api/runs/${runOf(reply)}`)
    expect(body['webhooks']).toMatchObject([{ type: 'agent.killed' }])
  })

  test('in the list, with explain, a bad scope and a scope that is not set', async () => {
    await setSwitch(world, 'agent:k-list', { mode: 'hold', reason: 'for the list' })
    const { body } = await world.http('GET', '/api/kill')
    expect(body['data']).toContainEqual(
      expect.objectContaining({ scope: 'agent:k-list', mode: 'hold', reason: 'for the list', actor: 'local' }),
    )
    const sent = await world.send('k-list', 'hi', { prefer: 'wait=25' })
    expect(sent.status).toBe(202)
    const run = await world.run(runOf(sent))
    expect(run.explain).toMatch(/held by the switch agent:k-list \(for the list\), which local set/)
    await lift(world, 'agent:k-list')
    expect((await world.http('DELETE', '/api/kill/agent:k-list')).body).toMatchObject({ status: 404, code: 'switch_not_found' })
    for (const scope of ['agent:', 'tool:x', 'everything', 'agent:a b', 'global:1', 'tenant:two', 'user:me'])
      expect((await world.http('POST', '/api/kill', { scope, mode: 'kill', reason: 'x' })).status).toBe(400)
    expect((await world.http('POST', '/api/kill', { scope: 'tenant', mode: 'kill' })).status).toBe(400)
    expect((await world.http('POST', '/api/kill', { scope: 'tenant', mode: 'stop', reason: 'x' })).status).toBe(400)
    expect((await world.http('DELETE', '/api/kill/tool:x')).status).toBe(400)
  })
})

describe.concurrent('a hold', () => {
  test('accepts messages, runs none of them, and all are done after it is lifted', async () => {
    await setSwitch(world, 'agent:h-many', { mode: 'hold' })
    const sent = performance.now()
    const replies = await Promise.all(
      [1, 2, 3].map((n) => world.send('h-many', script({ text: `answer ${n}` }), { prefer: 'wait=25', key: `h-many-${n}` })),
    )
    expect(replies.map((reply) => reply.status)).toEqual([202, 202, 202])
    // Nobody waits for what somebody else must lift.
    expect(performance.now() - sent).toBeLessThan(25_000)
    const runs = replies.map(runOf)
    expect(replies.map(({ body }) => body['blockedBy']).filter(Boolean)).toEqual(['hold', 'hold'])
    for (const runId of runs) expect(await world.effects({ runId })).toEqual([])
    expect(await types('h-many')).toContain('held')
    expect(await world.agent('h-many')).toMatchObject({ state: 'paused' })
    await lift(world, 'agent:h-many')
    for (const runId of runs) expect(await world.ended(runId)).toMatchObject({ state: 'completed' })
  })

  test('in flight lets the step in hand end and starts no other; lifted, the run goes on where it was', async () => {
    const gate = world.gate()
    const { runId, caller } = await running(world, 'h-step', [
      { gate: gate.file, tools: [{ name: 'charge', input: { key: 'h-step', cents: 1 } }] },
      { text: 'done' },
    ])
    await setSwitch(world, 'agent:h-step', { mode: 'hold' })
    await gate.open()
    expect((await caller).status).toBe(202)
    await until('the run waits', async () => (await world.run(runId)).wait?.kind === 'hold')
    expect(await world.run(runId)).toMatchObject({ state: 'waiting', step: 1, dueAt: null, lease: null })
    expect(await world.effects({ key: 'h-step' })).toEqual([])
    await lift(world, 'agent:h-step')
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'done' })
    expect(await world.effects({ key: 'h-step' })).toHaveLength(1)
    expect((await world.effects({ runId })).filter((line) => line.kind === 'model')).toHaveLength(2)
  })

  test('of a run that waits for a retry inside its slice: the wait ends in the hold, not in a call', async () => {
    const answers = [{ error: { status: 503, times: 1, retryAfter: 8 }, text: 'done' }]
    const caller = world.send('h-pause', script(...answers), { prefer: 'wait=25' })
    await until('the call has failed', async () => (await types('h-pause').catch((): string[] => [])).includes('retry'))
    await setSwitch(world, 'agent:h-pause', { mode: 'hold' })
    const runId = runOf(await caller)
    await until('the run is held', async () => (await world.run(runId)).wait?.kind === 'hold')
    expect(await world.effects({ runId })).toHaveLength(1)
    await lift(world, 'agent:h-pause')
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'done' })
  })

  test('then a kill of the same scope ends what was held', async () => {
    await setSwitch(world, 'agent:h-kill', { mode: 'hold' })
    const runId = runOf(await world.send('h-kill', 'hi', { prefer: 'respond-async' }))
    expect((await setSwitch(world, 'agent:h-kill', { reason: 'enough' })).body).toMatchObject({ ended: 1 })
    expect(await world.run(runId)).toMatchObject({ state: 'killed', error: { reason: 'enough' } })
  })
})
