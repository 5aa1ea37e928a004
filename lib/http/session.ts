import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { BatonError } from '#lib/core/errors'

const session = z.object({ credential: z.string(), csrf: z.string(), expiresAt: z.int() })

/** What the console's cookie holds, sealed: the credential that was pasted, the word that its writes must bring, and its end (milliseconds since the epoch). */
export type ConsoleSession = z.infer<typeof session>

/** How long a session lasts at most, in milliseconds: a working day. */
export const sessionMs = 12 * 3_600_000

const algorithm = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
/** Browsers take cookies of 4,096 bytes; the name and the attributes need some of them. */
const longestCookie = 3_800
/** `__Host-` lets no other host of the domain set it; it goes with Secure, which plain http on loopback may lack. */
const cookieNames = { local: 'baton_session', deployed: '__Host-baton_session' }

interface Place {
  local: boolean
  encryptionKey: Uint8Array
}

/** A key of its own, so that nothing else that the encryption key seals opens as a session. */
function sealingKey(encryptionKey: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', encryptionKey, new Uint8Array(0), 'baton console session v1', 32))
}

/** Begins a session: the Set-Cookie header and the session itself. Throws BatonError unauthorized for a credential that no cookie can hold. */
export function beginSession(
  { credential, expiresAt }: Omit<ConsoleSession, 'csrf'>,
  place: Place & { now: number },
): { session: ConsoleSession; cookie: string } {
  const made: ConsoleSession = { credential, csrf: randomBytes(24).toString('base64url'), expiresAt }
  const iv = randomBytes(ivBytes)
  const cipher = createCipheriv(algorithm, sealingKey(place.encryptionKey), iv, { authTagLength: tagBytes })
  const sealed = Buffer.concat([cipher.update(JSON.stringify(made), 'utf8'), cipher.final()])
  const value = Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')
  if (value.length > longestCookie) throw new BatonError('unauthorized', 'The credential is too long for a session of the console.')
  return { session: made, cookie: cookieOf(value, Math.floor((expiresAt - place.now) / 1_000), place) }
}

/** The Set-Cookie header that ends the session in this browser. */
export function endSession(place: Pick<Place, 'local'>): string {
  return cookieOf('', 0, place)
}

function cookieOf(value: string, maxAge: number, { local }: Pick<Place, 'local'>): string {
  const name = local ? cookieNames.local : cookieNames.deployed
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAge}${local ? '' : '; Secure'}`
}

/** The session that a request brings; null without one, and for one that has ended or was sealed with another key. */
export function sessionOf(request: Request, place: Place & { now: number }): ConsoleSession | null {
  const name = place.local ? cookieNames.local : cookieNames.deployed
  const value = (request.headers.get('cookie') ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(`${name}=`))
    ?.slice(name.length + 1)
  if (value === undefined || value === '' || value.length > longestCookie) return null
  const opened = open(Buffer.from(value, 'base64url'), place.encryptionKey)
  return opened !== null && opened.expiresAt > place.now ? opened : null
}

function open(bytes: Buffer, encryptionKey: Uint8Array): ConsoleSession | null {
  if (bytes.length <= ivBytes + tagBytes) return null
  try {
    const decipher = createDecipheriv(algorithm, sealingKey(encryptionKey), bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
    decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes))
    const text = Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]).toString('utf8')
    return session.parse(JSON.parse(text))
  } catch {
    // Another deployment's cookie on the same host, or a forged one: as good as none.
    return null
  }
}

/**
 * Refuses what a page of another site, or of another host of this site, lets a browser send with its cookies (Fetch Metadata, and Origin
 * where a browser sends no such header). Throws BatonError forbidden.
 */
export function checkSameOrigin(request: Request): void {
  const site = request.headers.get('sec-fetch-site')
  const origin = request.headers.get('origin')
  const host = request.headers.get('x-forwarded-host') ?? request.headers.get('host')
  const foreign = site === null ? origin !== null && hostOf(origin) !== host : site !== 'same-origin' && site !== 'none'
  if (foreign) throw new BatonError('forbidden', "The console's session is for its own pages only.", { reason: 'cross_site' })
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null
}

/** A request with a session must come from the console's own page; one that may change something must bring the session's word. Throws BatonError forbidden. */
export function checkSessionRequest(request: Request, { csrf }: Pick<ConsoleSession, 'csrf'>): void {
  checkSameOrigin(request)
  if (request.method === 'GET' || request.method === 'HEAD') return
  const given = Buffer.from(request.headers.get('x-baton-csrf') ?? '')
  const wanted = Buffer.from(csrf)
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw new BatonError('forbidden', 'A request with a session that may change something needs the header x-baton-csrf.', {
      reason: 'csrf',
    })
}
