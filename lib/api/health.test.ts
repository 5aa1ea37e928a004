import { expect, test } from 'vitest'
import { ready } from '#lib/api/health'
import { testServices } from '#lib/http/services.fixture'

/** What a probe is answered while the database says this of itself. */
async function probed(ending: boolean): Promise<{ status: number; again: string | null; body: unknown }> {
  const url = new URL('http://localhost/api/health/ready')
  const found = { details: false, migrations: [], readOnly: false }
  // No check is ever late.
  const clock = { ...testServices().clock, sleep: () => new Promise<void>(() => undefined) }
  const services = { ...testServices(), clock, store: { health: () => Promise.resolve(found) }, ending: () => ending }
  const request = new Request(url)
  const caller = { kind: 'anonymous', credential: { keyHash: '' } }
  const response = await ready.respond({ request, url, params: {}, body: { text: null, value: undefined }, services, caller } as never)
  return { status: response.status, again: response.headers.get('retry-after'), body: await response.json() }
}

test('a process that ends is not ready, so that nothing more is sent to it', async () => {
  expect(await probed(false)).toEqual({ status: 200, again: null, body: { ready: true } })
  expect(await probed(true)).toEqual({ status: 503, again: '2', body: { ready: false } })
})
