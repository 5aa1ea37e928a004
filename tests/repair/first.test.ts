import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const first: [string, string, unknown, number][] = [
  ['PUT', '/api/retention', { eventDays: 7 }, 200],
  ['PUT', '/api/limits/tenant', { messagesPerMinute: 100 }, 200],
  ['POST', '/api/keys', { name: 'first', scopes: ['admin'] }, 201],
  ['POST', '/api/webhooks', { url: 'http://127.0.0.1:9/hook' }, 201],
  ['POST', '/api/agents', { id: 'first', template: 'scripted' }, 201],
  ['POST', '/api/agents/first/messages', { message: 'hi', template: 'scripted' }, 200],
]
test.each(first)('%s %s may be the first thing that is asked of a new deployment', async (method, path, body, status) => {
  await world.sql('truncate baton.tenants cascade')
  expect((await world.http(method, path, body)).status).toBe(status)
  expect(await world.sql('select id from baton.tenants')).toEqual([{ id: 'ten_local' }])
})
