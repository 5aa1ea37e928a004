import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createUserCheck } from '#lib/access/users'
import type { AccessConfig } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'

const sub = '11111111-1111-4111-8111-111111111111'
const issuer = 'https://abc.supabase.co/auth/v1'
const jwtSecret = 'the-legacy-secret-of-the-project-0123456789'
let keys: JWK[] = []
let status = 200
let fetches = 0
let server: Server
let jwksUrl = ''
let es: CryptoKeyPair
let rs: CryptoKeyPair
beforeAll(async () => {
  es = await generateKeyPair('ES256')
  rs = await generateKeyPair('RS256')
  server = createServer((_request, response) => {
    fetches += 1
    if (status === 0) return // The project has taken the question and says nothing.
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ keys }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
})
afterAll(() => {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(resolve))
})
beforeEach(async () => {
  keys = [
    { ...(await exportJWK(es.publicKey)), kid: 'es', alg: 'ES256', use: 'sig' },
    { ...(await exportJWK(rs.publicKey)), kid: 'rs', alg: 'RS256', use: 'sig' },
  ]
  status = 200
  fetches = 0
  // A machine that is held up for three seconds is no project that says nothing.
  vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => new AbortController().signal)
})

type Users = AccessConfig['users']
const checkWith = (changes: Partial<Users> = {}, now = Date.now): ((token: string) => Promise<{ id: string; tenant: string }>) =>
  createUserCheck(
    { jwtSecret: null, jwksUrl, issuer, tenantClaim: 'tenant_id', tenant: 'ten_1', allowAnonymous: false, enabled: true, ...changes },
    now,
  )
const signed = (
  key: CryptoKey | Uint8Array,
  header: { alg: string; kid?: string },
  claims: Record<string, unknown> = {},
): Promise<string> =>
  new SignJWT({ sub, role: 'authenticated', aud: 'authenticated', iss: issuer, ...claims })
    .setProtectedHeader(header)
    .setExpirationTime('1h')
    .sign(key)
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'taken',
    (error: unknown) => (error instanceof BatonError ? error.code : String(error)),
  )

describe('tokens of asymmetric keys', () => {
  test('are checked with the public keys of the project, fetched once', async () => {
    const check = checkWith()
    for (let n = 0; n < 3; n++) {
      expect(await check(await signed(es.privateKey, { alg: 'ES256', kid: 'es' }))).toEqual({ id: sub, tenant: 'ten_1' })
      expect(await check(await signed(rs.privateKey, { alg: 'RS256', kid: 'rs' }))).toEqual({ id: sub, tenant: 'ten_1' })
    }
    expect(fetches).toBe(1)
  })

  test('of another issuer, audience or key, expired or not yet valid, are refused', async () => {
    const check = checkWith()
    const stranger = await generateKeyPair('ES256')
    const header = { alg: 'ES256', kid: 'es' }
    for (const token of [
      await signed(es.privateKey, header, { iss: 'https://evil.supabase.co/auth/v1' }),
      await signed(es.privateKey, header, { iss: undefined }),
      await signed(es.privateKey, header, { aud: 'other' }),
      await signed(es.privateKey, header, { nbf: Math.floor(Date.now() / 1_000) + 600 }),
      await signed(stranger.privateKey, header),
      await signed(es.privateKey, { alg: 'ES256', kid: 'rs' }),
    ])
      expect(await codeOf(check(token))).toBe('unauthorized')
    const late = checkWith({}, () => Date.now() + 7_200_000)
    expect(await codeOf(late(await signed(es.privateKey, header)))).toBe('unauthorized')
  })

  test('a public key is never taken for a shared secret, nor the secret for anything but HS256', async () => {
    const check = checkWith({ jwtSecret })
    const pem = new TextEncoder().encode(await exportSPKI(rs.publicKey))
    const raw = Buffer.from(String((await exportJWK(rs.publicKey)).n), 'base64url')
    for (const secret of [pem, raw]) {
      expect(await codeOf(check(await signed(secret, { alg: 'HS256', kid: 'rs' })))).toBe('unauthorized')
      expect(await codeOf(checkWith()(await signed(secret, { alg: 'HS256', kid: 'rs' })))).toBe('unauthorized')
    }
    const shared = new TextEncoder().encode(jwtSecret.repeat(2))
    expect(await codeOf(check(await signed(shared, { alg: 'HS512' })))).toBe('unauthorized')
    expect(await codeOf(check(await signed(new TextEncoder().encode(jwtSecret), { alg: 'HS256' })))).toBe('taken')
  })

  test('an unknown key id causes no fetch for each token', async () => {
    const check = checkWith()
    await check(await signed(es.privateKey, { alg: 'ES256', kid: 'es' }))
    for (let n = 0; n < 20; n++)
      expect(await codeOf(check(await signed(es.privateKey, { alg: 'ES256', kid: `forged-${n}` })))).toBe('unauthorized')
    expect(fetches).toBeLessThanOrEqual(2)
  })

  test('a key that the project has withdrawn opens nothing ten minutes later', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    try {
      const check = checkWith({}, () => Date.now())
      const token = await signed(es.privateKey, { alg: 'ES256', kid: 'es' })
      expect(await codeOf(check(token))).toBe('taken')
      keys = keys.filter(({ kid }) => kid !== 'es')
      vi.advanceTimersByTime(599_000)
      expect([await codeOf(check(token)), fetches]).toEqual(['taken', 1])
      vi.advanceTimersByTime(2_000)
      expect([await codeOf(check(token)), fetches]).toEqual(['unauthorized', 2])
    } finally {
      vi.useRealTimers()
    }
  })

  test('keys that cannot be read are an outage and not the caller’s fault; they are asked for again later, not by every token', async () => {
    let now = Date.now()
    const check = checkWith({}, () => now)
    const token = await signed(es.privateKey, { alg: 'ES256', kid: 'es' })
    status = 500
    for (let n = 0; n < 20; n++) expect(await codeOf(check(token))).toBe('sign_in_unavailable')
    expect(fetches).toBe(1)
    status = 200
    now += 6_000
    expect(await codeOf(check(token))).toBe('taken')
    expect(await codeOf(checkWith({ jwksUrl: 'http://127.0.0.1:1/' })(token))).toBe('sign_in_unavailable')
    // A set that is none, such as a page of somebody between.
    keys = ['no key' as JWK]
    expect(await codeOf(checkWith()(token))).toBe('sign_in_unavailable')
    vi.mocked(AbortSignal.timeout).mockRestore()
    status = 0
    expect(await codeOf(checkWith()(token))).toBe('sign_in_unavailable')
  })
})

