import { afterAll, beforeAll, expect, test } from 'vitest'
import { is } from '#tests/live/follower'
import { letters, readingOf, runOf, slow } from '#tests/live/reading'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  // Short leases: who takes over comes soon. Streams live as long as in production, so that only a death breaks them.
  world = await startWorld({ servers: 2, env: { BATON_LEASE_MS: '3000' } })
})
afterAll(() => world.close())

const { follow, post, readToEnd } = readingOf(() => world)

test('invariant 3: the server is killed in the middle of a text: the new attempt takes the place of what readers elsewhere had', async () => {
  await world.send('killed', script({ text: 'warm' }), { prefer: 'wait=25', server: 1 })
  const gate = world.gate()
  const near = await post('killed', [{ ...slow(15, 50), gate: gate.file }], 0)
  const runId = await runOf(near)
  const far = await follow(`/api/runs/${runId}/events`, 1)
  await far.untilText('part3 ')
  await world.stack.kill('server-0')
  expect(await near.end).toBe('broken')
  await gate.open()
  await far.until(is('resumed'))
  await far.until(is('step_reset'))
  const shown = far.types()
  expect(shown.indexOf('resumed')).toBeLessThan(shown.lastIndexOf('step_reset') + 2)
  await readToEnd(`/api/runs/${runId}/events`, far.client, far, [1])
  await readToEnd(`/api/runs/${runId}/events`, near.client, near, [1, 0])
  await world.stack.waitReady('server-0')
  for (const reader of [near, far])
    expect(reader.client.ids).toEqual(
      (await world.events('killed')).map(({ seq }) => seq).filter((seq) => seq >= (near.client.ids[0] ?? 0)),
    )
  const run = await world.run(runId)
  expect(run).toMatchObject({ state: 'completed', output: letters(15).join('') })
  expect(run.slices).toBeGreaterThan(1)
})

test('a client of a killed server reconnects to the restarted one and gets the rest', async () => {
  const gate = world.gate()
  const second = { ...slow(10, 50), gate: gate.file }
  const reader = await post('restarted', [{ tools: [{ name: 'echo', input: { value: 1 } }], text: 'one' }, second], 1)
  const runId = await runOf(reader)
  await reader.untilText('part2 ')
  await world.stack.kill('server-1')
  await gate.open()
  await readToEnd(`/api/runs/${runId}/events`, reader.client, reader, [1])
  await world.stack.waitReady('server-1')
  expect(reader.client.ids).toEqual((await world.events('restarted')).map(({ seq }) => seq))
})

test('SIGTERM breaks the streams at once, and the run goes on elsewhere', async () => {
  const gate = world.gate()
  const first = { ...slow(5, 50), gate: gate.file, tools: [{ name: 'wait', input: { ms: 50 } }] }
  const reader = await post('sigterm', [first, slow(10, 50)], 0)
  const runId = await runOf(reader)
  await reader.untilText('part1 ')
  const ended = world.stack.kill('server-0', 'SIGTERM')
  // Though the step in hand has not ended, and may not yet.
  expect(await reader.end).toBe('broken')
  await gate.open()
  await readToEnd(`/api/runs/${runId}/events`, reader.client, reader, [1])
  await ended
  await world.stack.waitReady('server-0')
  expect(reader.client.ids).toEqual((await world.events('sigterm')).map(({ seq }) => seq))
  expect(await world.run(runId)).toMatchObject({ state: 'completed' })
})
