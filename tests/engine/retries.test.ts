import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { begun, booked, runOf, until, waiting } from '#tests/engine/helpers'
import { script, startWorld, type Answer, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({
    real: ['models'],
    env: {
      ...localTemplates({
        templates: [
          { id: 'gated', model: 'local/gated' },
          { id: 'gated-too', model: 'local/gated' },
          { id: 'limited', model: 'local/limited' },
          { id: 'falling', model: 'openai/gpt-5-mini', fallback: ['local/second'] },
          { id: 'falling-unpriced', model: 'openai/gpt-5-mini', fallback: ['compatible/unpriced'] },
        ],
      }),
      // Nobody listens there: every call fails as unavailable.
      OPENAI_API_KEY: 'test',
      OPENAI_BASE_URL: 'http://127.0.0.1:9/v1',
    },
  })
})
afterAll(() => world.close())

async function retries(agent: string): Promise<Record<string, unknown>[]> {
  return (await world.events(agent)).filter((event) => event.type === 'retry')
}
const calls = async (runId: string): Promise<number> => (await world.effects({ runId })).filter((line) => line.kind === 'model').length
/** Slices that the executor has at work now. */
async function slicesAtWork(): Promise<unknown> {
  const response = await fetch(`${world.stack.info.inngestUrl}/state`)
  return ((await response.json()) as Record<string, unknown>)['running']
}
const failing = (status: number, times?: number, more: Answer = {}): Answer => ({
  error: { status, ...(times === undefined ? {} : { times }) },
  text: 'at last',
  ...more,
})

describe.concurrent('retries', () => {
  test('A54: 500 four times: four tries with growing pauses, then failed provider_unavailable; the caller gets 502', async () => {
    const reply = await world.send('r1', script(failing(500)), { prefer: 'wait=25' })
    expect(reply.status).toBe(502)
    expect(reply.body).toMatchObject({ code: 'provider_unavailable', final: true, retryable: false, state: 'failed' })
    expect(reply.headers.get('x-should-retry')).toBe('false')
    expect(await calls(runOf(reply))).toBe(4)
    const delays = (await retries('r1')).map((event) => Number(event['delayMs']))
    expect(delays).toHaveLength(3)
    // Local mode hurries ten times: 100, 200, 400 ms, a fifth more or less.
    for (const [index, delay] of delays.entries())
      expect(delay / (100 * 2 ** index)).toSatisfy((ratio: number) => ratio >= 0.8 && ratio <= 1.21)
    expect((await booked(world, runOf(reply))).map((row) => row.cost)).toEqual([0, 0, 0, 0])
  })

  test('A54: three failures and then an answer: the caller notices nothing', async () => {
    const reply = await world.send('r2', script(failing(503, 3)), { prefer: 'wait=25' })
    expect(reply.body).toMatchObject({ status: 'done', output: 'at last' })
    expect(await world.run(runOf(reply))).toMatchObject({ attempt: 0, error: null, slices: 1 })
  })

  test.each([
    [401, 'provider_auth', 502],
    [402, 'provider_quota', 502],
    [404, 'model_not_found', 502],
    [400, 'bad_request', 502],
    [413, 'context_too_long', 422],
  ])('A54: %i fails at once as %s', async (status, code, answered) => {
    const reply = await world.send(`r3-${status}`, script(failing(status)), { prefer: 'wait=25' })
    expect([reply.status, reply.body['code'], await calls(runOf(reply))]).toEqual([answered, code, 1])
    expect(await world.run(runOf(reply))).toMatchObject({ state: 'failed', stopReason: code, error: { code } })
  })

  test('a retry-after that fits is waited for in the process, never less', async () => {
    const began = Date.now()
    const reply = await world.send('r4', script({ error: { status: 503, times: 1, retryAfter: 1.2 }, text: 'ok' }), { prefer: 'wait=25' })
    expect(reply.body).toMatchObject({ status: 'done', output: 'ok' })
    expect(Date.now() - began).toBeGreaterThanOrEqual(1_200)
    expect(Number((await retries('r4'))[0]?.['delayMs'])).toBeGreaterThanOrEqual(1_200)
    expect((await world.run(runOf(reply))).slices).toBe(1)
  })

  test('a stream that breaks is repeated, and its call is booked as estimated', async () => {
    const reply = await world.send('r5', script({ chunks: ['a', 'b', 'c'], cutAfterChunks: 1, usage: { input: 1_000, output: 0 } }), {
      prefer: 'wait=25',
    })
    expect(reply.body).toMatchObject({ output: 'abc', costMicros: 6_000 })
    expect(await booked(world, runOf(reply))).toEqual([
      { state: 'estimated', micros: 3_000, cost: 3_000 },
      { state: 'settled', micros: 3_000, cost: 3_000 },
    ])
  })

  test('when its retries are used up the next model answers, and the run stays with it', async () => {
    const reply = await world.send('f1', script({ tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'from the second' }), {
      template: 'falling',
      prefer: 'wait=25',
    })
    expect(reply.body).toMatchObject({ status: 'done', output: 'from the second' })
    const models = (await world.effects({ runId: runOf(reply) })).filter((line) => line.kind === 'model').map((line) => line.name)
    expect(models).toEqual([...Array<string>(4).fill('openai/gpt-5-mini'), 'local/second', 'local/second'])
    expect((await retries('f1')).at(-1)).toMatchObject({ model: 'local/second', fallback: true, code: 'provider_unavailable' })
    await booked(world, runOf(reply))
  })

  test('A67: a fallback without a price is refused by that name', async () => {
    const reply = await world.send('f2', 'hi', { template: 'falling-unpriced', prefer: 'wait=25' })
    expect([reply.status, reply.body['code']]).toEqual([402, 'price_unknown'])
    expect((await world.effects({ runId: runOf(reply) })).map((line) => line.name)).not.toContain('compatible/unpriced')
  })
})

