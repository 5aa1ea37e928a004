import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { templates } from '#tests/approvals/acting'
import { compare } from '#tests/crash/differences'
import type { Point } from '#tests/crash/life'
import { startLives } from '#tests/crash/lives'
import { normal } from '#tests/crash/normal'
import { perform } from '#tests/crash/play'
import { scenarios } from '#tests/crash/plays'
import type { Scenario } from '#tests/crash/scenario'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import { unknownTables, type Snapshot } from '#tests/crash/snapshot'
import type { Stage } from '#tests/crash/stage'

const every = process.env['BATON_CRASH_ALL'] === '1'
/** With each death another one: of the process that takes over, just after its claim. */
const twice = process.env['BATON_CRASH_TWICE'] === '1'
/** Their outcome is unknown only before they are made: what follows them is the next call's death. */
const onlyBefore = new Set(['model', 'answer', 'tool'])

let stage: Stage
let receiver: Receiver
let turn = 0
const seen = { points: 0, reached: 0, equal: 0, differences: new Map<string, number>() }
beforeAll(async () => {
  receiver = await startReceiver()
  stage = await startLives(templates)
})
afterAll(async () => {
  await stage.close()
  await receiver.close()
  if (every)
    console.info(
      `${seen.points} points, ${seen.reached} reached, ${seen.equal} equal; differences ${JSON.stringify([...seen.differences])}`,
    )
})

/** A name of the same length for each performance, for what a run has cost may depend on it. */
const nameOf = (index: number): string => `s${String(index).padStart(2, '0')}-${String((turn += 1)).padStart(5, '0')}`

/** Every point of a performance: each call, before and after it. */
function pointsOf(calls: readonly string[]): Point[] {
  const counts = new Map<string, number>()
  return calls.flatMap((call) => {
    const nth = (counts.get(call) ?? 0) + 1
    counts.set(call, nth)
    return (['before', 'after'] as const).filter((at) => at === 'before' || !onlyBefore.has(call)).map((at) => ({ at, call, nth }))
  })
}

test('each table is compared, or it is said why not', async () => {
  expect(await unknownTables(stage.world)).toEqual([])
})

describe.each(scenarios.map((scenario, index) => ({ ...scenario, scenario, index })))(
  'invariants 1 to 12: $name',
  ({ scenario, index, points }) => {
    let clean: Snapshot
    let calls: readonly string[]
    beforeAll(async () => {
      const agent = nameOf(index)
      const outcome = await perform(stage, receiver, scenario, agent, [])
      expect(outcome.problems).toEqual([])
      clean = normal(outcome.left, agent)
      calls = outcome.calls
    })

    const next = ({ call }: Point): Point[] =>
      twice && call !== 'nothing'
        ? [{ at: 'after', call: 'baton_claim', nth: calls.filter((name) => name === 'baton_claim').length + 1 }]
        : []

    async function dies(point: Point): Promise<{ died: boolean; used: string[]; faults: string[] }> {
      const agent = nameOf(index)
      const { died, problems, left } = await perform(stage, receiver, scenario, agent, [point, ...next(point)]).catch((error: unknown) => {
        throw new Error(`${point.at} ${point.call} ${point.nth}`, { cause: error })
      })
      const { undocumented, used } = compare(clean, normal(left, agent))
      for (const [name, times] of Object.entries(used)) seen.differences.set(name, (seen.differences.get(name) ?? 0) + times)
      seen.points += 1
      seen.reached += Number(died)
      seen.equal += Number(died && Object.keys(used).length === 0)
      return {
        died,
        used: Object.keys(used),
        faults: [...problems, ...undocumented].map((what) => `${point.at} ${point.call} ${point.nth}: ${what}`),
      }
    }

    // What the points of every run say by their lists of differences, this says alone.
    test.runIf(every)('two performances without a death leave the same', async () => {
      expect(await dies({ at: 'before', call: 'nothing', nth: 1 })).toEqual({ died: false, used: [], faults: [] })
    })
    test.skipIf(every).each(points)('a death %s %s %i leaves what no death leaves, but for what is documented', async (at, call, nth) => {
      expect(await dies({ at, call, nth })).toMatchObject({ died: true, faults: [] })
    })
    test.runIf(every)('a death at each outward call', { timeout: 1_200_000 }, async () => {
      const faults: string[] = []
      for (const point of pointsOf(calls)) {
        const found = await dies(point).catch((error: unknown) => ({ faults: [String(error), String((error as Error).cause)] }))
        faults.push(...found.faults)
      }
      expect(faults).toEqual([])
    })
  },
)

test('invariant 8: a reader who has seen a text that was never stored is told to drop it', async () => {
  const index = scenarios.findIndex(({ name }) => name === 'a caller that streams')
  const dies: Point = { at: 'before', call: 'answer', nth: 1 }
  const outcome = await perform(stage, receiver, scenarios[index] as Scenario, nameOf(index), [dies])
  expect(outcome).toMatchObject({ died: true, problems: [] })
  expect(outcome.resets).toBeGreaterThan(0)
})
