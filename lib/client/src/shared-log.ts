import type { Leavable } from '#client/follow'

/** What one stream says, for any number of readers: each gets all of it from the beginning; it is read as fast as the fastest asks. */
export class SharedLog<Item> {
  private readonly items: Item[] = []
  private ended = false
  private failure: { error: unknown } | null = null
  private reading: Promise<void> | null = null
  private readers = 0
  private readonly source: Leavable<Item>
  private readonly failed: (error: unknown) => void

  /** `failed` is told of the stream's failure beside its readers. */
  constructor(source: Leavable<Item>, failed: (error: unknown) => void) {
    this.source = source
    this.failed = failed
  }

  /** Starts the stream before anybody reads; it is left again when nobody has come by then. */
  prime(): void {
    void this.more().then(() => this.leave())
  }

  /** All items. Whoever leaves last leaves the stream; the next reader comes back to it. */
  async *read(): AsyncGenerator<Item, void, undefined> {
    this.readers += 1
    try {
      for (let position = 0; ;) {
        while (position < this.items.length) {
          const item = this.items[position] as Item
          position += 1
          yield item
        }
        if (this.failure !== null) throw this.failure.error
        if (this.ended) return
        await this.more()
      }
    } finally {
      this.readers -= 1
      this.leave()
    }
  }

  private leave(): void {
    if (this.readers === 0 && !this.ended) this.source.leave()
  }

  /** Reads one item more, once for all who ask. Never rejects. */
  private more(): Promise<void> {
    this.reading ??= this.source.events
      .next()
      .then(
        ({ done, value }) => {
          if (done === true) this.ended = true
          else this.items.push(value)
        },
        (error: unknown) => {
          this.failure = { error }
          this.failed(error)
        },
      )
      .finally(() => {
        this.reading = null
      })
    return this.reading
  }
}
