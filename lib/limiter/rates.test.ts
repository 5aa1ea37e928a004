import { expect, test } from 'vitest'
import type { ModelVerdict, TenantLimits } from '#lib/core/rate'
import type { Authority } from '#lib/core/store'
import { createLocalCounts } from '#lib/limiter/local'
import { createRates } from '#lib/limiter/rates'
import type { RedisCounts } from '#lib/limiter/redis'

const log = { info() {}, error() {}, warn() {} }
const who: Authority = { environment: 'test', credential: { operator: { tenant: 'ten', name: 'local' } }, requestId: null }
const later = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Processes that share Redis and the database; every answer of Redis takes a turn of the event loop. */
function setUp(processes: number) {
  const time = { now: 0 }
  const clock = { now: () => time.now, monotonic: () => time.now, sleep: () => Promise.resolve(), random: () => 0 }
  const database = { limits: {} as TenantLimits, asked: 0 }
  const redis = { counts: createLocalCounts(clock), marker: null as string | null, takes: 0 }
  const counts: RedisCounts = {
    async take(limits) {
      redis.takes += 1
      const states = limits.flatMap((limit) => redis.counts.take([limit]))
      const { marker } = redis
      await later()
      return { states, marker }
    },
    async giveBack(limits) {
      await later()
      redis.counts.giveBack(limits)
    },
    async setMarker(marker) {
      await later()
      redis.marker = marker
    },
  }
  let made = 0
  const load = async () => {
    database.asked += 1
    await later()
    return { tenant: 'ten', caller: null, limits: database.limits }
  }
  const ids = { make: <Prefix extends string>(prefix: Prefix) => `${prefix}_${(made += 1)}` as const, uuid: () => '' }
  const all = Array.from({ length: processes }, () =>
    createRates({
      metrics: { count: () => undefined },
      // Only that there is one.
      redis: { url: 'http://127.0.0.1:1', token: 'token', prefix: 'baton:' },
      local: true,
      clock,
      ids,
      log,
      counts,
      source: { ofCaller: load, ofTenant: load },
      tell: () => Promise.resolve(),
    }),
  )
  const send = async (process: number) =>
    (await all[process]?.request(who, { message: true, agent: 'a' }))?.verdict.allowed === true ? 1 : 0
  return { time, database, redis, all, send }
}
const sum = (passed: number[]): number => passed.reduce((total, one) => total + one, 0)

test.each([0, 1])('a limit set by process %i holds exactly for the messages that both get at once after it', async (setter) => {
  const { database, all, send } = setUp(2)
  database.limits = { tenant: { requestsPerMinute: 1_000 } }
  for (const process of [0, 1]) await send(process)
  for (const limit of [10, 7]) {
    database.limits = { tenant: { requestsPerMinute: 1_000 }, 'agent:*': { messagesPerMinute: limit } }
    await all[setter]?.changed()
    expect(sum(await Promise.all(Array.from({ length: 30 }, (_, n) => send(n % 2))))).toBe(limit)
  }
})

test('news of limits that do not concern the work leave it taken once', async () => {
  const { database, all, send } = setUp(2)
  database.limits = { 'agent:a': { messagesPerMinute: 10 } }
  for (const process of [0, 1]) await send(process)
  database.limits = { ...database.limits, 'agent:other': { messagesPerMinute: 1 } }
  await all[0]?.changed()
  expect(sum(await Promise.all(Array.from({ length: 16 }, (_, n) => send(n % 2))))).toBe(8)
})

test('a refusal is believed for a second: a place that is given back is found after it', async () => {
  const { time, database, redis, send } = setUp(1)
  database.limits = { 'agent:a': { messagesPerMinute: 2 } }
  expect([await send(0), await send(0), await send(0)]).toEqual([1, 1, 0])
  const limit = { name: 'agent-messages', key: 'ten:agent:a:messages', limit: 2, windowMs: 60_000, cost: 1 }
  redis.counts.giveBack([limit])
  expect(await send(0)).toBe(0)
  time.now = 1_000
  expect([await send(0), await send(0)]).toEqual([1, 0])
})

test('who has no count of its own looks for changed limits once a second, however many requests it sends', async () => {
  const { time, redis, all } = setUp(1)
  const send = async (): Promise<void> => {
    const answer = await all[0]?.request(who, { message: false, agent: null })
    expect(answer?.verdict.allowed).toBe(true)
    await answer?.beside
  }
  for (let n = 0; n < 50; n++) await send()
  expect(redis.takes).toBe(1)
  time.now = 1_000
  await send()
  expect(redis.takes).toBe(2)
})

/** Calls of a model in one process; `unused` tells what a call has used, and waits until it has been given back beside the work. */
function callsOf(limits: TenantLimits) {
  const { time, database, all } = setUp(1)
  const [rates] = all
  if (rates === undefined) throw new Error('there is a process')
  database.limits = limits
  return {
    time,
    call: (tokens: number) => rates.model('ten', 'p/m', tokens),
    async unused(call: ModelVerdict, used: number) {
      rates.unused(call.tokens, used)
      for (let turn = 0; turn < 3; turn++) await later()
    },
  }
}

test('what a model call has not used gives tokens back, and no call', async () => {
  const { call, unused } = callsOf({ 'model:p/m': { requestsPerMinute: 2, tokensPerMinute: 100 } })
  const first = await call(100)
  expect(first.which?.name).toBe('model-tokens')
  await unused(first, 40)
  const second = await call(60)
  expect(second.allowed).toBe(true)
  await unused(second, 0)
  expect(await call(10)).toMatchObject({ allowed: false, which: { name: 'model-requests' } })
})

test('a model call whose worst case is above the whole limit counts what it has used of it', async () => {
  const { call, unused } = callsOf({ 'model:p/m': { tokensPerMinute: 100 } })
  await unused(await call(250), 60)
  expect(await call(60)).toMatchObject({ allowed: false, which: { name: 'model-tokens' } })
  const rest = await call(40)
  expect(rest).toMatchObject({ allowed: true })
  // More than it was taken for: nothing to give back, and nothing more to take.
  await unused(rest, 300)
  expect(await call(1)).toMatchObject({ allowed: false })
})

test('what is given back when the next window has begun is not given to that one', async () => {
  const { time, call, unused } = callsOf({ 'model:p/m': { tokensPerMinute: 100 } })
  const long = await call(100)
  time.now = 60_000
  expect(await call(60)).toMatchObject({ allowed: true })
  await unused(long, 10)
  expect(await call(60)).toMatchObject({ allowed: false })
})

test('a limit that changes in the middle of a request does not take it twice from those that stay', async () => {
  const { database, all, send } = setUp(2)
  const tenant = { requestsPerMinute: 10 }
  database.limits = { tenant, 'agent:a': { messagesPerMinute: 100 } }
  for (const process of [0, 1]) await send(process)
  database.limits = { tenant, 'agent:a': { messagesPerMinute: 50 } }
  await all[0]?.changed()
  let passed = 2
  for (let n = 0; n < 16; n++) passed += await send(1)
  expect(passed).toBe(10)
})
