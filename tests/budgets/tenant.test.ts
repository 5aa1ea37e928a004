import { afterAll, beforeAll, expect, test } from 'vitest'
import { toNextDay } from '#tests/day'
import { begun, runOf, runsOf, until, waiting } from '#tests/engine/helpers'
import { script, startWorld, type Answer, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
  await toNextDay(world, 300_000)
})
afterAll(() => world.close())

const put = (body: object): Promise<Reply> => world.http('PUT', '/api/budgets/tenant', body)
const tenant = async (): Promise<Record<string, unknown>> => (await world.http('GET', '/api/budgets/tenant?period=month')).body
const costing = (micros: number, more: Answer = {}) => ({ text: 'paid', usage: { input: micros / 3, output: 0 }, ...more })

test('by default a tenant has $100 for a UTC day', async () => {
  expect((await world.http('GET', '/api/budgets/tenant')).body).toMatchObject({
    limitMicros: 100_000_000,
    limitUsd: 100,
    source: 'default',
    period: 'day',
  })
})

test('A60: agents of one tenant on two processes share its budget', async () => {
  await put({ limitMicros: 10_000, period: 'month' })
  const replies = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      world.send(`p${index}`, script(costing(6_000, { delayMs: 300 })), { prefer: 'wait=25', server: index % 2 }),
    ),
  )
  expect(replies.map((reply) => reply.status).toSorted((a, b) => a - b)).toEqual([200, ...Array.from({ length: 7 }, () => 402)])
  for (const { body } of replies.filter((reply) => reply.status === 402))
    expect(body).toMatchObject({ code: 'budget_exceeded', scope: 'tenant' })
  expect(await tenant()).toMatchObject({ spentMicros: 6_000, reservedMicros: 0, remainingMicros: 4_000 })
})

test('a queue stands still while the budget that all share is used up, and goes on when the limit is raised', async () => {
  await put({ limitMicros: 16_000, period: 'month' })
  const gate = world.gate()
  const first = await begun(world, 'q', [costing(6_000, { gate: gate.file })])
  // One after the other: two at once come in any order.
  const queued = [await world.send('q', script(costing(6_000)), { prefer: 'respond-async' })]
  queued.push(await world.send('q', script(costing(6_000)), { prefer: 'respond-async' }))
  expect(queued.map((reply) => reply.status)).toEqual([202, 202])
  await gate.open()
  await world.ended(first)
  const [second] = queued.map(runOf)
  await waiting(world, second ?? '')
  expect(await world.run(second ?? '')).toMatchObject({
    state: 'waiting',
    wait: { kind: 'budget' },
    costMicros: 0,
    explain: expect.stringContaining('budget'),
  })
  expect((await runsOf(world, 'q')).map((run) => run.state)).toEqual(['completed', 'waiting', 'queued'])
  // It looks by itself, too, whoever may have failed to wake it.
  const [wait] = await world.sql<{ ms: number }>(
    'select baton.millis(due_at - baton.clock())::integer as ms from baton.runs where run_id = $1',
    [second],
  )
  expect(wait?.ms).toBeGreaterThan(0)
  expect(wait?.ms).toBeLessThanOrEqual(3_600_000)
  await put({ limitMicros: 24_000, period: 'month' })
  for (const reply of queued) expect(await world.ended(runOf(reply))).toMatchObject({ state: 'completed', costMicros: 6_000 })
  expect(await tenant()).toMatchObject({ spentMicros: 24_000, remainingMicros: 0 })
  const used = await world.send('late', script(costing(3)), { prefer: 'respond-async' })
  expect([used.status, used.body['code'], used.body['scope']]).toEqual([402, 'budget_exceeded', 'tenant'])
})

test('a run that waits for room goes on when the period turns', async () => {
  await put({ limitMicros: 30_000, period: 'month' })
  const reply = await world.send('turn', script(costing(9_000)), { prefer: 'respond-async' })
  await waiting(world, runOf(reply))
  await world.advance(32 * 86_400_000)
  expect(await world.ended(runOf(reply))).toMatchObject({ state: 'completed', costMicros: 9_000 })
  await until('the new month has its own count', async () => (await tenant())['spentMicros'] === 9_000)
})
