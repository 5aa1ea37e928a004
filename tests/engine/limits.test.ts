import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { begun, booked, runOf, runsOf, said, until } from '#tests/engine/helpers'
import { script, startWorld, type Answer, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({
    env: localTemplates({
      templates: [
        { id: 'unpriced', model: 'compatible/unpriced' },
        { id: 'small', model: 'local/small', limits: { maxSteps: 3, maxCostMicros: 10_000, maxWallMs: 60_000 } },
        { id: 'brief', model: 'local/brief', window: { maxMessages: 6 } },
        { id: 'kept', model: 'local/kept', window: { maxMessages: 6, keepFirst: 1 } },
        { id: 'narrow', model: 'local/narrow', window: { maxTokens: 1_000 } },
      ],
    }),
  })
})
afterAll(() => world.close())

const echo = (value: unknown): Answer => ({ tools: [{ name: 'echo', input: { value } }], usage: { input: 1_000, output: 0 } })
const wait = { prefer: 'wait=25' }
const modelCalls = async (runId: string): Promise<number> => (await world.effects({ runId })).filter((line) => line.kind === 'model').length

describe.concurrent('answers', () => {
  test('an empty answer is repeated once and does not enter the history', async () => {
    const reply = await world.send('e1', script({ text: '' }, { text: 'then this' }), wait)
    expect(reply.body).toMatchObject({ status: 'done', output: 'then this' })
    expect((await world.messages('e1')).map((row) => row.role)).toEqual(['user', 'assistant'])
    expect(await modelCalls(runOf(reply))).toBe(2)
  })

  test('A54: two empty answers in a row fail as empty_response, never "ok" with empty text', async () => {
    const reply = await world.send('e2', script({ text: ' ' }, { text: '' }, { text: 'too late' }), wait)
    expect([reply.status, reply.body['code']]).toEqual([422, 'empty_response'])
    expect(await modelCalls(runOf(reply))).toBe(2)
    await booked(world, runOf(reply))
  })

  test('empty answers that are not in a row are each repeated', async () => {
    const reply = await world.send('e3', script({ text: '' }, echo(1), { text: '' }, { text: 'fine' }), wait)
    expect(reply.body).toMatchObject({ status: 'done', output: 'fine' })
  })

  test('finish length is 200 with stopReason max_tokens where there is output; its calls are not executed', async () => {
    const reply = await world.send(
      'l1',
      script({ text: 'so far', finish: 'length', tools: [{ name: 'charge', input: { key: 'l1', cents: 1 } }] }),
      wait,
    )
    expect(reply.status).toBe(200)
    expect(reply.body).toMatchObject({ status: 'done', output: 'so far', stopReason: 'max_tokens', run: { state: 'completed' } })
    expect(await world.effects({ key: 'l1' })).toEqual([])
  })
})

describe.concurrent('limits of a run', () => {
  test('maxSteps', async () => {
    const reply = await world.send('s1', script(echo(1), echo(2), echo(3)), { ...wait, limits: { maxSteps: 2 } })
    expect([reply.status, reply.body['code']]).toEqual([422, 'max_steps'])
    expect(await modelCalls(runOf(reply))).toBe(2)
    expect((await world.messages('s1')).map((row) => row.role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'tool'])
  })

  test('maxToolCalls: none of an answer that asks for too many is begun', async () => {
    const three = { tools: [1, 2, 3].map((value) => ({ name: 'echo', input: { value } })) }
    const reply = await world.send('s2', script(three), { ...wait, limits: { maxToolCalls: 2 } })
    expect([reply.status, reply.body['code']]).toEqual([422, 'max_tool_calls'])
    expect((await world.effects({ runId: runOf(reply) })).filter((line) => line.kind === 'tool')).toEqual([])
    expect((await world.messages('s2')).map((row) => row.role)).toEqual(['user', 'assistant', 'tool'])
  })

  test('maxTokens', async () => {
    const reply = await world.send('s3', script(echo(1), echo(2), { text: 'never' }), { ...wait, limits: { maxTokens: 2_000 } })
    expect([reply.status, reply.body['code']]).toEqual([422, 'max_tokens'])
    expect(await modelCalls(runOf(reply))).toBe(2)
  })

  test('maxWallMs counts work; what waits in the queue does not, and an answer that is there is not thrown away', async () => {
    const slow = script({ ...echo(1), delayMs: 700 }, { text: 'never' })
    const reply = await world.send('s4', slow, { ...wait, limits: { maxWallMs: 500 } })
    expect([reply.status, reply.body['code']]).toEqual([422, 'max_time'])
    const late = await world.send('s5', script({ text: 'late but here', delayMs: 700 }), { ...wait, limits: { maxWallMs: 500 } })
    expect(late.body).toMatchObject({ status: 'done', output: 'late but here' })
    const gate = world.gate()
    const first = await begun(world, 's6', [{ text: 'first', gate: gate.file }])
    const waits = world.send('s6', 'queued', { ...wait, limits: { maxWallMs: 60_000 } })
    await until('it is queued', async () => (await runsOf(world, 's6')).length === 2)
    await world.sql(
      `update baton.runs set created_at = created_at - interval '1 hour', updated_at = updated_at - interval '1 hour' where state = 'queued'`,
    )
    await gate.open()
    expect((await waits).body).toMatchObject({ status: 'done' })
    await world.ended(first)
  })

  test.each(['maxSteps', 'maxTokens', 'maxWallMs', 'maxCostMicros'])('a %s of zero allows nothing', async (limit) => {
    const reply = await world.send(`z-${limit}`, script({ text: 'never', usage: { input: 1, output: 0 } }), {
      ...wait,
      limits: { [limit]: 0 },
    })
    expect([402, 422]).toContain(reply.status)
    expect(await modelCalls(runOf(reply))).toBe(0)
    expect(await world.run(runOf(reply))).toMatchObject({ costMicros: 0, modelCalls: 0 })
  })

  test('a maxToolCalls of zero allows no call', async () => {
    const reply = await world.send('z1', script(echo(1)), { ...wait, limits: { maxToolCalls: 0 } })
    expect(reply.body['code']).toBe('max_tool_calls')
  })

  test('a limit may only be lowered', async () => {
    const refused = await world.send('t1', 'hi', { ...wait, template: 'small', limits: { maxSteps: 4 } })
    expect([refused.status, refused.body['code'], refused.body['limit']]).toEqual([400, 'limit_above_template', 'maxSteps'])
    expect((await world.http('GET', '/api/agents/t1/runs')).body['data'] ?? []).toEqual([])
    expect((await world.send('t1', 'hi', { ...wait, template: 'small', limits: { maxSteps: 3 } })).status).toBe(200)
  })
})

