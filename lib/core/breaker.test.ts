import { expect, test } from 'vitest'
import { createBreaker } from '#lib/core/breaker'

const fail = () => Promise.reject(new Error('away'))
const succeed = () => Promise.resolve('here')

function setUp() {
  const time = { now: 0 }
  const pauses: (number | null)[] = []
  const breaker = createBreaker({ monotonic: () => time.now }, (_error, pauseMs) => pauses.push(pauseMs))
  return { time, pauses, breaker }
}

test('three failures in a row open it for 5 s, a success between starts the count again', async () => {
  const { time, pauses, breaker } = setUp()
  for (const work of [fail, fail, succeed, fail, fail]) await breaker.run(work)
  expect(breaker.isOpen()).toBe(false)
  await breaker.run(fail)
  expect(pauses).toEqual([null, null, null, null, 5_000])
  expect(await breaker.run(succeed)).toEqual({ ok: false })
  time.now = 4_999
  expect(breaker.allows()).toBe(false)
  time.now = 5_000
  expect(await breaker.run(succeed)).toEqual({ ok: true, value: 'here' })
  expect(breaker.isOpen()).toBe(false)
})

test('each failed trial doubles the pause up to a minute, a success brings it back to 5 s', async () => {
  const { time, pauses, breaker } = setUp()
  const trial = async () => {
    time.now += 60_000
    await breaker.run(fail)
  }
  for (let count = 0; count < 9; count += 1) await trial()
  expect(pauses.slice(2)).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000])
  time.now += 60_000
  await breaker.run(succeed)
  for (let count = 0; count < 3; count += 1) await breaker.run(fail)
  expect(pauses.at(-1)).toBe(5_000)
})

test('of many at once one is the trial, and late failures of earlier work change nothing', async () => {
  const { time, pauses, breaker } = setUp()
  const late = Promise.withResolvers<never>()
  const earlier = breaker.run(() => late.promise)
  for (let count = 0; count < 3; count += 1) await breaker.run(fail)
  late.reject(new Error('late'))
  await earlier
  expect(pauses).toEqual([null, null, 5_000, null])
  time.now = 5_000
  let tried = 0
  const work = () => {
    tried += 1
    return succeed()
  }
  await Promise.all([breaker.run(work), breaker.run(work), breaker.run(work)])
  expect(tried).toBe(1)
})

test('earlier work that fails while the trial runs lets nobody else try; one that succeeds lets all', async () => {
  const { time, breaker } = setUp()
  const [failing, succeeding, trial] = [Promise.withResolvers<string>(), Promise.withResolvers<string>(), Promise.withResolvers<string>()]
  const earlier = [breaker.run(() => failing.promise), breaker.run(() => succeeding.promise)]
  for (let count = 0; count < 3; count += 1) expect(await breaker.run(fail)).toEqual({ ok: false })
  time.now = 5_000
  const trying = breaker.run(() => trial.promise)
  failing.reject(new Error('late'))
  await earlier[0]
  expect(breaker.allows()).toBe(false)
  succeeding.resolve('here')
  await earlier[1]
  expect([breaker.allows(), breaker.isOpen()]).toEqual([true, false])
  trial.resolve('here')
  await trying
})
