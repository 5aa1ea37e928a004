import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begun, runOf, runsOf, said, until, waiting } from '#tests/engine/helpers'
import { script, startWorld, type Answer, type Gate, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

/** At work in its tool until the gate is opened. */
const working = ({ file }: Gate): Answer[] => [{ tools: [{ name: 'wait', input: { ms: 0, gate: file } }] }, { text: 'first' }]

describe.concurrent('the run before it is running', () => {
  test('A9: enqueue: 202 queued, then each in order and once; Prefer: wait waits for its own run', async () => {
    const gate = world.gate()
    const first = await begun(world, 'q1', working(gate))
    const second = await world.send('q1', script({ text: 'second' }), { prefer: 'respond-async' })
    expect(second.status).toBe(202)
    expect(second.body).toMatchObject({ status: 'processing', run: { state: 'queued' } })
    const queued = await world.messages('q1')
    expect(queued.at(-1)).toMatchObject({ state: 'queued', role: 'user' })
    expect(queued.at(-1)).not.toHaveProperty('seq')
    const waits = world.send('q1', script({ text: 'third' }), { prefer: 'wait=30' })
    await until('the third is accepted', async () => (await runsOf(world, 'q1')).length === 3)
    await gate.open()
    const third = await waits
    expect(third.status).toBe(200)
    expect(third.body).toMatchObject({ status: 'done', output: 'third' })
    expect((await runsOf(world, 'q1')).map((run) => [run.id, run.state, run.output])).toEqual([
      [first, 'completed', 'first'],
      [runOf(second), 'completed', 'second'],
      [runOf(third), 'completed', 'third'],
    ])
    expect((await world.effects({ runId: runOf(second) })).filter((line) => line.kind === 'model')).toHaveLength(1)
    const roles = (await world.messages('q1')).map((row) => row.role)
    expect(roles).toEqual(['user', 'assistant', 'tool', 'assistant', 'user', 'assistant', 'user', 'assistant'])
  })

  test('steer: 202 with the id of the running run; the message enters where no call is open and the model sees it', async () => {
    const gate = world.gate()
    const first = await begun(world, 's1', working(gate), { tool: 'wait' })
    const steered = await world.send('s1', 'also this', { onBusy: 'steer', prefer: 'respond-async' })
    expect(steered.status).toBe(202)
    expect(runOf(steered)).toBe(first)
    await gate.open()
    expect((await world.ended(first)).output).toBe('first')
    const rows = await world.messages('s1')
    expect(rows.map((row) => row.role)).toEqual(['user', 'assistant', 'tool', 'user', 'assistant'])
    expect(rows[3]?.content).toBe('also this')
    expect(await runsOf(world, 's1')).toHaveLength(1)
    expect((await world.events('s1')).map((event) => event.type)).toContain('message_entered')
  })

  test('steer: a message that comes in the last model call turns the end into going on', async () => {
    const gate = world.gate()
    const first = await begun(world, 's2', [{ text: 'one', gate: gate.file }, { text: 'two' }])
    await world.send('s2', 'and?', { onBusy: 'steer', prefer: 'respond-async' })
    await gate.open()
    expect(await world.ended(first)).toMatchObject({ state: 'completed', output: 'two', modelCalls: 2 })
    expect((await said(world, 's2')).slice(1)).toEqual(['assistant: one', 'user: and?', 'assistant: two'])
  })

  test('steer: too late, it becomes the next run, ahead of the queue', async () => {
    const gate = world.gate()
    const first = await begun(world, 's3', [{ gate: gate.file, error: { status: 401 } }])
    const queued = await world.send('s3', 'queued', { prefer: 'respond-async' })
    const steered = await world.send('s3', 'steered', { onBusy: 'steer', prefer: 'respond-async' })
    expect(runOf(steered)).toBe(first)
    await gate.open()
    expect(await world.ended(first)).toMatchObject({ state: 'failed', stopReason: 'provider_auth' })
    await world.ended(runOf(queued))
    const runs = await runsOf(world, 's3')
    expect(runs.map((run) => run.output)).toEqual([null, 'You said: steered', 'You said: queued'])
    expect(runs[1]?.id).not.toBe(first)
  })

  test('steer: too late, whoever waits for the message or streams it gets the run that it came to, and a repeat under its key too', async () => {
    const gate = world.gate()
    const first = await begun(world, 's4', [{ gate: gate.file, error: { status: 401 } }])
    const queued = async () => (await world.messages('s4')).filter(({ state }) => state === 'queued').length
    const keyed = { onBusy: 'steer', prefer: 'wait=30', headers: { 'idempotency-key': 's4' } }
    const waits = world.send('s4', script({ text: 'next', gate: gate.file }), keyed)
    await until('one steers', async () => (await queued()) === 1)
    const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
    const body = JSON.stringify({ message: 'streamed', onBusy: 'steer' })
    const streams = fetch(`${world.base()}/api/agents/s4/messages`, { method: 'POST', headers, body }).then((reply) => reply.text())
    await until('two steer', async () => (await queued()) === 2)
    await gate.open()
    const second = runOf(await waits)
    expect(second).not.toBe(first)
    expect(await world.ended(second)).toMatchObject({ state: 'completed' })
    expect((await streams).match(/"runId":"run_[0-9a-f]+"/g)?.at(-1)).toContain(second)
    const again = await world.send('s4', script({ text: 'next', gate: gate.file }), keyed)
    expect([again.status, runOf(again), again.headers.get('idempotent-replayed')]).toEqual([200, second, 'true'])
    expect(await runsOf(world, 's4')).toHaveLength(2)
  })

  test('steer: under lower limits or with an address of its own a message steers nothing and becomes the next run', async () => {
    const gate = world.gate()
    const first = await begun(world, 's5', working(gate), { webhook: { url: 'http://127.0.0.1:9/first' } })
    const send = async (more: object) => runOf(await world.send('s5', 'x', { onBusy: 'steer', prefer: 'respond-async', ...more }))
    const own = [await send({ limits: { maxSteps: 1 } }), await send({ webhook: { url: 'http://127.0.0.1:9/own' } })]
    expect(own).not.toContain(first)
    expect(await send({ webhook: { url: 'http://127.0.0.1:9/first' }, limits: { maxSteps: 50 } })).toBe(first)
    await gate.open()
    for (const run of own) await world.ended(run)
    expect(await runsOf(world, 's5')).toHaveLength(3)
  })

  test('interrupt: the current run ends interrupted, then this one, ahead of the queue', async () => {
    const first = await begun(world, 'i1', [{ text: 'never', delayMs: 60_000 }])
    const queued = await world.send('i1', 'queued', { prefer: 'respond-async' })
    const urgent = await world.send('i1', 'urgent', { onBusy: 'interrupt', prefer: 'wait=25' })
    expect(urgent.status).toBe(200)
    expect(urgent.body).toMatchObject({ output: 'You said: urgent' })
    expect(await world.run(first)).toMatchObject({ state: 'cancelled', stopReason: 'interrupted' })
    await world.ended(runOf(queued))
    expect((await runsOf(world, 'i1')).map((run) => run.id)).toEqual([first, runOf(urgent), runOf(queued)])
  })

  test('reject: 409 agent_busy, and nothing is kept', async () => {
    const gate = world.gate()
    const first = await begun(world, 'r1', working(gate))
    const refused = await world.send('r1', 'no', { onBusy: 'reject' })
    expect(refused.status).toBe(409)
    expect(refused.body).toMatchObject({ code: 'agent_busy', runId: first })
    await gate.open()
    await world.ended(first)
    expect((await runsOf(world, 'r1')).map((run) => run.id)).toEqual([first])
  })

  test('ended: a failed run keeps its messages, its calls are sealed, and the queue goes on', async () => {
    const gate = world.gate()
    const first = await begun(
      world,
      'f1',
      [{ tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }] }, { tools: [{ name: 'echo', input: { value: 1 } }] }],
      { limits: { maxToolCalls: 1 } },
    )
    const waits = world.send('f1', 'go on', { prefer: 'wait=30' })
    await until('the second is accepted', async () => (await runsOf(world, 'f1')).length === 2)
    await gate.open()
    const second = await waits
    expect(second.body).toMatchObject({ status: 'done', output: 'You said: go on' })
    expect(await world.run(first)).toMatchObject({ state: 'failed', stopReason: 'max_tool_calls' })
    const rows = await world.messages('f1')
    expect(rows.map((row) => row.role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'tool', 'user', 'assistant'])
    expect(JSON.stringify(rows[4]?.content)).toContain('This call was not executed. (max_tool_calls)')
  })
})

