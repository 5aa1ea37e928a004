import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** A JSON text with sorted keys (RFC 8785), which is what the SDK hashes to check a signature. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item === undefined ? null : item)).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`)
    return `{${fields.join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

function withoutPrefix(signingKey: string): string {
  return signingKey.replace(/^signkey-\w+-/, '')
}

/** The value of `x-inngest-signature` for a body, stamped with the real clock: the SDK refuses one that is 5 minutes off. */
export function signature(body: string, signingKey: string): string {
  const seconds = Math.round(Date.now() / 1000).toString()
  const digest = createHmac('sha256', withoutPrefix(signingKey)).update(body).update(seconds).digest('hex')
  return `t=${seconds}&s=${digest}`
}

/** The bytes of a key as `hash.js` reads hex: also of keys that are not hex, for those the SDK hashes all the same. */
function lenientHex(text: string): Buffer {
  const digits = text.replace(/[^a-z0-9]+/gi, '')
  const even = digits.length % 2 === 0 ? digits : `0${digits}`
  return Buffer.from((even.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16) || 0))
}

/** What the SDK sends as its bearer token for a signing key: the prefix and the SHA-256 of the key. */
export function hashedSigningKey(signingKey: string): string {
  const prefix = /^signkey-\w+-/.exec(signingKey)?.[0] ?? ''
  return `${prefix}${createHash('sha256')
    .update(lenientHex(withoutPrefix(signingKey)))
    .digest('hex')}`
}

/** True when two secrets are equal, in a time that does not tell where they differ. */
export function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}
