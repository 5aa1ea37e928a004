import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CrashPoint } from '#local/crash'
import { crashAt } from '#tests/crash/explorer'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import { allCalls, scenarios } from '#tests/crash/scenarios'
import { startWorld, type World } from '#tests/world'

const every = process.env['BATON_CRASH_ALL'] === '1'
/** No scenario calls anything oftener. */
const mostCalls = 12

let world: World
let receiver: Receiver
let turn = 0
beforeAll(async () => {
  receiver = await startReceiver()
  world = await startWorld({ servers: 2, env: { BATON_SWEEP_EVERY: '1s', BATON_HASTE: '100' } })
})
afterAll(async () => {
  await world.close()
  await receiver.close()
})

async function die(index: number, at: CrashPoint['at'], call: string, nth: number): Promise<boolean> {
  turn += 1
  const agent = `c${turn}-${index}-${at}-${call}-${nth}`
  const scenario = scenarios(agent)[index]
  if (scenario === undefined) throw new Error(`no scenario ${index}`)
  const { reached, runs, problems } = await crashAt(world, receiver, scenario, agent, { at, call, nth, times: 1 }, turn % 2)
  expect(problems).toEqual([])
  for (const run of runs) expect(run).toMatchObject({ state: 'completed', output: 'finished' })
  return reached
}

describe.each(scenarios('').map((scenario, index) => ({ ...scenario, index })))('invariants 3 to 5, 7 to 9: $name', ({ index, points }) => {
  describe.runIf(every).each(allCalls)('dies at each %s', (call) => {
    test.each(['before', 'after'] as const)('%s it', { timeout: 600_000 }, async (at) => {
      for (let nth = 1; nth <= mostCalls; nth++) if (!(await die(index, at, call, nth))) return
    })
  })
  test.skipIf(every).each(points)('survives a death %s %s %i', async (at, call, nth) => {
    expect(await die(index, at, call, nth), 'the point was reached').toBe(true)
  })
})
