import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('A2: an idle agent answers', async () => {
  const reply = await world.send('a2', script({ text: 'Hello World' }), { prefer: 'wait=25' })
  expect(reply.status).toBe(200)
  expect(reply.body).toMatchObject({ status: 'done', output: 'Hello World' })
  expect((await world.agent('a2')).steps).toBeGreaterThan(0)
})
