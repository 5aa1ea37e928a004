import { BatonError } from '#lib/core/errors'
import { instant } from '#lib/core/instant'

/** The lists that are paged, and what the key of a row looks like in each: a cursor is checked before it reaches the database. */
const keys = {
  agents: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  runs: /^run_[0-9a-f]{1,64}$/,
  'tool-calls': /^call_[0-9a-f]{1,64}$/,
  keys: /^key_[0-9a-f]{1,64}$/,
  switches: /^(?:global|tenant|(?:run|agent|user|key):.{1,160})$/,
  approvals: /^apr_[0-9a-f]{1,64}$/,
  // The second number is a place in the queue.
  messages: /^\d{1,15}(?:\|\d{1,16})?$/,
  audit: /^[0-9T:.+Z-]{19,35}\|\d{1,18}$/,
  webhooks: /^whe_[0-9a-f]{1,64}$/,
  deliveries: /^\d{1,15}$/,
  budgets: /^[^\s]{1,200} (?:run|day|month|lifetime)$/,
  'usage-agent': /^.{0,200}$/,
  'usage-user': /^[0-9a-f-]{0,36}$/,
  'usage-key': /^.{0,200}$/,
  'usage-model': /^.{0,200}$/,
  'usage-day': /^\d{4}-\d{2}-\d{2}$/,
} as const
type List = keyof typeof keys

/** The two orders of a list: a cursor belongs to one of them. */
export type Order = 'asc' | 'desc'

/** An opaque cursor: the list it belongs to, its order, and the key of the last row that was shown. */
export function encodeCursor(list: List, key: string, order: Order = 'asc'): string {
  return Buffer.from(`${list}:${order}:${key}`).toString('base64url')
}

/** The key in a cursor. Throws BatonError invalid_cursor for one of another list or order, or of nobody's making. */
export function decodeCursor(list: List, cursor: string, order: Order = 'asc'): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  const head = `${list}:${order}:`
  const key = text.slice(head.length)
  if (!text.startsWith(head) || !keys[list].test(key) || (list === 'audit' && !instant.safeParse(key.split('|')[0]).success)) {
    throw new BatonError('invalid_cursor', 'The cursor is not one of this list in this order: begin again without it.')
  }
  return key
}
