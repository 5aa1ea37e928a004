import { stoppable, type Leavable } from '#client/follow'

/** What one stream says, for any number of readers. */
export interface SharedLog<Item> {
  /** Starts the stream before anybody reads. It is not left before `known`, or an item; then it is where nobody has come by then. */
  prime: (known: Promise<unknown>) => void
  /** All of it, from the beginning. Whoever leaves last leaves the stream; the next reader comes back to it. */
  read: () => AsyncIterableIterator<Item, void>
}

/** Shares a stream, which is read as fast as the fastest reader asks; `failed` is told of its failure beside the readers. */
export function sharedLog<Item>(source: Leavable<Item>, failed: (error: unknown) => void): SharedLog<Item> {
  const items: Item[] = []
  let ended = false
  let failure: { error: unknown } | null = null
  let reading: Promise<void> | null = null
  let readers = 0
  let priming = false

  const leave = (): void => {
    if (readers === 0 && !ended && !priming) source.leave()
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
    prime(known) {
      priming = true
      const primed = (): void => {
        priming = false
        leave()
      }
      Promise.race([known, more()]).then(primed, primed)
    },
    read() {
      let gone = false
      let wake = (): void => undefined
      async function* all(): AsyncGenerator<Item, void, undefined> {
        readers += 1
        source.come()
        try {
          for (let position = 0; !gone;) {
            if (position < items.length) {
              yield items[position] as Item
              position += 1
              continue
            }
            if (failure !== null) throw failure.error
            if (ended) return
            await new Promise<void>((resolve) => {
              wake = resolve
              void more().then(resolve)
            })
          }
        } finally {
          readers -= 1
          leave()
        }
      }
      return stoppable(all(), () => {
        gone = true
        wake()
      })
    },
  }
}