describe.concurrent('money of a run', () => {
  test('invariant 9: the call that does not fit is refused before it is made; what fits to the micro-dollar is made', async () => {
    // 1,000 input tokens are 3,000 micro-dollars.
    const fits = await world.send('m1', script(echo(1), echo(2), { text: 'end', usage: { input: 1_000, output: 0 } }), {
      ...wait,
      limits: { maxCostMicros: 9_000 },
    })
    expect(fits.body).toMatchObject({ status: 'done', costMicros: 9_000, costUsd: 0.009 })
    const reply = await world.send('m2', script(echo(1), echo(2), { text: 'end', usage: { input: 1_000, output: 0 } }), {
      ...wait,
      limits: { maxCostMicros: 8_999 },
    })
    expect([reply.status, reply.body['code'], reply.body['costMicros']]).toEqual([402, 'budget_exceeded', 6_000])
    expect(await world.run(runOf(reply))).toMatchObject({ state: 'budget_exceeded', stopReason: 'budget_exceeded', modelCalls: 2 })
    expect(await modelCalls(runOf(reply))).toBe(2)
    expect(await booked(world, runOf(reply))).toHaveLength(2)
  })

  test('the first call of a run is reserved too', async () => {
    const reply = await world.send('m3', script({ text: 'no', usage: { input: 1_000, output: 0 } }), {
      ...wait,
      limits: { maxCostMicros: 2_999 },
    })
    expect([reply.status, reply.body['code'], await modelCalls(runOf(reply))]).toEqual([402, 'budget_exceeded', 0])
  })

  test('A67: a model without a price is refused before the call', async () => {
    const reply = await world.send('m4', 'hi', { ...wait, template: 'unpriced' })
    expect([reply.status, reply.body['code'], await modelCalls(runOf(reply))]).toEqual([402, 'price_unknown', 0])
    expect(await world.run(runOf(reply))).toMatchObject({ state: 'failed', stopReason: 'price_unknown' })
  })

  test('a call of no cost passes a limit that is used up', async () => {
    const reply = await world.send('m5', script({ text: 'free', usage: { input: 0, output: 0 } }), {
      ...wait,
      limits: { maxCostMicros: 0 },
    })
    expect(reply.body).toMatchObject({ status: 'done', costMicros: 0 })
  })
})

