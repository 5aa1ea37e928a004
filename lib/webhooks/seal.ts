import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { BatonError } from '#lib/core/errors'

const algorithm = 'aes-256-gcm'
const version = 'v1'
const ivBytes = 12
const tagBytes = 16
/** Bound to the text, so that a value sealed for another purpose with the same key does not open here. */
const purpose = Buffer.from(`baton.secret.${version}`)

/** Seals a secret for the database: `v1.<iv>.<tag>.<cipher>`, base64url. Throws `not_configured` unless the key has 32 bytes. */
export function sealSecret(plain: string, key: Uint8Array): string {
  const iv = randomBytes(ivBytes)
  const cipher = createCipheriv(algorithm, checkedKey(key), iv, { authTagLength: tagBytes }).setAAD(purpose)
  const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
  return [version, ...[iv, cipher.getAuthTag(), sealed].map((part) => part.toString('base64url'))].join('.')
}

/** The same for the same secret and key, so that two can be compared, and of no use without the key. Throws `not_configured` as `sealSecret` does. */
export function markSecret(plain: string, key: Uint8Array): string {
  return createHmac('sha256', checkedKey(key)).update(`baton.mark.${version}\0${plain}`).digest('base64url')
}

/** Opens what `sealSecret` made. Throws `corrupted_data` when the text was changed or sealed with another key; the message never holds the secret. */
export function openSecret(sealed: string, key: Uint8Array): string {
  const [found, iv, tag, cipher, ...rest] = sealed.split('.')
  if (found !== version || iv === undefined || tag === undefined || cipher === undefined || rest.length > 0) {
    throw new BatonError('corrupted_data', `A stored secret is not of the form ${version}.<iv>.<tag>.<cipher>; set the secret again.`)
  }
  const keyBytes = checkedKey(key)
  try {
    const decipher = createDecipheriv(algorithm, keyBytes, bytes(iv, ivBytes), { authTagLength: tagBytes })
    decipher.setAAD(purpose).setAuthTag(bytes(tag, tagBytes))
    return Buffer.concat([decipher.update(Buffer.from(cipher, 'base64url')), decipher.final()]).toString('utf8')
  } catch (cause) {
    throw new BatonError(
      'corrupted_data',
      'A stored secret cannot be opened: BATON_ENCRYPTION_KEY is not the one it was sealed with, or the text was changed. Restore the key, or set the secret again.',
      {},
      { cause },
    )
  }
}

function checkedKey(key: Uint8Array): Uint8Array {
  if (key.length !== 32) throw new BatonError('not_configured', `BATON_ENCRYPTION_KEY must have 32 bytes, it has ${key.length}.`)
  return key
}

function bytes(text: string, length: number): Buffer {
  const decoded = Buffer.from(text, 'base64url')
  if (decoded.length !== length) throw new Error(`expected ${length} bytes`)
  return decoded
}
