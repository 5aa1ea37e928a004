import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('200 {status: "done", output} to {message} alone; a new agent gets the first template', async () => {
  const reply = await world.http('POST', '/api/agent/kode', { message: script({ text: 'Hello' }) })
  expect(reply.status).toBe(200)
  expect(reply.body).toMatchObject({ status: 'done', output: 'Hello', agentId: 'kode' })
  expect((await world.agent('kode')).template).toBe('basic')
})

test('202 {status: "processing", agentId} when it takes longer', async () => {
  const reply = await world.http('POST', '/api/agent/kode-slow', { message: script({ delayMs: 1_500, text: 'x' }) }, { prefer: 'wait=1' })
  expect(reply.status).toBe(202)
  expect(reply.body).toMatchObject({ status: 'processing', agentId: 'kode-slow' })
  expect(reply.headers.get('location')).toBe(`/api/runs/${String(reply.body['runId'])}`)
  expect((await world.ended(String(reply.body['runId']))).output).toBe('x')
})

test('200 under an idempotency key, once', async () => {
  const send = () => world.http('POST', '/api/agent/kode-key', { message: script({ text: 'once' }) }, { 'idempotency-key': 'kode' })
  const [first, second] = [await send(), await send()]
  expect(second.body).toEqual(first.body)
  expect(second.headers.get('idempotent-replayed')).toBe('true')
})

test('405 to GET, naming POST', async () => {
  const reply = await world.http('GET', '/api/agent/kode')
  expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'POST, OPTIONS'])
})
