import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

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