describe.concurrent('retry of an ended run', () => {
  const retry = (runId: string): ReturnType<World['http']> => world.http('POST', `/api/runs/${runId}/retry`)

  test('goes on from the committed history as a new run', async () => {
    // The script begins anew with the new run: it fails once more in the same place.
    const first = runOf(await world.send('n1', script(echo('kept'), { error: { status: 401 } }), wait))
    const before = await world.messages('n1')
    const reply = await retry(first)
    expect(reply.status).toBe(202)
    expect(reply.body).toMatchObject({ retryOf: first, cause: 'retry', state: 'running' })
    const second = await world.ended(runOf(reply))
    expect(second).toMatchObject({ state: 'failed', stopReason: 'provider_auth', modelCalls: 1 })
    expect((await world.messages('n1')).slice(0, before.length)).toEqual(before)
    expect((await world.messages('n1')).map((row) => row.role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'tool'])
  })

  test('is refused while the run is open, and where the history ends with an answer', async () => {
    const gate = world.gate()
    const open = await begun(world, 'n2', [{ gate: gate.file, text: 'done' }])
    expect([(await retry(open)).status, (await retry(open)).body['code']]).toEqual([409, 'run_open'])
    await gate.open()
    await world.ended(open)
    const reply = await retry(open)
    expect([reply.status, reply.body['code']]).toEqual([409, 'nothing_to_retry'])
    expect((await retry('run_00000000000000000000000000000000')).status).toBe(404)
  })

  test('behind another run that answers it is cancelled and tells nothing of that answer', async () => {
    const failed = runOf(await world.send('n3', script({ error: { status: 401 } }), wait))
    const gate = world.gate()
    const busy = await begun(world, 'n3', [{ gate: gate.file, text: 'the answer' }])
    const queued = runOf(await retry(failed))
    await gate.open()
    await world.ended(busy)
    const error = { code: 'nothing_to_retry' }
    expect(await world.ended(queued)).toMatchObject({ state: 'cancelled', output: null, error, modelCalls: 0, retryOf: failed })
  })
})

describe('the window', () => {
  test('moves at maxMessages to a later user message, says so, and the model sees no more', async () => {
    for (let turn = 1; turn <= 5; turn++)
      expect((await world.send('v1', script({ text: `answer ${turn}` }), { ...wait, template: 'brief' })).status).toBe(200)
    const moves = (await world.events('v1')).filter((event) => event.type === 'window_moved')
    expect(moves.length).toBeGreaterThan(0)
    const from = Number(moves.at(-1)?.['from'])
    const rows = await world.messages('v1')
    expect(rows.find((row) => row.seq === from)?.role).toBe('user')
    expect((await world.agent('v1')).windowFrom).toBe(from)
    expect(rows).toHaveLength(10)
  })

  test('never parts a call from its result', async () => {
    for (let turn = 1; turn <= 4; turn++)
      await world.send('v2', script(echo(turn), { text: `answer ${turn}` }), { ...wait, template: 'brief' })
    const rows = await world.messages('v2')
    const moves = (await world.events('v2')).filter((event) => event.type === 'window_moved')
    expect(moves.length).toBeGreaterThan(1)
    for (const move of moves) expect(rows.find((row) => row.seq === Number(move['from']))?.role).toBe('user')
  })

  test('moves at maxTokens, also before the first call of a run', async () => {
    const long = 'x'.repeat(1_500)
    for (let turn = 1; turn <= 3; turn++)
      expect((await world.send('v3', `${turn} ${long}`, { ...wait, template: 'narrow' })).status).toBe(200)
    const last = (await world.messages('v3')).findLast((row) => row.role === 'user')
    expect((await world.agent('v3')).windowFrom).toBe(last?.seq)
    for (const run of (await world.http('GET', '/api/agents/v3/runs')).body['data'] as { id: string }[]) {
      const rows = await booked(world, run.id)
      expect(rows.filter((row) => row.cost > 0)).toHaveLength(1)
    }
  })

  test('a prompt that is too long moves it once more and is repeated; the second time the run fails', async () => {
    await world.send('v4', 'earlier', wait)
    const once = await world.send('v4', script({ error: { status: 413, times: 1 }, text: 'fits now' }), wait)
    // The scripted model counts tries by attempt, which a moved window does not use up: it fails twice.
    expect([once.status, once.body['code']]).toEqual([422, 'context_too_long'])
    expect(await modelCalls(runOf(once))).toBe(2)
    const moved = (await world.events('v4')).filter((event) => event.type === 'window_moved')
    expect(moved).toHaveLength(1)
    expect(moved[0]?.['from']).toBe(3)
  })

  test('a plain 400 near the window counts as too long, one far from it does not', async () => {
    await world.send('v5', 'earlier', { ...wait, template: 'narrow' })
    const near = await world.send('v5', script({ error: { status: 400 }, usage: { input: 800, output: 1 } }), {
      ...wait,
      template: 'narrow',
    })
    expect([near.body['code'], await modelCalls(runOf(near))]).toEqual(['context_too_long', 2])
    const far = await world.send('v6', script({ error: { status: 400 }, usage: { input: 100, output: 1 } }), {
      ...wait,
      template: 'narrow',
    })
    expect([far.body['code'], await modelCalls(runOf(far))]).toEqual(['bad_request', 1])
  })

  test('keepFirst keeps the first message before it', async () => {
    for (let turn = 1; turn <= 6; turn++) await world.send('v7', script({ text: `answer ${turn}` }), { ...wait, template: 'kept' })
    await until('it has moved', async () => Number((await world.agent('v7')).windowFrom) > 1)
    expect((await world.events('v7')).filter((event) => event.type === 'window_moved').map((event) => Number(event['from']))).toSatisfy(
      (seqs: number[]) => seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] ?? 0)),
    )
    expect(await said(world, 'v7')).toHaveLength(12)
  })
})
