import { expect, test } from 'vitest'
import { agentRates, modelRates, requestRates, toolRates, unlimited, verdictOf, type RateCaller, type TenantLimits } from '#lib/core/rate'

const user: RateCaller = { tenant: 't', caller: 'user:u', keyHash: null }
const key: RateCaller = { tenant: 't', caller: 'key:k', keyHash: 'a'.repeat(64) }
const operator: RateCaller = { tenant: 't', caller: 'local', keyHash: null }
const message = { message: true, agent: 'a' }
const reading = { message: false, agent: null }

function named(who: RateCaller, limits: TenantLimits, of: Parameters<typeof requestRates>[2]): Record<string, number> {
  return Object.fromEntries(requestRates(who, limits, of).map(({ name, limit }) => [name, limit]))
}

test('by default a user sends 60 messages a minute, a key makes 600 requests, an operator what it likes', () => {
  expect(named(user, {}, message)).toEqual({ user: 600, 'user-messages': 60 })
  expect(named(user, {}, reading)).toEqual({ user: 600 })
  expect(named(key, {}, message)).toEqual({ key: 600 })
  expect(named(operator, {}, message)).toEqual({})
})

test('all who have links to the events of one agent share 600 requests a minute, apart from those of another', () => {
  const link = (agent: string): RateCaller => ({ tenant: 't', caller: `stream:${agent}`, keyHash: null })
  expect(requestRates(link('one'), {}, reading)).toMatchObject([{ name: 'stream', limit: 600, key: 't:stream:one:requests' }])
  expect(requestRates(link('two'), {}, reading)).toMatchObject([{ key: 't:stream:two:requests' }])
  expect(named(link('one'), { tenant: { requestsPerMinute: 9 } }, reading)).toEqual({ stream: 600, tenant: 9 })
})

test('what is set for one comes before what is set for all, and that before the default; zero stays zero', () => {
  const limits = {
    'user:*': { messagesPerMinute: 30, requestsPerMinute: 90 },
    'user:u': { messagesPerMinute: 0 },
    'key:*': { messagesPerMinute: 5 },
  }
  expect(named(user, limits, message)).toEqual({ user: 90, 'user-messages': 0 })
  expect(named({ ...user, caller: 'user:v' }, limits, message)).toEqual({ user: 90, 'user-messages': 30 })
  expect(named(key, limits, message)).toEqual({ key: 600, 'key-messages': 5 })
})

test('tenant and agent limits hold for everybody, and their counts are those of the tenant', () => {
  const limits = { tenant: { requestsPerMinute: 9, messagesPerMinute: 8 }, 'agent:a': { messagesPerMinute: 7 } }
  expect(named(operator, limits, message)).toEqual({ tenant: 9, 'tenant-messages': 8, 'agent-messages': 7 })
  expect(named(operator, limits, reading)).toEqual({ tenant: 9 })
  const keys = (tenant: string) => requestRates({ ...user, tenant }, limits, message).map((rate) => rate.key)
  expect(keys('t').filter((one) => keys('other').includes(one))).toEqual([])
})

test('a key is counted by its hash before and after it is known', () => {
  const unknown = requestRates({ tenant: null, caller: null, keyHash: key.keyHash }, {}, message)
  expect(unknown.map((rate) => rate.key)).toEqual(requestRates(key, {}, message).map((rate) => rate.key))
  expect(unknown[0]?.key).toBe('key:aaaaaaaaaaaaaaaa:requests')
})

test('tools and models have counts where they are set; a call above all tokens of a minute takes all of them', () => {
  expect(toolRates('t', {}, 'echo')).toEqual([])
  expect(toolRates('t', { 'tool:echo': { requestsPerMinute: 2 } }, 'echo')).toMatchObject([{ name: 'tool', limit: 2, cost: 1 }])
  const limits = { 'model:p/m': { requestsPerMinute: 2, tokensPerMinute: 100 } }
  const costs = (tokens: number) => modelRates('t', limits, 'p/m', tokens).map(({ name, cost }) => [name, cost])
  expect(costs(40)).toEqual([
    ['model-requests', 1],
    ['model-tokens', 40],
  ])
  expect(costs(400)).toEqual([
    ['model-requests', 1],
    ['model-tokens', 100],
  ])
  expect(costs(0)).toEqual([['model-requests', 1]])
  expect(modelRates('t', limits, 'p/other', 40)).toEqual([])
})

test('of several limits that refuse, the one that is longest in the way is told: who waits for less would come in vain', () => {
  const state = (name: string, allowed: boolean, resetMs: number) => ({
    limit: { name, key: name, limit: 1, windowMs: 60_000, cost: 1 },
    allowed,
    remaining: 0,
    resetMs,
  })
  const states = [state('passes', true, 60_000), state('soon', false, 1_000), state('late', false, 30_000)]
  expect(verdictOf(states)).toMatchObject({ allowed: false, which: { name: 'late' }, resetMs: 30_000 })
})

test('messages are counted for an agent only where a message goes to one that is named', () => {
  const limits = { 'agent:*': { messagesPerMinute: 7 } }
  expect(named(operator, limits, message)).toEqual({ 'agent-messages': 7 })
  for (const of of [{ message: false, agent: 'a' }, { message: true, agent: null }, reading])
    expect(named(operator, limits, of)).toEqual({})
  expect(agentRates('t', limits, 'a')).toMatchObject([{ limit: 7, key: 't:agent:a:messages' }])
  expect(agentRates(null, limits, 'a')).toEqual([])
})

test('what is set for all keys is not the limit of a caller with a credential of another kind', () => {
  const limits = { 'key:*': { requestsPerMinute: 5 } }
  expect(named(key, limits, reading)).toEqual({ key: 5 })
  expect(named({ ...key, caller: 'local' }, limits, reading)).toEqual({ key: 600 })
})

test('A65: a model that may use no token is not called, however few it would use', () => {
  const limits = { 'model:p/m': { tokensPerMinute: 0 } }
  for (const tokens of [0, 40]) expect(modelRates('t', limits, 'p/m', tokens)).toMatchObject([{ name: 'model-tokens', limit: 0, cost: 0 }])
})

test('where nothing is counted everything is allowed; else the count with least left is told', () => {
  expect(verdictOf([])).toEqual(unlimited)
  const state = (name: string, remaining: number) => ({
    limit: { name, key: name, limit: 9, windowMs: 60_000, cost: 1 },
    allowed: true,
    remaining,
    resetMs: 60_000,
  })
  const states = [state('much', 8), state('least', 2), state('some', 5)]
  expect(verdictOf(states)).toMatchObject({ allowed: true, which: { name: 'least' }, remaining: 2 })
})
