import { expect, test } from 'vitest'
import type { RunId } from '#lib/core/ids'
import { agentUid, clockAhead, clockWithoutRounds, runId, startProcess, startRedis, until } from './live.fixtures.ts'

test('a halt of everybody reaches the executors of every process', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url, { clock: clockWithoutRounds() }), startProcess(redis.url)]
  const halts: string[] = []
  one.onHalt(agentUid, (run) => halts.push(`one ${run}`))
  one.onHalt('agent-2', (run) => halts.push(`one-2 ${run}`))
  two.onHalt('agent-3', (run) => halts.push(`two ${run}`))
  const telling = two.haltAll()
  // The caller's own process needs no Redis for it.
  expect(halts).toEqual(['two null'])
  await telling
  await expect.poll(() => halts.toSorted(), until).toEqual(['one null', 'one-2 null', 'two null'])
})

test('who begins to listen just after a halt is told it, once the caller has its way to end; later nobody is', async () => {
  const clock = clockAhead()
  const live = startProcess(null, { clock })
  const halts: (RunId | null)[] = []
  await live.halt({ agentUid, runId })
  await live.haltAll()
  live.onHalt(agentUid, (run) => halts.push(run))
  live.onHalt('agent-2', (run) => halts.push(run))
  expect(halts).toEqual([])
  await Promise.resolve()
  expect(halts).toEqual([runId, null, null])
  clock.forward(5_000)
  live.onHalt(agentUid, (run) => halts.push(run))
  await Promise.resolve()
  expect(halts).toHaveLength(3)
})

test('a halt that is old is kept no longer: whoever begins to listen finds nothing whose age it would have to look at', async () => {
  const ahead = clockAhead()
  let looks = 0
  const live = startProcess(null, { clock: { ...ahead, monotonic: () => ((looks += 1), ahead.monotonic()) } })
  const looksOf = (agent: string): number => {
    const before = looks
    live.onHalt(agent, () => undefined)()
    return looks - before
  }
  await live.halt({ agentUid, runId })
  expect(looksOf(agentUid)).toBe(1)
  ahead.forward(5_000)
  await live.halt({ agentUid: 'agent-2', runId })
  expect([looksOf('agent-2'), looksOf(agentUid)]).toEqual([1, 0])
})
