import { hkdfSync } from 'node:crypto'
import { z } from 'zod'
import { BatonError } from '#lib/core/errors'

const streamClaims = z.object({
  kind: z.enum(['agent', 'run']),
  id: z.string(),
  agentUid: z.string(),
  tenantId: z.string(),
  after: z.int().optional(),
})

/** What a stream token allows: reading the events of this one agent or run, nothing else, and where `after` is named those after it. `id` is the agent's name or the run's id. */
export type StreamClaims = z.infer<typeof streamClaims>

/** How long a stream token is good, in milliseconds. */
export const streamTokenMs = 15 * 60_000

const audience = 'baton:events'

/** A key of its own for each purpose, so that a token can never pass for something else that the encryption key protects. */
function signingKey(encryptionKey: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', encryptionKey, new Uint8Array(0), 'baton stream token v1', 32))
}

/** Signs a read-only token for one event stream, good for 15 minutes from `now` (milliseconds since the epoch). */
export async function signStreamToken(claims: StreamClaims, encryptionKey: Uint8Array, now: number): Promise<string> {
  // Loaded where it is used: every route imports this file, few need a token.
  const { SignJWT } = await import('jose/jwt/sign')
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setAudience(audience)
    .setExpirationTime(Math.floor((now + streamTokenMs) / 1_000))
    .sign(signingKey(encryptionKey))
}

/** Reads a token. Throws BatonError unauthorized when it is forged, expired or no stream token; the message never repeats it. */
export async function verifyStreamToken(token: string, encryptionKey: Uint8Array, now: number): Promise<StreamClaims> {
  const { jwtVerify } = await import('jose/jwt/verify')
  try {
    const verified = await jwtVerify(token, signingKey(encryptionKey), {
      algorithms: ['HS256'],
      audience,
      currentDate: new Date(now),
      requiredClaims: ['exp'],
    })
    return streamClaims.parse(verified.payload)
  } catch (cause) {
    throw new BatonError(
      'unauthorized',
      'The stream token is not valid or has expired. Read the run again for a fresh link.',
      {},
      { cause },
    )
  }
}

const callClaims = z.object({ callId: z.string(), agentUid: z.uuid(), template: z.string(), tool: z.string() })

/** What a call's address allows: giving this one call its result, once. The database knows until when. */
export type CallClaims = z.infer<typeof callClaims>

const callAudience = 'baton:tool-result'

function callKey(encryptionKey: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', encryptionKey, new Uint8Array(0), 'baton tool result v1', 32))
}

/** Signs the token of one call that waits outside: the same for the same call. */
export async function signCallToken(claims: CallClaims, encryptionKey: Uint8Array): Promise<string> {
  const { SignJWT } = await import('jose/jwt/sign')
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'HS256' }).setAudience(callAudience).sign(callKey(encryptionKey))
}

/** Reads a call's token. Throws BatonError unauthorized when it is forged or for something else; the message never repeats it. */
export async function verifyCallToken(token: string, encryptionKey: Uint8Array): Promise<CallClaims> {
  const { jwtVerify } = await import('jose/jwt/verify')
  try {
    const verified = await jwtVerify(token, callKey(encryptionKey), { algorithms: ['HS256'], audience: callAudience })
    return callClaims.parse(verified.payload)
  } catch (cause) {
    throw new BatonError('unauthorized', "The token of this tool call is not valid. Use the address from the call's record.", {}, { cause })
  }
}

const secretParameter = /token|secret|key|signature|password|code|jwt/i

/** Path and query of a URL for logs, with the values of parameters that may be secrets left out. */
export function redactUrl(url: string): string {
  const { pathname, searchParams } = new URL(url)
  const query = [...searchParams].map(([name, value]) => {
    const shown = secretParameter.test(name) ? '[redacted]' : encodeURIComponent(value).slice(0, 200)
    return `${encodeURIComponent(name).slice(0, 100)}=${shown}`
  })
  return pathname.slice(0, 500) + (query.length === 0 ? '' : `?${query.slice(0, 30).join('&')}`)
}
