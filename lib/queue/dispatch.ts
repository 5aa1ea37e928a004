import { reasonOf } from '#lib/core/errors'
import type { Log, OutboxRow, Queue } from '#lib/core/ports'

/** Sends outbox rows in the background of the requests and slices that wrote them. */
export interface Dispatcher {
  /** Takes committed rows; never throws. A row that could not be sent stays in the outbox, and the sweeper sends it again. */
  dispatch: (rows: readonly OutboxRow[]) => void
  /** Ends when all rows that were taken until now have been sent, or not. */
  settled: () => Promise<void>
}

/**
 * Makes the dispatcher over the queue; `mark` notes rows as sent. One batch is under way at a time: what comes meanwhile goes together as the next
 * one, so many callers at once cost few requests and few transactions, and a single one waits for nobody.
 */
export function createDispatcher({ queue, mark, log }: { queue: Queue; mark: (ids: string[]) => Promise<void>; log: Log }): Dispatcher {
  let running: Promise<void> | null = null
  let next: { rows: OutboxRow[]; done: Promise<void> } | null = null

  async function send(rows: readonly OutboxRow[]): Promise<void> {
    try {
      await queue.send(rows)
      await mark(rows.map((row) => row.id))
    } catch (error) {
      log.warn('outbox rows were not sent; the sweeper repeats them', { rows: rows.length, error: reasonOf(error) })
    }
  }

  function begin(rows: readonly OutboxRow[]): Promise<void> {
    const batch = send(rows).then(() => {
      if (running === batch) running = null
    })
    running = batch
    return batch
  }

  return {
    dispatch(rows) {
      if (rows.length === 0) return
      if (next !== null) {
        next.rows.push(...rows)
      } else if (running !== null) {
        const waiting = [...rows]
        next = {
          rows: waiting,
          done: running.then(() => {
            next = null
            return begin(waiting)
          }),
        }
      } else {
        void begin(rows)
      }
    },
    settled: async () => void (await Promise.all([running, next?.done])),
  }
}
