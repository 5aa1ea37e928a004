import { afterAll, beforeAll, expect, test } from 'vitest'
import { runOf, runsOf } from '#tests/engine/helpers'
import { lift, setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

/** A run that the provider's refusal ends, as an outage of its keys would. */
async function failing(agent: string, status = 401): Promise<string> {
  const runId = runOf(await world.send(agent, script({ error: { status } }), { prefer: 'wait=25' }))
  expect(await world.ended(runId)).toMatchObject({ state: 'failed' })
  return runId
}

const retry = (body: unknown, key?: string): Promise<Reply> =>
  world.http('POST', '/api/runs/retry', body, key === undefined ? {} : { 'idempotency-key': key })
const data = (reply: Reply) => reply.body['data'] as { runId: string; newRunId?: string; code?: string; scope?: string }[]

test('retries the newest failed run of each agent and nothing else', async () => {
  const older = await failing('m-a')
  const newest = await failing('m-a')
  const other = await failing('m-b', 400)
  await failing('m-well')
  const well = runOf(await world.send('m-well', 'hi', { prefer: 'wait=25' }))
  const reply = await retry({ filter: { template: 'scripted' } })
  expect(reply.status).toBe(200)
  expect(data(reply).map((entry) => entry.runId)).toEqual([other, newest])
  expect(reply.body['retried']).toBe(2)
  for (const { runId, newRunId } of data(reply))
    expect(await world.ended(String(newRunId))).toMatchObject({ retryOf: runId, cause: 'retry', state: 'failed' })
  expect((await runsOf(world, 'm-a')).filter((run) => run.id === older || run.id === newest)).toHaveLength(2)
  expect((await runsOf(world, 'm-well')).at(-1)?.id).toBe(well)
})

test('a filter by reason, time and number; what does not fit is left alone', async () => {
  await failing('m-filter', 400)
  const since = new Date(Date.now() - 3_600_000).toISOString()
  expect(data(await retry({ filter: { stopReason: 'provider_quota' } }))).toEqual([])
  expect(data(await retry({ filter: { stopReason: 'bad_request', to: since } }))).toEqual([])
  expect(data(await retry({ filter: { state: 'killed' } }))).toEqual([])
  const reply = await retry({ filter: { stopReason: 'bad_request', from: since }, limit: 1 })
  expect(data(reply)).toHaveLength(1)
})

test('the same Idempotency-Key answers with the same runs and starts none; another body is refused', async () => {
  await failing('m-key')
  const first = await retry({ limit: 1 }, 'bulk-1')
  const [entry] = data(first)
  await world.ended(String(entry?.newRunId))
  // The retry has failed as well: only the key tells that this is the same wish.
  const again = await retry({ limit: 1 }, 'bulk-1')
  expect(again.headers.get('idempotent-replayed')).toBe('true')
  expect(data(again).map(({ runId, newRunId }) => [runId, newRunId])).toEqual([[entry?.runId, entry?.newRunId]])
  expect(await runsOf(world, 'm-key')).toHaveLength(2)
  expect(await retry({ limit: 2 }, 'bulk-1')).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
})

test('where a kill stands the answer says so, and the others are retried', async () => {
  const killed = await failing('m-killed')
  const fine = await failing('m-fine')
  await setSwitch(world, 'agent:m-killed', { server: 0 })
  const found = data(await retry({ limit: 2 }))
  expect(found.find((entry) => entry.runId === killed)).toEqual({ runId: killed, code: 'killed', scope: 'agent:m-killed' })
  expect(found.find((entry) => entry.runId === fine)?.newRunId).toMatch(/^run_/)
  await lift(world, 'agent:m-killed', 0)
})

test('bad filters are refused', async () => {
  for (const body of [
    { filter: { state: 'completed' } },
    { filter: { state: 'running' } },
    { filter: { agent: 'x' } },
    { filter: { from: 'yesterday' } },
    { limit: 0 },
    { limit: 101 },
    { limits: 5 },
  ])
    expect(await retry(body)).toMatchObject({ status: 400, body: { code: 'validation' } })
})
