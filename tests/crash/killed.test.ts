import { afterAll, beforeAll, expect, test } from 'vitest'
import { templates } from '#tests/approvals/acting'
import { compare } from '#tests/crash/differences'
import type { Point } from '#tests/crash/life'
import { normal } from '#tests/crash/normal'
import { perform } from '#tests/crash/play'
import { scenarios } from '#tests/crash/plays'
import { startProcesses } from '#tests/crash/processes'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import type { Stage } from '#tests/crash/stage'

/* The explorer's deaths are simulated; these are SIGKILLs of real servers, held to the same comparison. */

let stage: Stage
let receiver: Receiver
beforeAll(async () => {
  receiver = await startReceiver()
  stage = await startProcesses(templates)
})
afterAll(async () => {
  await stage.close()
  await receiver.close()
})

const kills: readonly (readonly [string, Point['at'], string, number])[] = [
  ['a plain turn', 'after', 'baton_open', 1],
  ['tools of each class in parallel', 'before', 'tool', 2],
  ['a once tool, then another step', 'before', 'baton_commit', 2],
  ['an approval', 'after', 'baton_decide', 1],
  ['a hand-off', 'after', 'baton_claim', 1],
  ['a webhook', 'before', 'baton_record_delivery', 1],
  ['a kill', 'after', 'baton_set_switch', 1],
]

test.each(kills)('%s: SIGKILL %s %s %i leaves what no death leaves, but for what is documented', async (name, at, call, nth) => {
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  const place = `${scenarios.indexOf(scenario)}`.padStart(2, '0')
  const clean = await perform(stage, receiver, scenario, `k${place}-clean`, [])
  expect(clean.problems).toEqual([])
  const { died, problems, left } = await perform(stage, receiver, scenario, `k${place}-crash`, [{ at, call, nth }])
  expect(died, 'the point was reached').toBe(true)
  expect(problems).toEqual([])
  expect(compare(normal(clean.left, `k${place}-clean`), normal(left, `k${place}-crash`)).undocumented).toEqual([])
})
