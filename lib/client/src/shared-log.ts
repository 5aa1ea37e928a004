import type { Leavable } from '#client/follow'

/** What one stream says, for any number of readers. */
export interface SharedLog<Item> {
  /** Starts the stream before anybody reads; it is left again when nobody has come by then. */
  prime: () => void
  /** All of it, from the beginning. Whoever leaves last leaves the stream; the next reader comes back to it. */
  read: () => AsyncGenerator<Item, void, undefined>
}

/** Shares a stream, which is read as fast as the fastest reader asks; `failed` is told of its failure beside the readers. */
export function sharedLog<Item>(source: Leavable<Item>, failed: (error: unknown) => void): SharedLog<Item> {
  const items: Item[] = []
  let ended = false
  let failure: { error: unknown } | null = null
  let reading: Promise<void> | null = null
  let readers = 0

  const leave = (): void => {
    if (readers === 0 && !ended) source.leave()
  }

  /** Reads one item more, once for all who ask. Never rejects. */
  const more = (): Promise<void> => {
    reading ??= source.events
      .next()
      .then(
        ({ done, value }) => {
          if (done === true) ended = true
          else items.push(value)
        },
        (error: unknown) => {
          failure = { error }
          failed(error)
        },
      )
      .finally(() => {
        reading = null
      })
    return reading
  }

  return {
    prime: () => void more().then(leave),
    async *read() {
      readers += 1
      try {
        for (let position = 0; ;) {
          while (position < items.length) {
            const item = items[position] as Item
            position += 1
            yield item
          }
          if (failure !== null) throw failure.error
          if (ended) return
          await more()
        }
      } finally {
        readers -= 1
        leave()
      }
    },
  }
}