describe('a wait that does not fit', () => {
  test('is handed over: waiting, no function runs, nothing stays reserved; attempts go on where they were', async () => {
    const twice = script({ error: { status: 503, times: 2, retryAfter: 600 }, text: 'at last', usage: { input: 1_000, output: 1_000 } })
    const reply = await world.send('h1', twice, { prefer: 'wait=20' })
    expect(reply.status).toBe(202)
    expect(reply.body).toMatchObject({ status: 'processing', run: { state: 'waiting' } })
    const runId = runOf(reply)
    const run = await world.run(runId)
    expect(run).toMatchObject({
      wait: { kind: 'retry' },
      lease: null,
      attempt: 1,
      reservedMicros: 0,
      costMicros: 0,
      error: { code: 'provider_unavailable' },
    })
    expect(run.explain).toContain('waits (retry)')
    await until('no function runs', async () => (await slicesAtWork()) === 0)
    expect((await world.agent('h1')).state).toBe('working')
    // Ten minutes are the least it waits; how much of them has gone by here depends on the machine.
    await world.advance(500_000)
    expect(await world.run(runId)).toMatchObject({ state: 'waiting', attempt: 1 })
    await world.advance(300_000)
    await until('the second wait', async () => (await world.run(runId)).attempt === 2)
    await waiting(world, runId)
    await world.advance(800_000)
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'at last', costMicros: 18_000 })
    expect(await calls(runId)).toBe(3)
    expect((await retries('h1')).map((event) => event['attempt'])).toEqual([1, 2])
    expect((await booked(world, runId)).filter((row) => row.cost > 0)).toEqual([{ state: 'settled', micros: 18_000, cost: 18_000 }])
  })

  test('attempts survive a crash: no more than four tries count', async () => {
    const gate = world.gate()
    await gate.open()
    const runId = await begun(world, 'h2', [{ error: { status: 503, retryAfter: 600 }, gate: gate.file }])
    for (const attempt of [1, 2]) {
      await until(`attempt ${attempt}`, async () => (await world.run(runId)).attempt === attempt)
      await waiting(world, runId)
      if (attempt === 2) break
      await world.advance(800_000)
    }
    const before = await calls(runId)
    await rm(gate.file)
    await world.advance(800_000)
    await until('the third try', async () => (await calls(runId)) > before)
    await world.stack.kill('server-0')
    await gate.open()
    await world.stack.waitReady('server-0')
    await until('attempt 3', async () => (await world.run(runId)).attempt === 3, 40_000)
    await waiting(world, runId)
    await world.advance(800_000)
    expect(await world.ended(runId)).toMatchObject({ state: 'failed', stopReason: 'provider_unavailable' })
    // Four tries that counted and the one that died.
    expect(await calls(runId)).toBe(5)
  })
})

