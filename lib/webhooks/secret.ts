import { randomBytes } from 'node:crypto'
import { BatonError } from '#lib/core/errors'

const prefix = 'whsec_'
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const longest = 512

/**
 * The HMAC key of a webhook secret. `whsec_<base64>` is decoded, as Standard Webhooks says; any other text is the key itself, in UTF-8
 * (its receiver verifies with `whsec_` and the base64 of the text). Throws `webhook_refused` for a secret that no receiver could use.
 */
export function webhookKey(secret: string): Uint8Array {
  if (secret.length > longest)
    throw new BatonError('webhook_refused', `The webhook secret has more than ${longest} characters; use a shorter one.`)
  if (!secret.startsWith(prefix)) {
    if (secret === '') throw new BatonError('webhook_refused', 'The webhook secret is empty; leave it out or give one.')
    return Buffer.from(secret, 'utf8')
  }
  const encoded = secret.slice(prefix.length)
  if (encoded === '' || !base64.test(encoded)) {
    throw new BatonError(
      'webhook_refused',
      'A webhook secret that begins with whsec_ must go on in base64; leave the prefix out to use any text.',
    )
  }
  return Buffer.from(encoded, 'base64')
}

/** Makes a secret: `whsec_` and 32 random bytes. */
export function makeWebhookSecret(): string {
  return prefix + randomBytes(32).toString('base64')
}
