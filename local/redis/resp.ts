/** A reply of Redis in RESP2: text and blobs are buffers, so that binary values survive. */
export type Reply = null | number | string | Buffer | RedisReplyError | Reply[]

/** An error reply (`-ERR ...`); a value here, for one command of a pipeline may fail and the others not. */
export class RedisReplyError extends Error {}

/** A value in RESP that breaks the protocol; the connection is of no further use. */
export class ProtocolError extends Error {}

/** Encodes one command for the wire. */
export function encodeCommand(words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)]
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}

interface Parsed {
  reply: Reply
  end: number
}

function lineEnd(buffer: Buffer, start: number): number {
  return buffer.indexOf('\r\n', start)
}

function parseBulk(buffer: Buffer, length: number, start: number): Parsed | undefined {
  if (length < 0) return { reply: null, end: start }
  if (buffer.length < start + length + 2) return undefined
  return { reply: buffer.subarray(start, start + length), end: start + length + 2 }
}

function parseArray(buffer: Buffer, count: number, start: number): Parsed | undefined {
  if (count < 0) return { reply: null, end: start }
  const items: Reply[] = []
  let end = start
  for (let index = 0; index < count; index += 1) {
    const item = parseReply(buffer, end)
    if (item === undefined) return undefined
    items.push(item.reply)
    end = item.end
  }
  return { reply: items, end }
}

/** Reads one reply that begins at `start`; undefined while it is not complete. Throws {@link ProtocolError}. */
export function parseReply(buffer: Buffer, start: number): Parsed | undefined {
  const stop = lineEnd(buffer, start)
  if (stop < 0) return undefined
  const text = buffer.toString('utf8', start + 1, stop)
  const next = stop + 2
  switch (String.fromCharCode(buffer[start] ?? 0)) {
    case '+':
      return { reply: text, end: next }
    case '-':
      return { reply: new RedisReplyError(text), end: next }
    case ':':
      return { reply: Number(text), end: next }
    case '$':
      return parseBulk(buffer, Number(text), next)
    case '*':
      return parseArray(buffer, Number(text), next)
    default:
      throw new ProtocolError(`Unexpected reply from Redis: ${text.slice(0, 80)}`)
  }
}
