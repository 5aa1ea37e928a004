import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begun, booked, runOf, runsOf, until, waiting } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  // A heartbeat every 10 s is far from a second, however busy the machine: what comes sooner has come over Redis.
  world = await startWorld({ servers: 2, env: { BATON_LEASE_MS: '30000' } })
})
afterAll(() => world.close())

async function cancel(runId: string, server = 0): Promise<{ status: number; stopped: unknown; run: Record<string, unknown> }> {
  const reply = await world.http('POST', `/api/runs/${runId}/cancel`, { reason: 'no longer needed' }, {}, server)
  return { status: reply.status, stopped: reply.body['stopped'], run: reply.body['run'] as Record<string, unknown> }
}

describe.concurrent('cancel', () => {
  test('of a queued run: it ends without having begun and its message never enters the conversation', async () => {
    const gate = world.gate()
    const first = await begun(world, 'c1', [{ gate: gate.file, text: 'first' }])
    const second = runOf(await world.send('c1', 'second', { prefer: 'respond-async' }))
    const third = runOf(await world.send('c1', 'third', { prefer: 'respond-async' }))
    const stopped = await cancel(second)
    const run = { state: 'cancelled', stopReason: 'cancelled', stopNote: 'no longer needed', costMicros: 0 }
    expect(stopped).toMatchObject({ status: 200, stopped: true, run })
    // A repeat, after a lost reply say, is told the same.
    expect(await cancel(second)).toMatchObject({ status: 200, stopped: true, run })
    await gate.open()
    await world.ended(third)
    expect((await world.messages('c1')).filter((row) => row.role === 'user').map((row) => row.content)).not.toContain('second')
    expect((await world.events('c1')).filter((event) => event.runId === second && event.type === 'done')).toHaveLength(1)
    expect(await world.run(first)).toMatchObject({ state: 'completed' })
  })

  test('of a run in its model call: 202, aborted at once, booked as estimated; the caller gets 409', async () => {
    const caller = world.send('c2', script({ delayMs: 60_000, text: 'never', usage: { input: 1_000, output: 100 } }), { prefer: 'wait=25' })
    await until('it is at work', async () => (await runsOf(world, 'c2'))[0]?.state === 'running')
    const runId = (await runsOf(world, 'c2'))[0]?.id ?? ''
    await until('the model is called', async () => (await world.effects({ runId })).length === 1)
    const stopped = await cancel(runId, 1)
    expect(stopped).toMatchObject({ status: 202, stopped: false })
    const answer = await caller
    expect(answer.status).toBe(409)
    expect(answer.body).toMatchObject({ code: 'cancelled', runId, final: true })
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(await booked(world, runId)).toEqual([{ state: 'estimated', micros: 4_500, cost: 4_500 }])
  })

  test('of a run in a tool that heeds its signal: the call is closed, and the next message finds a valid history', async () => {
    const runId = await begun(world, 'c3', [{ tools: [{ name: 'wait', input: { ms: 60_000 } }] }], { tool: 'wait' })
    await cancel(runId)
    expect(await world.ended(runId)).toMatchObject({ state: 'cancelled', stopReason: 'cancelled' })
    const [call] = (await world.http('GET', '/api/agents/c3/tool-calls')).body['data'] as Record<string, unknown>[]
    expect(call).toMatchObject({ name: 'wait', state: 'failed', isError: true })
    expect((await world.messages('c3')).map((row) => row.role)).toEqual(['user', 'assistant', 'tool'])
    expect((await world.send('c3', 'hi', { prefer: 'wait=25' })).body).toMatchObject({ output: 'You said: hi' })
  })

  test('of a run in a tool that ignores its signal: given up after a second, "may still be running"', async () => {
    const runId = await begun(world, 'c4', [{ tools: [{ name: 'stubborn', input: { ms: 60_000 } }] }], { tool: 'stubborn' })
    const asked = Date.now()
    await cancel(runId)
    expect(await world.ended(runId)).toMatchObject({ state: 'cancelled' })
    expect(Date.now() - asked).toBeGreaterThan(900)
    const [call] = (await world.http('GET', '/api/agents/c4/tool-calls')).body['data'] as { output: { value: string } }[]
    expect(call?.output.value).toContain('may still be running')
  })

  test('of a run that waits: it ends at once, without an executor', async () => {
    const runId = await begun(world, 'c5', [{ error: { status: 503, retryAfter: 3_600 } }])
    await waiting(world, runId)
    expect(await cancel(runId)).toMatchObject({ status: 200, run: { state: 'cancelled', stopReason: 'cancelled' } })
    expect((await world.effects({ runId })).filter((line) => line.kind === 'model')).toHaveLength(1)
  })

  test('of an ended run changes nothing and says so; of an unknown one is 404', async () => {
    const done = runOf(await world.send('c6', 'hi', { prefer: 'wait=25' }))
    expect(await cancel(done)).toMatchObject({ status: 200, stopped: false, run: { state: 'completed', stopReason: 'end_turn' } })
    expect((await world.http('POST', '/api/runs/run_00000000000000000000000000000000/cancel')).status).toBe(404)
  })
})

