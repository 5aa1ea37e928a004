import { EventSource } from 'eventsource'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('eventsource reads a run to its end, and is told by 204 not to come back', async () => {
  const sent = await world.http(
    'POST',
    '/api/agents/es/messages',
    { message: script({ text: 'Good day' }), template: 'scripted' },
    { prefer: 'respond-async' },
  )
  const { links, runId } = sent.body as { links: { events: string }; runId: string }
  const source = new EventSource(new URL(links.events, world.base()))
  const done = await new Promise<Record<string, unknown>>((resolve, reject) => {
    source.addEventListener('done', (event) => resolve(JSON.parse(event.data)))
    source.addEventListener('error', (event) => {
      if (event.code !== undefined) reject(new Error(`${event.code} ${event.message ?? ''}`))
    })
  })
  source.close()
  expect(done['runId']).toBe(runId)
  expect((await world.ended(runId)).output).toBe('Good day')
})
