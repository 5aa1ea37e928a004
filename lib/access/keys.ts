import { createHash, randomBytes } from 'node:crypto'
import { keyStart, type NewKey } from '#lib/core/keys'

/** Characters of a key that are shown to tell it from others: they leave 216 of its 256 random bits unknown. */
const shown = keyStart.length + 7

/** A new API key with what may be stored of it. `text` is for its holder alone and is kept nowhere. */
export function makeKey(id: string): { text: string; stored: NewKey } {
  const text = keyStart + randomBytes(32).toString('base64url')
  return { text, stored: { id, hash: createHash('sha256').update(text).digest('hex'), prefix: text.slice(0, shown) } }
}