describe('the run before it waits for a retry', () => {
  const limited = [{ error: { status: 429, retryAfter: 3_600, times: 1 }, text: 'after all' }]

  test('enqueue waits its turn; steer is told the waiting run and enters without cutting its wait; reject is 409', async () => {
    const first = await begun(world, 'w1', limited)
    await waiting(world, first)
    const queued = await world.send('w1', 'queued', { prefer: 'respond-async' })
    expect(queued.body).toMatchObject({ run: { state: 'queued' } })
    const steered = await world.send('w1', 'steered', { onBusy: 'steer', prefer: 'wait=0' })
    expect([steered.status, runOf(steered)]).toEqual([202, first])
    expect((await world.send('w1', 'no', { onBusy: 'reject' })).status).toBe(409)
    expect((await world.run(first)).state).toBe('waiting')
    await world.advance(5_000_000)
    await world.ended(runOf(queued))
    const rows = await said(world, 'w1')
    expect(rows.slice(1)).toEqual([
      'assistant: after all',
      'user: steered',
      'assistant: done',
      'user: queued',
      'assistant: You said: queued',
    ])
  })

  test('a steer while the model call fails does not cut the wait that the provider asked for', async () => {
    const gate = world.gate()
    const first = await begun(world, 'w3', [{ gate: gate.file, error: { status: 503, retryAfter: 3_600, times: 1 }, text: 'later' }])
    await world.send('w3', 'steered', { onBusy: 'steer', prefer: 'respond-async' })
    await gate.open()
    await waiting(world, first)
    expect((await world.messages('w3')).map((row) => row.state)).toEqual(['entered', 'entered'])
    await world.advance(5_000_000)
    expect(await world.ended(first)).toMatchObject({ state: 'completed', output: 'later' })
  })

  test('interrupt ends it at once and starts the next', async () => {
    const first = await begun(world, 'w2', limited)
    await waiting(world, first)
    const urgent = await world.send('w2', script({ text: 'urgent' }), { onBusy: 'interrupt', prefer: 'respond-async' })
    expect(await world.run(first)).toMatchObject({ state: 'cancelled', stopReason: 'interrupted' })
    // The gate that the 429 has closed holds the next run back too.
    await until('it waits', async () => (await world.run(runOf(urgent))).state === 'waiting')
    await world.advance(5_000_000)
    expect(await world.ended(runOf(urgent))).toMatchObject({ output: 'urgent' })
  })
})
