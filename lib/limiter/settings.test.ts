import { expect, test } from 'vitest'
import type { TenantLimits } from '#lib/core/rate'
import type { Authority } from '#lib/core/store'
import { createLimitSettings } from '#lib/limiter/settings'

const log = { info() {}, error() {}, warn() {} }
const who = (credential: Authority['credential']): Authority => ({ environment: 'test', credential, requestId: null })
const key = who({ keyHash: 'abcdef' })

function setUp() {
  const time = { now: 0 }
  const source = { limits: {} as TenantLimits, asked: [] as string[], away: false, known: true }
  const settings = createLimitSettings(
    {
      async ofCaller(authority) {
        source.asked.push('keyHash' in authority.credential ? authority.credential.keyHash : '?')
        if (source.away) throw new Error('away')
        return source.known ? { tenant: 'ten', caller: 'key:1', limits: source.limits } : null
      },
      async ofTenant(tenant) {
        source.asked.push(tenant)
        if (source.away) throw new Error('away')
        return { tenant, caller: null, limits: source.limits }
      },
    },
    { monotonic: () => time.now },
    log,
  )
  return { time, source, settings }
}

test('a key is asked for once, its tenant with it; users and operators need no question about who they are', async () => {
  const { source, settings } = setUp()
  for (let n = 0; n < 3; n++) expect((await settings.of(key)).who).toEqual({ tenant: 'ten', caller: 'key:1', keyHash: 'abcdef' })
  const user = await settings.of(who({ user: { id: 'u', tenant: 'ten' } }))
  expect(user.who).toEqual({ tenant: 'ten', caller: 'user:u', keyHash: null })
  const link = await settings.of(who({ stream: { tenant: 'ten', agentUid: 'one' } }))
  expect(link.who).toEqual({ tenant: 'ten', caller: 'stream:one', keyHash: null })
  expect(source.asked).toEqual(['abcdef'])
})

test('many at once ask once', async () => {
  const { source, settings } = setUp()
  await Promise.all(Array.from({ length: 20 }, () => settings.of(key)))
  expect(source.asked).toEqual(['abcdef'])
  source.asked = []
  settings.forget()
  await Promise.all(Array.from({ length: 20 }, () => settings.ofTenant('ten')))
  expect(source.asked).toEqual(['ten'])
})

test('after 30 s the old limits hold while the new ones are asked for; after an announcement they are waited for', async () => {
  const { time, source, settings } = setUp()
  await settings.ofTenant('ten')
  source.limits = { tenant: { requestsPerMinute: 1 } }
  time.now = 29_999
  expect(await settings.ofTenant('ten')).toEqual({})
  time.now = 30_000
  expect(await settings.ofTenant('ten')).toEqual({})
  await Promise.resolve()
  expect(await settings.ofTenant('ten')).toEqual({ tenant: { requestsPerMinute: 1 } })
  expect(source.asked).toHaveLength(2)
  source.limits = { tenant: { requestsPerMinute: 2 } }
  for (const marker of [null, 'm1', 'm1']) settings.note(marker)
  expect(await settings.ofTenant('ten')).toEqual({ tenant: { requestsPerMinute: 2 } })
  settings.note('m1')
  await settings.ofTenant('ten')
  expect(source.asked).toHaveLength(3)
})

test('with the database away what was known holds, and it is not asked at each request', async () => {
  const { time, source, settings } = setUp()
  source.limits = { tenant: { requestsPerMinute: 7 } }
  await settings.ofTenant('ten')
  source.away = true
  settings.forget()
  for (let n = 0; n < 5; n++) expect(await settings.ofTenant('ten')).toEqual(source.limits)
  expect(source.asked).toHaveLength(2)
  expect(await settings.of(key)).toEqual({ who: { tenant: null, caller: null, keyHash: 'abcdef' }, limits: {} })
  source.away = false
  time.now = 2_000
  expect((await settings.of(key)).who.tenant).toBe('ten')
})

test('a key that the database refuses is asked for again after a pause only', async () => {
  const { source, settings } = setUp()
  source.known = false
  for (let n = 0; n < 5; n++) expect((await settings.of(key)).who.tenant).toBeNull()
  expect(source.asked).toHaveLength(1)
})

test('so many tenants and keys are remembered: the one that was asked for longest ago is asked for again', async () => {
  const { source, settings } = setUp()
  const known = async (): Promise<string[]> => {
    source.asked = []
    await settings.ofTenant('tenant-0')
    await settings.of(who({ keyHash: 'key-0' }))
    return source.asked
  }
  for (let n = 0; n < 10_000; n++) await settings.of(who({ keyHash: `key-${n}` }))
  // With the tenant of those keys they are a thousand.
  for (let n = 0; n < 999; n++) await settings.ofTenant(`tenant-${n}`)
  expect(await known()).toEqual([])
  await settings.ofTenant('one more')
  await settings.of(who({ keyHash: 'one more' }))
  expect(await known()).toEqual(['tenant-0', 'key-0'])
})
