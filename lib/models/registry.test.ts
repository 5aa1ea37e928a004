import { expect, test, vi } from 'vitest'
import { dollars, free } from '#lib/core/prices'
import type { ProviderEntry } from '#lib/models/provider-entry'
import { missingKey, modelOpener, priceOf } from '#lib/models/registry'

const entry = (more: Partial<ProviderEntry> = {}): ProviderEntry => ({
  keyVariable: 'OWN_KEY',
  prices: {},
  load: async () => (modelId) => modelId,
  ...more,
})
const env =
  (values: Record<string, string>) =>
  (name: string): string | undefined =>
    values[name]

test('a price is that of the model itself, else of the undated one, else that of all others', () => {
  const [dated, undated] = [dollars({ input: 2, output: 2 }), dollars({ input: 1, output: 1 })]
  const own = { own: entry({ prices: { 'm-20261122': dated, m: undated, '*': free } }) }
  expect(priceOf(own, 'own/m-20261122')).toBe(dated)
  expect(priceOf(own, 'own/m-20250101')).toBe(undated)
  expect(priceOf(own, 'own/m-2025-01-01')).toBe(undated)
  // A version is no date.
  expect(priceOf(own, 'own/m-2025')).toBe(free)
  expect(priceOf({ own: entry({ prices: { m: undated } }) }, 'own/other')).toBeNull()
})

test('a provider needs its key, or what it says that it needs, unless the platform lets it in; empty is not set', () => {
  const keyed = { own: entry() }
  expect(missingKey(keyed, env({ OWN_KEY: '' }), 'own/m')).toBe('OWN_KEY')
  expect(missingKey(keyed, env({ OWN_KEY: 'k' }), 'own/m')).toBeNull()
  const at = { own: entry({ needs: 'OWN_URL' }) }
  expect([missingKey(at, env({ OWN_KEY: 'k' }), 'own/m'), missingKey(at, env({ OWN_URL: 'u' }), 'own/m')]).toEqual(['OWN_URL', null])
  const hosted = { own: entry({ keylessWhen: 'VERCEL' }) }
  expect([missingKey(hosted, env({ VERCEL: '1' }), 'own/m'), missingKey(hosted, env({}), 'own/m')]).toEqual([null, 'OWN_KEY'])
})

test('a provider is loaded once, with what is set; a load that failed is tried again by the next call', async () => {
  const load = vi.fn<ProviderEntry['load']>()
  load.mockRejectedValueOnce(new Error('no such package')).mockResolvedValue((modelId) => modelId)
  const open = modelOpener({ own: entry({ load, baseUrlVariable: 'OWN_URL' }) }, env({ OWN_KEY: 'k', OWN_URL: '' }))
  await expect(open('own/a')).rejects.toThrow('no such package')
  expect(await open('own/a')).toMatchObject({ provider: 'own', model: 'a' })
  expect(await open('own/b/c')).toMatchObject({ model: 'b/c' })
  expect(load.mock.calls).toEqual([[{ apiKey: 'k' }], [{ apiKey: 'k' }]])
})
