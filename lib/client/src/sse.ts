import { BatonError } from '#client/errors'

/** One block of an event stream; `data` is empty for a block that only sets a position or the time to reconnect. */
export interface SseFrame {
  id: string | null
  data: string
  retry: number | null
}

/** No event of Baton is as long, in UTF-16 units. */
const longestBlock = 16 * 1_048_576

/**
 * Splits an event stream into its blocks (WHATWG HTML, 9.2.6): it is fed text in any pieces and gives the blocks that are complete. Throws
 * BatonError invalid_answer for a line without an end.
 */
export function sseParser(): (text: string) => SseFrame[] {
  let rest = ''
  let begun = false
  let id: string | null = null
  let data: string[] = []
  let retry: number | null = null

  const take = (line: string): void => {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'data') data.push(value)
    else if (name === 'id' && !value.includes('\0')) id = value
    else if (name === 'retry' && /^\d+$/.test(value)) retry = Number(value)
  }

  return (text) => {
    const frames: SseFrame[] = []
    rest += begun ? text : text.replace(/^\uFEFF/, '')
    begun ||= text !== ''
    for (;;) {
      const at = rest.search(/[\r\n]/)
      // A CR at the end may be half of a CRLF.
      if (at < 0 || (at === rest.length - 1 && rest[at] === '\r')) break
      const line = rest.slice(0, at)
      rest = rest.slice(at + (rest.startsWith('\r\n', at) ? 2 : 1))
      if (line !== '') take(line)
      else if (id !== null || data.length > 0 || retry !== null) {
        frames.push({ id, data: data.join('\n'), retry })
        id = null
        data = []
        retry = null
      }
    }
    if (rest.length > longestBlock) throw new BatonError('A line of the event stream has no end.', { code: 'invalid_answer' })
    return frames
  }
}
