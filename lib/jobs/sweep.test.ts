import { expect, test } from 'vitest'
import type { Store } from '#lib/core/pages'
import type { OutboxRow } from '#lib/core/ports'
import { testServices } from '#lib/http/services.fixture'
import { createSweeper } from '#lib/jobs/sweep'

type Request = Parameters<Store['sweep']>[0]

const row = (at: number): OutboxRow => ({ id: `out_${at}`, kind: 'continue', data: { tenantId: 't' }, dueInMs: 0 })

/** A sweeper before a database that holds so many rows, of which a round that takes `roundMs` gives three; Inngest takes them, or not. */
function setUp(
  rows: number,
  { roundMs = 1, taken = true, ending = (): boolean => false, othersSweepAfter = Number.POSITIVE_INFINITY } = {},
) {
  let now = 0
  let held = Array.from({ length: rows }, (_, at) => row(at))
  let dispatched: OutboxRow[] = []
  const requests: Request[] = []
  const sent: string[] = []
  const { config, clock, log } = testServices({ maxDurationMs: 60_000, sweepEveryMs: 300_000, haste: 1 })
  const sweep = createSweeper({
    config,
    log,
    ending,
    clock: { ...clock, monotonic: () => now },
    alerts: { tell: () => Promise.resolve() },
    dispatch: (some) => {
      dispatched.push(...some)
      sent.push(...some.map(({ id }) => id))
    },
    settled: () => {
      if (taken) held = held.filter(({ id }) => !dispatched.some((gone) => gone.id === id))
      dispatched = []
      return Promise.resolve()
    },
    store: {
      sweep: (request) => {
        requests.push(request)
        now += roundMs
        const swept = requests.length <= othersSweepAfter
        const outbox = swept ? held.slice(0, 3) : []
        return Promise.resolve({ swept, outbox, alerts: [], more: outbox.length === 3, at: `round ${requests.length}` })
      },
    },
  })
  return { sweep, requests, sent, advance: (ms: number) => (now += ms) }
}

test('a backlog goes round after round, each of which follows the one before it', async () => {
  for (const from of ['cron', 'beside'] as const) {
    const { sweep, requests, sent } = setUp(8)
    expect(await sweep(from)).toEqual({ swept: true, sent: 8 })
    expect(sent).toEqual(Array.from({ length: 8 }, (_, at) => `out_${at}`))
    expect(requests.map(({ after }) => after)).toEqual([undefined, 'round 1', 'round 2'])
    // What may be on the way already is sent anew by the first round alone, unless there is room.
    expect(requests.map(({ resends }) => resends?.least)).toEqual([10, 0, 0])
  }
})

test('while Inngest takes nothing, a sweep tries once', async () => {
  const { sweep, requests, sent } = setUp(8, { taken: false })
  expect(await sweep('beside')).toEqual({ swept: true, sent: 3 })
  expect([requests.length, sent]).toEqual([2, ['out_0', 'out_1', 'out_2']])
})

test('beside a request it takes two seconds, with the clock a third of its function', async () => {
  for (const [from, rounds] of [
    ['beside', 3],
    ['cron', 21],
  ] as const) {
    const { sweep, requests } = setUp(1_000, { roundMs: 990 })
    await sweep(from)
    expect({ from, rounds: requests.length }).toEqual({ from, rounds })
  }
})

test('it ends with its process, and where somebody else has swept meanwhile', async () => {
  const dying = setUp(1_000, { ending: () => true })
  await dying.sweep('cron')
  expect(dying.requests).toHaveLength(1)
  const overtaken = setUp(1_000, { othersSweepAfter: 2 })
  expect(await overtaken.sweep('cron')).toEqual({ swept: true, sent: 6 })
})

test('what is sent and not taken is sent at least once a sweep period, also where the next tick comes a little early', async () => {
  const { sweep, requests } = setUp(0)
  await sweep('cron')
  expect(requests).toMatchObject([{ everyMs: 150_000, resendMs: 10_000, longestMs: 240_000, maxFormat: 1 }])
})

test('beside a request the database is swept every ten seconds over all processes, and little is sent anew', async () => {
  const asked = { resendMs: 10_000, limit: 100, environment: 'test' }
  for (const [from, everyMs, most] of [
    ['beside', 10_000, 10],
    ['cron', 150_000, 100],
  ] as const) {
    const { sweep, requests } = setUp(0)
    await sweep(from)
    expect(requests).toMatchObject([{ ...asked, from, everyMs, resends: { least: 10, most } }])
  }
})

test('a busy process asks the database every ten seconds, the clock always', async () => {
  const { sweep, requests, advance } = setUp(0)
  for (const from of ['beside', 'beside', 'cron'] as const) await sweep(from)
  advance(10_000)
  await sweep('beside')
  expect(requests.map(({ from }) => from)).toEqual(['beside', 'cron', 'beside'])
})
