import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('GET /api/health 200 with what was checked', async () => {
  const reply = await world.http('GET', '/api/health')
  expect(reply.status).toBe(200)
  expect(reply.body).toMatchObject({ healthy: true, checks: { database: { connected: true } } })
  expect(Date.parse(String(reply.body['checkedAt']))).not.toBeNaN()
})

test('GET /api/health/live 200', async () => {
  expect(await world.http('GET', '/api/health/live')).toMatchObject({ status: 200, body: { alive: true } })
})

test('every answer carries a request id and security headers; a request id that came in is kept', async () => {
  const own = await world.http('GET', '/api/agents', undefined, { 'x-request-id': 'mine-1' })
  expect(own.headers.get('x-request-id')).toBe('mine-1')
  for (const path of ['/api/agents', '/api/agents/nobody', '/api/nothing', '/api/health']) {
    const { headers } = await world.http('GET', path)
    expect(headers.get('x-request-id'), path).toBeTruthy()
    expect(headers.get('x-content-type-options'), path).toBe('nosniff')
    expect(headers.get('cache-control'), path).toBe('no-store')
  }
})

test('403 to a page of another origin and to a name that is not loopback', async () => {
  const foreign = await world.http('GET', '/api/agents', undefined, { origin: 'https://evil.example' })
  expect([foreign.status, foreign.body['code'], foreign.headers.get('access-control-allow-origin')]).toEqual([403, 'forbidden', null])
  const tunnel = await world.http('GET', '/api/agents', undefined, { 'x-forwarded-host': 'abc.tunnel.example' })
  expect([tunnel.status, tunnel.body['code']]).toEqual([403, 'forbidden'])
})
