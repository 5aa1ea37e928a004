import type { JWTPayload, JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import type { AccessConfig } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'

/** A signed-in user of the Supabase project, and the tenant it belongs to. */
export interface VerifiedUser {
  id: string
  tenant: string
}

/** Clocks of the project and of this process may differ by so much, in seconds. */
const toleranceSeconds = 5
/** Public keys: how long one fetch may take, how long they are kept, and how soon an unknown key id may cause another fetch. */
const jwks = { timeoutDuration: 3_000, cacheMaxAge: 600_000, cooldownDuration: 30_000 }
const sparedMs = 5_000
/** What Supabase signs with; each kind of key has its own list, so that a public key is never taken for a shared secret. */
const asymmetric = ['ES256', 'RS256', 'EdDSA']
const symmetric = ['HS256']

const claims = z.object({
  sub: z.uuid(),
  role: z.literal('authenticated'),
  is_anonymous: z.boolean().optional(),
  app_metadata: z.record(z.string(), z.unknown()).optional(),
})
const tenantName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/)

/**
 * Makes the check of Supabase user tokens. The promise rejects with BatonError unauthorized (forged, expired, another audience or
 * issuer), forbidden (anonymous, without a tenant) or sign_in_unavailable (the project's keys cannot be read).
 */
export function createUserCheck(users: AccessConfig['users'], now: () => number): (token: string) => Promise<VerifiedUser> {
  let remote: JWTVerifyGetKey | null = null

  async function verify(token: string): Promise<JWTPayload> {
    // Loaded where they are used: every route imports this file, few are called by users.
    const [{ jwtVerify }, { decodeProtectedHeader }] = await Promise.all([
      import('jose/jwt/verify'),
      import('jose/decode/protected_header'),
    ])
    const options = {
      audience: 'authenticated',
      ...(users.issuer === null ? {} : { issuer: users.issuer }),
      requiredClaims: ['exp', 'sub'],
      clockTolerance: toleranceSeconds,
      currentDate: new Date(now()),
    }
    const { alg } = decodeProtectedHeader(token)
    if (alg !== undefined && symmetric.includes(alg)) {
      if (users.jwtSecret === null) throw new Error('SUPABASE_JWT_SECRET is not set')
      return (await jwtVerify(token, new TextEncoder().encode(users.jwtSecret), { ...options, algorithms: symmetric })).payload
    }
    if (alg === undefined || !asymmetric.includes(alg) || users.jwksUrl === null)
      throw new Error(`tokens are not signed with ${String(alg).slice(0, 20)}`)
    if (remote === null) {
      const { createRemoteJWKSet } = await import('jose/jwks/remote')
      remote = sparing(createRemoteJWKSet(new URL(users.jwksUrl), jwks), now)
    }
    return (await jwtVerify(token, remote, { ...options, algorithms: asymmetric })).payload
  }

  return async (token) => {
    const payload = await verify(token).catch((cause: unknown) => {
      if (isOutage(cause))
        throw new BatonError(
          'sign_in_unavailable',
          'The public keys of the Supabase project cannot be read. Nothing was done.',
          {},
          { cause },
        )
      throw new BatonError('unauthorized', 'The token is not valid here or has expired: sign in again.', {}, { cause: explained(cause) })
    })
    const parsed = claims.safeParse(payload)
    if (!parsed.success)
      throw new BatonError('unauthorized', 'The token is not that of a signed-in user.', {}, { cause: new Error('claims are not a user') })
    const { sub, is_anonymous: anonymous = false, app_metadata: metadata = {} } = parsed.data
    if (anonymous && !users.allowAnonymous) {
      throw new BatonError('forbidden', 'Anonymous sign-ins may not call here (BATON_ALLOW_ANONYMOUS).', { reason: 'anonymous' })
    }
    const named = metadata[users.tenantClaim]
    const tenant = named === undefined || named === null ? users.tenant : named
    const checked = tenantName.safeParse(tenant)
    if (!checked.success) {
      const message = `The token names no tenant (app_metadata.${users.tenantClaim}), and BATON_USER_TENANT is not set.`
      throw new BatonError('forbidden', message, { reason: 'no_tenant' })
    }
    return { id: sub, tenant: checked.data }
  }
}

/** After a fetch that failed, nobody's token causes another one for a while. */
function sparing(keys: JWTVerifyGetKey & { fresh: boolean }, now: () => number): JWTVerifyGetKey {
  let failed: { at: number; cause: unknown } | null = null
  return async (header, token) => {
    if (failed !== null && !keys.fresh && now() - failed.at < sparedMs) throw failed.cause
    try {
      return await keys(header, token)
    } catch (cause) {
      if (isOutage(cause)) failed = { at: now(), cause }
      throw cause
    }
  }
}

/** True where the project's keys could not be fetched: the caller's token may be good. A key id that is not among them is no outage. */
function isOutage(cause: unknown): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : null
  if (code === 'ERR_JWKS_TIMEOUT' || code === 'ERR_JWKS_INVALID' || code === 'ERR_JOSE_GENERIC') return true
  // What fetch throws when nobody listens at the address.
  return cause instanceof TypeError && cause.message === 'fetch failed'
}

/** The library's words without what it quotes of the token. */
function explained(cause: unknown): Error {
  return new Error(cause instanceof Error ? cause.message.slice(0, 200) : 'not verified')
}
