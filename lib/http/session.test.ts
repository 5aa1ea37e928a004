import { expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { authenticate } from '#lib/http/caller'
import { sha256Hex } from '#lib/http/json'
import { beginSession, endSession, sessionMs, sessionOf } from '#lib/http/session'
import { testServices } from '#lib/http/services.fixture'

const { config, clock, access: checks } = testServices()
const key = `bt_${'x'.repeat(43)}`
const now = clock.now()
const place = { ...config, now }
const { session, cookie } = beginSession({ credential: key, expiresAt: now + sessionMs }, place)
const pair = cookie.split(';')[0] ?? ''

async function outcome(headers: Record<string, string>, { method = 'GET', at = now, required = true } = {}): Promise<string> {
  const request = new Request('http://localhost/api/x', { method, headers: { host: 'localhost', ...headers } })
  try {
    const options = { request, checks, access: 'caller' as const, id: undefined, now: at, requestId: 'req_1' }
    const caller = await authenticate({ ...options, config: { ...config, access: { ...config.access, required } } })
    return `${caller.kind} ${JSON.stringify(caller.credential)}`
  } catch (error) {
    if (error instanceof BatonError)
      return `${error.code} ${error.details['reason'] === undefined ? '' : JSON.stringify(error.details['reason']).slice(1, -1)}`.trim()
    throw error
  }
}
const theKey = `key ${JSON.stringify({ keyHash: sha256Hex(key) })}`

test('the cookie is out of reach of scripts and of other sites, and outside local mode of plain http and other hosts', () => {
  expect(cookie).toMatch(/^baton_session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/)
  const deployed = { ...place, local: false }
  expect(beginSession({ credential: key, expiresAt: now + 1_000 }, deployed).cookie).toMatch(
    /^__Host-baton_session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=1; Secure$/,
  )
  expect(endSession(deployed)).toBe('__Host-baton_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure')
  expect(Buffer.from(pair.split('=')[1] ?? '', 'base64url').toString('latin1')).not.toContain(key.slice(0, 8))
})

test('with the cookie a caller is who the credential is, as by header; the header counts where both are there', async () => {
  expect(await outcome({ cookie: `a=b; ${pair}` })).toBe(theKey)
  expect(await outcome({ cookie: pair, authorization: 'Bearer user-1' })).toBe('user {"user":{"id":"user-1","tenant":"ten_users"}}')
})

test('a write needs the word of this very session', async () => {
  const other = beginSession({ credential: key, expiresAt: now + 1 }, place).session.csrf
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    expect(await outcome({ cookie: pair }, { method })).toBe('forbidden csrf')
    expect(await outcome({ cookie: pair, 'x-baton-csrf': other }, { method })).toBe('forbidden csrf')
    expect(await outcome({ cookie: pair, 'x-baton-csrf': session.csrf }, { method })).toBe(theKey)
  }
})

test('requests that other sites and hosts cause are refused, also those that only read', async () => {
  const good = { cookie: pair, 'x-baton-csrf': session.csrf }
  for (const site of ['cross-site', 'same-site', 'nonsense'])
    expect(await outcome({ ...good, 'sec-fetch-site': site })).toBe('forbidden cross_site')
  for (const site of ['same-origin', 'none']) expect(await outcome({ ...good, 'sec-fetch-site': site })).toBe(theKey)
  expect(await outcome({ ...good, origin: 'http://localhost:5173' })).toBe('forbidden cross_site')
  expect(await outcome({ ...good, origin: 'http://localhost' })).toBe(theKey)
})

test('a cookie that has ended, was changed or was sealed with another key is none', async () => {
  const changed = `${pair.slice(0, -2)}${pair.endsWith('AA') ? 'BB' : 'AA'}`
  const foreign = beginSession({ credential: key, expiresAt: now + sessionMs }, { ...place, encryptionKey: new Uint8Array(32).fill(9) })
  expect(await outcome({ cookie: pair }, { at: now + sessionMs })).toBe('unauthorized')
  expect(await outcome({ cookie: changed })).toBe('unauthorized')
  expect(await outcome({ cookie: foreign.cookie })).toBe('unauthorized')
  expect(await outcome({ cookie: 'baton_session=' })).toBe('unauthorized')
  expect(await outcome({ cookie: changed }, { required: false })).toMatch(/^operator /)
  expect(sessionOf(new Request('http://localhost', { headers: { cookie: pair } }), { ...place, local: false })).toBeNull()
})

test('what no cookie can hold is refused at the beginning', () => {
  expect(() => beginSession({ credential: 'x'.repeat(5_000), expiresAt: now }, place)).toThrow('too long')
})
