/**
 * Bytes of JSON that the rows of one answer may have, as of a page of messages: serverless hosts refuse answers above 4.5 MB, and what is shown of a
 * row may be a little more than what was read.
 */
export const mostBytes = 4_000_000

/** One page of a list; `nextCursor` null on the last. */
export interface Listing<Row> {
  data: Row[]
  nextCursor: string | null
}

/**
 * What one answer shows of the rows that were read: as many as fit, the first in any case. A page that ends early, has all the rows that were asked
 * for, or was read with `more` behind it, has the cursor of its last row.
 */
export function listing<Row>(rows: readonly Row[], limit: number, cursorOf: (last: Row) => string, more = false): Listing<Row> {
  let bytes = 0
  const over = rows.findIndex((row, index) => (bytes += Buffer.byteLength(JSON.stringify(row))) > mostBytes && index > 0)
  const data = over < 0 ? [...rows] : rows.slice(0, over)
  const last = data.at(-1)
  return { data, nextCursor: last !== undefined && (over > 0 || more || rows.length === limit) ? cursorOf(last) : null }
}
