import type { MessageRow } from '#app/console/_parts/agent/conversation.tsx'
import { call, query, type Page } from '#app/console/_parts/api'

/** How many messages a page shows at first, and how many more with each press. */
export const messagesShown = 100
/** The most that the API hands out at once. */
const pageSize = 200
const patienceMs = 30_000

/** What is known of a conversation: all messages that have entered since a number, and what waits in the queue. */
export interface Messages {
  /** The number of the last message that is not shown; 0 when all are. */
  from: number
  entered: readonly MessageRow[]
  queued: readonly MessageRow[]
}

/** Reads a conversation from its end: what it has read stays, however long it grows. */
export interface MessageReader {
  /** Reads to the newest message. Throws Problem; what was read until then is shown. */
  newer: (left: AbortSignal) => Promise<void>
  /** Reads the page before the first one shown. Throws Problem. */
  earlier: () => Promise<void>
}

const seqOf = ({ seq = 0 }: MessageRow): number => seq

/** A reader of the messages below `path`, of which there are `count` now; `show` is given all that is known after each answer. */
export function createMessageReader(path: string, count: number, show: (messages: Messages) => void): MessageReader {
  let held: Messages = { from: Math.max(0, count - messagesShown), entered: [], queued: [] }
  const read = (fields: { limit: number; after?: number; before?: number }, left?: AbortSignal): Promise<Page<MessageRow>> => {
    const patience = AbortSignal.timeout(patienceMs)
    const signal = left === undefined ? patience : AbortSignal.any([left, patience])
    return call('GET', `${path}${query(fields)}`, { signal })
  }
  const newest = (): number => Math.max(held.from, ...held.entered.slice(-1).map(seqOf))
  const keep = (messages: Partial<Messages>): void => show((held = { ...held, ...messages }))

  return {
    async newer(left) {
      // The last ones are read again: a repair may have changed them.
      let after: number | null = Math.max(held.from, newest() - messagesShown)
      while (after !== null) {
        const start: number = after
        const { data, nextCursor } = await read({ limit: pageSize, after: start }, left)
        if (left.aborted) return
        const kept = held.entered.filter((row) => seqOf(row) <= start)
        const queued = data.filter(({ seq }) => seq === undefined)
        // What waits comes when all that entered has been told. The first page of it is shown: more than its 4 MB is nothing to read.
        const isLast = nextCursor === null || queued.length > 0
        keep({ entered: [...kept, ...data.filter(({ seq }) => seq !== undefined)], ...(isLast ? { queued } : {}) })
        after = isLast ? null : newest()
      }
    },
    async earlier() {
      const { from } = held
      let first = from + 1
      const rows: MessageRow[] = []
      // A page of large messages has fewer than were asked for: only one without any is the beginning.
      while (first > 1 && rows.length < messagesShown) {
        const { data } = await read({ limit: messagesShown - rows.length, before: first })
        rows.unshift(...data)
        first = data[0] === undefined ? 1 : seqOf(data[0])
      }
      if (from > 0) keep({ from: first - 1, entered: [...rows, ...held.entered] })
    },
  }
}
