import { afterAll, beforeAll, expect, test } from 'vitest'
import { runOf, until } from '#tests/engine/helpers'
import { setSwitch } from '#tests/kill/helpers'
import { script, startWorld, type World } from '#tests/world'

// With a lease of ten minutes the first heartbeat would come after more than three: only a signal tells an executor sooner.
let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2, env: { BATON_LEASE_MS: '600000' } })
})
afterAll(() => world.close())

test.each([
  ['of its agent', () => 'agent:signal-1'],
  ['of its tenant', () => 'tenant'],
])('a kill %s reaches the executor in another process by a signal, long before its next heartbeat', async (_what, scopeOf) => {
  const scope = scopeOf()
  const agent = scope === 'tenant' ? 'signal-2' : 'signal-1'
  const sent = world.send(agent, script({ text: 'never', gate: world.gate().file }), { prefer: 'wait=50', server: 0 })
  await until('it is in its model call', async () => (await world.effects()).some((line) => line.agentId === agent))
  await setSwitch(world, scope, { server: 1 })
  const reply = await sent
  expect(reply).toMatchObject({ status: 423, body: { code: 'killed' } })
  expect(await world.run(runOf(reply))).toMatchObject({ state: 'killed' })
})