test('a run that is handed over again and again without an end fails as step_too_long', async () => {
  const runId = await begun(world, 'h3', [{ error: { status: 503, times: 1, retryAfter: 600 }, text: 'never' }])
  await waiting(world, runId)
  await world.sql('update baton.runs set slices = 5000 where run_id = $1', [runId])
  await world.advance(900_000)
  expect(await world.ended(runId)).toMatchObject({ state: 'failed', stopReason: 'step_too_long' })
  expect(await calls(runId)).toBe(1)
})

describe("a provider's 429", () => {
  test('closes the gate of its model for all: opened and claimed runs wait without a retry counted, other models go on', async () => {
    const first = await begun(world, 'g1', [{ error: { status: 429, times: 1, retryAfter: 900 }, text: 'one' }], { template: 'gated' })
    await waiting(world, first)
    const [gate] = await world.sql<{ model: string; ms: string }>(
      `select model, extract(epoch from until - baton.clock()) * 1000 as ms from baton.gates`,
    )
    expect(gate?.model).toBe('local/gated')
    expect(Number(gate?.ms)).toBeGreaterThan(800_000)

    const opened = await world.send('g2', script({ text: 'two' }), { template: 'gated-too', prefer: 'wait=20' })
    expect(opened.body).toMatchObject({ status: 'processing', run: { state: 'waiting' } })
    const claimed = runOf(await world.send('g3', script({ text: 'three' }), { template: 'gated', prefer: 'respond-async' }))
    await waiting(world, claimed)
    for (const runId of [runOf(opened), claimed]) {
      expect(await world.run(runId)).toMatchObject({
        attempt: 0,
        modelCalls: 0,
        wait: { kind: 'retry' },
        error: null,
        reservedMicros: 0,
        costMicros: 0,
      })
      expect(await calls(runId)).toBe(0)
    }
    expect((await retries('g3'))[0]).toMatchObject({ gate: true, attempt: 0, model: 'local/gated' })
    expect((await world.send('g4', 'hi', { prefer: 'wait=20' })).status).toBe(200)

    // 900 s with the spread of the retry and that of the gate on top.
    await world.advance(1_400_000)
    for (const runId of [first, runOf(opened), claimed]) {
      expect(await world.ended(runId)).toMatchObject({ state: 'completed' })
      await booked(world, runId)
    }
    expect(await calls(first)).toBe(2)
  })

  test('reaches a slice at work with its next commit', async () => {
    const gate = world.gate()
    const busy = await begun(world, 'g5', [{ tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }] }, { text: 'late' }], {
      template: 'limited',
      tool: 'wait',
    })
    const other = await begun(world, 'g6', [{ error: { status: 429, times: 1, retryAfter: 900 } }], { template: 'limited' })
    await waiting(world, other)
    await gate.open()
    await waiting(world, busy)
    expect(await world.run(busy)).toMatchObject({ attempt: 0, step: 1 })
    expect(await calls(busy)).toBe(1)
    await world.advance(1_200_000)
    expect(await world.ended(busy)).toMatchObject({ output: 'late' })
    await world.ended(other)
  })
})

test('A50: a step that the database refuses every time ends the run, and nothing of the step is visible; retry goes on from there', async () => {
  const message = script({ tools: [{ name: 'echo', input: { value: 'a' } }] }, { text: 'unstorable' }, { text: 'storable' })
  // The user's own message holds the word too: the constraint looks at answers only.
  await world.sql(
    `alter table baton.messages add constraint test_refuses check (role <> 'assistant' or content::text not like '%unstorable%') not valid`,
  )
  const reply = await world.send('refused', message, { prefer: 'wait=25' })
  expect(reply.status).toBe(500)
  expect(reply.body).toMatchObject({ code: 'internal_error', state: 'failed', retryable: false })
  const run = await world.run(String(reply.body['runId']))
  expect(run).toMatchObject({ state: 'failed', stopReason: 'internal_error', crashes: 0, reservedMicros: 0, lease: null })
  expect((await world.messages('refused')).map(({ role }) => role)).toEqual(['user', 'assistant', 'tool'])
  expect((await world.events('refused')).filter(({ type }) => type === 'text_end' || type === 'done').map(({ type }) => type)).toEqual([
    'done',
  ])

  await world.sql(`alter table baton.messages drop constraint test_refuses`)
  const again = await world.http('POST', `/api/runs/${run.id}/retry`)
  expect(again.status).toBe(202)
  expect(await world.ended(String(again.body['id']))).toMatchObject({ state: 'completed', retryOf: run.id })
})
