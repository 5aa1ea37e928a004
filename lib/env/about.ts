import { z } from 'zod'

/** What .env.example and the messages about bad configuration say of a variable. */
export interface About {
  group: string
  /** One sentence: what it is and where to get it. */
  says: string
  /** Names under which others (Vercel's integrations) write the same value, tried in order. */
  aliases?: readonly string[]
  /** The default in words, where it depends on something. */
  otherwise?: string
}

/** The sentences that belong to the schemas below. */
export const about = z.registry<About>()

/** The address of a web server. */
export const webUrl = z.url({ protocol: /^https?$/, error: 'must be a URL beginning with https:// or http://' })

/** A secret that somebody makes for Baton, such as of `openssl rand -hex 32`. */
export const longSecret = z
  .string()
  .regex(/^[\x21-\x7e]{32,256}$/, 'must have 32 to 256 characters without blanks')
  // An API key is looked up by its hash: this one would never be found.
  .refine((value) => !value.startsWith('bt_'), 'must not begin with bt_, as API keys do')
