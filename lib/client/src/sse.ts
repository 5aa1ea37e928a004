import { BatonError } from '#client/errors'

/** One block of an event stream; `data` is empty for a block that only sets a position or the time to reconnect. */
export interface SseFrame {
  id: string | null
  data: string
  retry: number | null
}

/** No event of Baton is as long, in UTF-16 units. */
const longestBlock = 16 * 1_048_576

/** Splits an event stream into its blocks (WHATWG HTML, 9.2.6); text may come in any pieces. */
export class SseParser {
  private rest = ''
  private begun = false
  private id: string | null = null
  private data: string[] = []
  private retry: number | null = null

  /** The blocks that are complete now. Throws BatonError invalid_answer for one without an end. */
  feed(text: string): SseFrame[] {
    if (!this.begun && text !== '') {
      this.begun = true
      if (text.startsWith('\uFEFF')) text = text.slice(1)
    }
    const frames: SseFrame[] = []
    this.rest += text
    for (;;) {
      const at = this.rest.search(/[\r\n]/)
      // A CR at the end may be half of a CRLF.
      if (at < 0 || (at === this.rest.length - 1 && this.rest[at] === '\r')) break
      const line = this.rest.slice(0, at)
      this.rest = this.rest.slice(at + (this.rest.startsWith('\r\n', at) ? 2 : 1))
      if (line !== '') this.line(line)
      else if (this.id !== null || this.data.length > 0 || this.retry !== null) {
        frames.push({ id: this.id, data: this.data.join('\n'), retry: this.retry })
        this.id = null
        this.data = []
        this.retry = null
      }
    }
    if (this.rest.length > longestBlock) throw new BatonError('A line of the event stream has no end.', { code: 'invalid_answer' })
    return frames
  }

  private line(line: string): void {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'data') this.data.push(value)
    else if (name === 'id' && !value.includes('\0')) this.id = value
    else if (name === 'retry' && /^\d+$/.test(value)) this.retry = Number(value)
  }
}