describe.concurrent('interrupt', () => {
  test('invariant 10: is resolved to the run of the moment: it never hits a later one', async () => {
    const first = await begun(world, 'i1', [{ delayMs: 60_000, text: 'never' }])
    const second = runOf(await world.send('i1', script({ delayMs: 1_500, text: 'second' }), { prefer: 'respond-async' }))
    const interrupt = (body?: object) => world.http('POST', '/api/agents/i1/interrupt', body)
    // The others may come when the second run has begun: they say which one they mean.
    const replies = [await interrupt(), ...(await Promise.all([interrupt({ runId: first }), interrupt({ runId: first })]))]
    expect(replies.every((reply) => [200, 202].includes(reply.status))).toBe(true)
    expect(await world.ended(first)).toMatchObject({ state: 'cancelled', stopReason: 'interrupted' })
    const again = await world.http('POST', '/api/agents/i1/interrupt', { runId: first })
    expect(again.body).toMatchObject({ run: { id: first, state: 'cancelled' } })
    expect(await world.ended(second)).toMatchObject({ state: 'completed', output: 'second' })
  })

  test('of an idle agent changes nothing, and the next message runs', async () => {
    await world.send('i2', 'hi', { prefer: 'wait=25' })
    expect((await world.http('POST', '/api/agents/i2/interrupt')).body).toEqual({ stopped: false, run: null })
    expect((await world.send('i2', 'again', { prefer: 'wait=25' })).status).toBe(200)
  })
})

describe('another server process', () => {
  async function msToStop(agent: string): Promise<number> {
    const caller = world.send(agent, script({ delayMs: 60_000, text: 'never' }), { prefer: 'wait=25', server: 0 })
    await until('it is at work', async () => (await runsOf(world, agent))[0]?.state === 'running')
    const runId = (await runsOf(world, agent))[0]?.id ?? ''
    await until('the model is called', async () => (await world.effects({ runId })).length === 1)
    const asked = Date.now()
    expect((await world.http('POST', `/api/agents/${agent}/interrupt`, {}, {}, 1)).status).toBe(202)
    expect((await caller).body).toMatchObject({ code: 'interrupted' })
    return Date.now() - asked
  }

  test('invariant 10: is reached within about a second with Redis', async () => {
    const times = [await msToStop('p0'), await msToStop('p1'), await msToStop('p2')]
    console.log('interrupt from another process, ms:', times.join(', '))
    // The callers' own time: what was not reached would have been told as still at work.
    expect(Math.min(...times)).toBeLessThan(25_000)
  })

  test('invariant 10: is reached by the heartbeat without Redis', async () => {
    await world.stack.halt('redis')
    try {
      const ms = await msToStop('p4')
      console.log('interrupt without Redis, ms:', ms)
      expect(ms).toBeGreaterThan(1_000)
      expect(ms).toBeLessThan(25_000)
    } finally {
      world.stack.resume('redis')
      await world.stack.waitReady('redis')
    }
  })
})
