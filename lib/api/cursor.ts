import { BatonError } from '#lib/core/errors'

/** An opaque cursor: the list it belongs to and the key of the last row that was shown. */
export function encodeCursor(list: string, key: string): string {
  return Buffer.from(`${list}:${key}`).toString('base64url')
}

/** The key in a cursor. Throws BatonError invalid_cursor for one of another list or of nobody's making. */
export function decodeCursor(list: string, cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  if (!text.startsWith(`${list}:`) || !/^[A-Za-z0-9_-]{1,80}$/.test(text.slice(list.length + 1))) {
    throw new BatonError('invalid_cursor', 'The cursor is not one of this list: begin again without it.')
  }
  return text.slice(list.length + 1)
}
