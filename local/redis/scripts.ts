import { createHash } from 'node:crypto'

/** Most scripts remembered. */
const scriptLimit = 1_000

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex')

/**
 * Remembers under which digest Redis knows a script whose flag line was stripped: the client computes the digest of
 * the whole text, Redis that of the rest. The oldest entry goes when there are too many.
 */
export function createScriptTable(): { learn: (original: string, stripped: string) => void; translate: (digest: string) => string } {
  const known = new Map<string, string>()
  return {
    learn: (original, stripped) => {
      if (original === stripped) return
      if (known.size >= scriptLimit) {
        const oldest = known.keys().next().value
        if (oldest !== undefined) known.delete(oldest)
      }
      known.set(sha1(original), sha1(stripped))
    },
    translate: (digest) => known.get(digest.toLowerCase()) ?? digest,
  }
}