describe('who the user is', () => {
  const who = async (claims: Record<string, unknown>, changes: Partial<Users> = {}): Promise<string> => {
    const work = checkWith(changes)(await signed(es.privateKey, { alg: 'ES256', kid: 'es' }, claims))
    return work.then(
      ({ tenant }) => tenant,
      (error: unknown) => (error instanceof BatonError ? `${error.code} ${JSON.stringify(error.details['reason'] ?? null)}` : 'other'),
    )
  }
  test('the tenant is app_metadata, under the name that is set, else BATON_USER_TENANT, else nobody’s', async () => {
    expect(await who({ app_metadata: { tenant_id: 'ten_2' } })).toBe('ten_2')
    expect(await who({ app_metadata: { tenant_id: 'ten_2', org: 'ten_3' } }, { tenantClaim: 'org' })).toBe('ten_3')
    expect(await who({ user_metadata: { tenant_id: 'ten_2' } })).toBe('ten_1')
    expect(await who({ tenant_id: 'ten_2' })).toBe('ten_1')
    expect(await who({ user_metadata: { tenant_id: 'ten_2' } }, { tenant: null })).toBe('forbidden "no_tenant"')
    expect(await who({ app_metadata: { tenant_id: ['ten_2'] } })).toBe('forbidden "no_tenant"')
  })
  test('anonymous sign-ins only where they are allowed; other roles never', async () => {
    expect(await who({ is_anonymous: true })).toBe('forbidden "anonymous"')
    expect(await who({ is_anonymous: true }, { allowAnonymous: true })).toBe('ten_1')
    for (const role of ['service_role', 'anon', '', undefined]) expect(await who({ role })).toBe('unauthorized null')
    expect(await who({ sub: 'not-a-uuid' })).toBe('unauthorized null')
  })
})

test('a refusal never repeats the token', async () => {
  const token = await signed(es.privateKey, { alg: 'ES256', kid: 'nobody' })
  const error: unknown = await checkWith()(token).catch((cause: unknown) => cause)
  const told = `${String(error)} ${String((error as Error).cause)}`
  for (const part of token.split('.')) expect(told).not.toContain(part)
})
