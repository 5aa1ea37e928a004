import { expect, test } from 'vitest'
import type { RateLimit } from '#lib/core/ports'
import { createLimiter } from '#lib/limiter/limiter'
import { createLocalCounts } from '#lib/limiter/local'
import type { RedisCounts } from '#lib/limiter/redis'

const rate = (key: string, limit: number, cost = 1): RateLimit => ({ name: key, key, limit, windowMs: 60_000, cost })

function setUp(withRedis: boolean) {
  const time = { now: 0 }
  const clock = { now: () => time.now, monotonic: () => time.now, sleep: () => Promise.resolve(), random: () => 0 }
  const lines: string[] = []
  const log = { info() {}, error() {}, warn: (message: string) => void lines.push(message) }
  const redis = { counts: createLocalCounts(clock), away: false, requests: 0, marker: null as string | null, backs: 0, taken: 0 }
  const answer = async <Value>(value: () => Value): Promise<Value> => {
    redis.requests += 1
    if (redis.away) throw new Error('away')
    return value()
  }
  const counts: RedisCounts = {
    // As in Redis, each count is taken from by itself.
    take: (limits) =>
      answer(() => {
        redis.taken += limits.length
        return { states: limits.flatMap((limit) => redis.counts.take([limit])), marker: redis.marker }
      }),
    giveBack: (limits) =>
      answer(() => {
        redis.backs += 1
        redis.counts.giveBack(limits)
      }),
    setMarker: (marker) => answer(() => void (redis.marker = marker)),
  }
  const markers: (string | null)[] = []
  const limiter = createLimiter({
    redis: null,
    local: false,
    clock,
    log,
    onMarker: (marker) => void markers.push(marker),
    makeMarker: () => `m${redis.requests}`,
    ...(withRedis ? { counts } : {}),
  })
  const passes = async (...limits: RateLimit[]) => (await limiter.check(limits)).allowed
  return { time, redis, limiter, passes, lines, markers }
}

test.each([true, false])('a limit holds for a window from its first use, and is whole again after it (Redis: %s)', async (withRedis) => {
  const { time, limiter, passes } = setUp(withRedis)
  time.now = 59_990
  for (const expected of [true, true, false]) expect(await passes(rate('a', 2))).toBe(expected)
  // No turn of a minute on the wall lets more pass.
  time.now = 60_010
  expect(await limiter.check([rate('a', 2)])).toMatchObject({ allowed: false, remaining: 0, resetMs: 59_980 })
  expect(await passes(rate('b', 2))).toBe(true)
  time.now = 59_990 + 59_999
  expect(await passes(rate('a', 2))).toBe(false)
  time.now = 59_990 + 60_000
  expect(await limiter.check([rate('a', 2)])).toMatchObject({ allowed: true, remaining: 1, resetMs: 60_000 })
})

test.each([true, false])('of limits together all are taken from or none (Redis: %s)', async (withRedis) => {
  const { passes, limiter } = setUp(withRedis)
  expect(await passes(rate('wide', 3), rate('narrow', 1))).toBe(true)
  for (let n = 0; n < 5; n++) {
    const verdict = await limiter.check([rate('wide', 3), rate('narrow', 1)])
    expect(verdict).toMatchObject({ allowed: false, which: { name: 'narrow' } })
  }
  expect([await passes(rate('wide', 3)), await passes(rate('wide', 3)), await passes(rate('wide', 3))]).toEqual([true, true, false])
})

test.each([true, false])('costs: what does not fit takes nothing, and what was not used is given back (Redis: %s)', async (withRedis) => {
  const { passes, limiter } = setUp(withRedis)
  expect(await passes(rate('t', 100, 90))).toBe(true)
  expect(await passes(rate('t', 100, 20))).toBe(false)
  expect(await passes(rate('t', 100, 10))).toBe(true)
  limiter.giveBack([rate('t', 100, 50)])
  expect([await passes(rate('t', 100, 50)), await passes(rate('t', 100, 1))]).toEqual([true, false])
})

test('a refused count asks Redis for nothing but news, and zero allows nothing', async () => {
  const { passes, redis, markers } = setUp(true)
  for (let n = 0; n < 3; n++) await passes(rate('a', 1))
  redis.requests = 0
  redis.marker = 'changed'
  await Promise.all(Array.from({ length: 50 }, () => passes(rate('a', 1))))
  expect(redis.requests).toBe(1)
  expect(markers.at(-1)).toBe('changed')
  redis.taken = 0
  expect(await passes(rate('zero', 0))).toBe(false)
  expect(redis.taken).toBe(0)
})

test('with Redis away this process counts, tells it once and asks again after a while', async () => {
  const { time, redis, passes, limiter, lines } = setUp(true)
  expect(await passes(rate('a', 3))).toBe(true)
  redis.away = true
  const verdicts = []
  for (let n = 0; n < 5; n++) verdicts.push(await passes(rate('a', 3)))
  expect(verdicts).toEqual([true, true, true, false, false])
  expect(redis.requests).toBe(4)
  expect(lines).toHaveLength(1)
  expect(limiter.status()).toEqual({ redis: 'down', localChecks: 5 })
  redis.away = false
  time.now = 5_000
  // One of three was taken before the outage.
  for (const expected of [true, true, false]) expect(await passes(rate('a', 3))).toBe(expected)
  expect(limiter.status().redis).toBe('ok')
})

test('a refusal of this process gives nothing back to Redis', async () => {
  const { redis, passes } = setUp(true)
  await passes(rate('wide', 2))
  redis.away = true
  await passes(rate('wide', 2), rate('narrow', 1))
  await passes(rate('wide', 2), rate('narrow', 1))
  redis.away = false
  expect(redis.backs).toBe(0)
  expect([await passes(rate('wide', 2)), await passes(rate('wide', 2))]).toEqual([true, false])
})

test('the counts of a process are bounded', () => {
  const counts = createLocalCounts({ monotonic: () => 0 })
  for (let n = 0; n < 10_500; n++) counts.take([rate(`k${n}`, 1)])
  expect(counts.size()).toBe(10_000)
  expect(counts.take([rate('k10499', 1)])[0]?.allowed).toBe(false)
})
