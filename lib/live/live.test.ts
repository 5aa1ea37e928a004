import { expect, test } from 'vitest'
import type { RunId } from '#lib/core/ids'
import {
  agentUid,
  clockAt,
  clockWithoutRounds,
  command,
  delta,
  executor,
  reader,
  runId,
  startProcess,
  startRedis,
  until,
} from './live.fixtures.ts'

const clock = clockAt(5)

test('without Redis everything works within the process', async () => {
  const live = startProcess(null)
  const { state, onFrame } = reader()
  const halts: (RunId | null)[] = []
  live.onHalt(agentUid, (run) => halts.push(run))
  const unwatch = live.watch(agentUid, onFrame)
  live.emit(delta(0, 'here'))
  expect(state.text).toBe('here')
  await live.halt({ agentUid, runId })
  expect(halts).toEqual([runId])
  unwatch()
  live.emit(delta(4, ' no more'))
  expect(state.text).toBe('here')
  expect(live.status()).toEqual({ redis: 'off' })
})

test('a watcher of the same process joins too, and only after it has its way to end', async () => {
  const live = startProcess(null)
  const { say } = executor(live)
  say('begun')
  const { state, onFrame } = reader()
  const unwatch = live.watch(agentUid, (frame) => {
    onFrame(frame)
    unwatch()
  })
  expect(state.text).toBe('')
  await expect.poll(() => state.text, until).toBe('begun')
})

test('deltas reach another process once and in order, also to one that joins late', async () => {
  const redis = await startRedis()
  const [one, two, three] = [startProcess(redis.url), startProcess(redis.url), startProcess(redis.url)]
  const { state: said, say } = executor(one)
  const [here, there, late, latest] = [reader(), reader(), reader(), reader()]
  one.watch(agentUid, here.onFrame)
  two.watch(agentUid, there.onFrame)
  await expect.poll(() => said.joins, until).toBeGreaterThanOrEqual(2)
  const before = said.joins
  for (let index = 0; index < 200; index += 1) {
    say(`${index} `)
    if (index === 100) three.watch(agentUid, late.onFrame)
    if (index === 150) two.watch(agentUid, latest.onFrame)
    if (index % 10 === 0) await clock.sleep(50)
  }
  // Two came, and were told the text so far: who came after the commit would have it behind it.
  await expect.poll(() => said.joins, until).toBe(before + 2)
  one.emit({ ...delta(0, ''), body: { type: 'committed', seq: 4 } })
  await expect.poll(() => there.state.frames.at(-1)?.body.type, until).toBe('committed')
  await expect.poll(() => late.state.frames.at(-1)?.body.type, until).toBe('committed')
  expect(said.joins).toBe(before + 2)
  for (const { state } of [here, there, late, latest]) {
    expect(state.text).toBe(said.text)
    expect(state.faults).toBe(0)
  }
  // Once each here, and elsewhere neighbours come as one.
  expect(here.state.frames).toHaveLength(201)
  expect(there.state.frames.length).toBeLessThan(60)
  expect(there.state.frames.filter((frame) => frame.body.type === 'committed')).toHaveLength(1)
})

test('a text that is told again just after its commit leaves what waits before it in its place', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url), startProcess(redis.url)]
  const { state: said, say } = executor(one)
  const there = reader()
  two.watch(agentUid, there.onFrame)
  await expect.poll(() => said.joins, until).toBeGreaterThanOrEqual(1)
  say('whole')
  one.emit({ ...delta(0, ''), body: { type: 'committed', seq: 4 } })
  // Joins before anything is written: the text is told again in this process's next turn.
  one.watch(agentUid, () => undefined)
  one.emit({ ...delta(0, ''), body: { type: 'committed', seq: 5 } })
  const types = () => there.state.frames.map(({ body }) => (body.type === 'committed' ? body.seq : body.type))
  await expect.poll(types, until).toContain(5)
  expect(types()).toEqual(['delta', 4, 5])
})

test('nothing is written while nobody watches elsewhere, and other agents get nothing', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url), startProcess(redis.url)]
  const { say, state } = executor(one)
  const other = reader()
  one.watch(agentUid, () => undefined)
  two.watch('agent-2', other.onFrame)
  one.onWatcher('agent-2', () => one.emit(delta(0, 'two', { agentUid: 'agent-2' })))
  say('unheard')
  await expect.poll(() => other.state.text, until).toBe('two')
  expect(await command(redis.url, ['EXISTS', `${redis.prefix}live:${agentUid}`])).toBe(0)
  expect(await command(redis.url, ['TTL', `${redis.prefix}live:agent-2`])).toBeGreaterThan(800)
  expect(state.joins).toBe(1)
})

test('a halt reaches the process that runs the agent, also when its subscription is just being opened, and comes once', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url, { clock: clockWithoutRounds() }), startProcess(redis.url)]
  const halts: (RunId | null)[] = []
  const others: (RunId | null)[] = []
  one.onHalt(agentUid, (run) => halts.push(run))
  one.onHalt('agent-2', (run) => others.push(run))
  await two.halt({ agentUid, runId })
  await expect.poll(() => halts, until).toEqual([runId])
  await two.halt({ agentUid, runId: null })
  await expect.poll(() => halts, until).toEqual([runId, null])
  await one.halt({ agentUid, runId })
  // A later signal from elsewhere is the proof that the own one had its time to come back.
  await two.halt({ agentUid: 'agent-2', runId })
  await expect.poll(() => others, until).toEqual([runId])
  expect(halts).toEqual([runId, null, runId])
})

test('an environment hears nothing of another', async () => {
  const redis = await startRedis()
  const [one, two, three] = [startProcess(redis.url), startProcess(redis.url), startProcess(redis.url, { keys: 'baton:other:' })]
  const halts: string[] = []
  one.onHalt(agentUid, () => halts.push('one'))
  three.onHalt(agentUid, () => halts.push('three'))
  await two.halt({ agentUid, runId })
  await expect.poll(() => halts, until).toEqual(['one'])
  await three.halt({ agentUid, runId })
  await two.halt({ agentUid, runId: null })
  await expect.poll(() => halts, until).toEqual(['one', 'three', 'one'])
})

test('an executor that starts later learns at once who watches, as after a hand-off', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url, { clock: clockWithoutRounds() }), startProcess(redis.url, { clock: clockWithoutRounds() })]
  const there = reader()
  two.watch(agentUid, there.onFrame)
  await expect.poll(() => command(redis.url, ['XLEN', `${redis.prefix}signals`]), until).toBe(1)
  const { say } = executor(one)
  say('begun')
  await expect.poll(() => there.state.text, until).toBe('begun')
})
