/** What was made up for a request, such as its Idempotency-Key, for as long as nobody knows whether the request arrived. */
export interface Tries<Made> {
  /** What was made for the same before, so that trying again sends the same request; made anew where it is something else. */
  of: (what: string, make: () => Made) => Made
  /** What was made last, while its answer is not known. */
  open: () => Made | undefined
  /** The answer to what was made is known: the next request is another one, even with the same words. */
  arrived: (made: Made) => void
}

interface Try<Made> {
  what: string
  made: Made
}

/** Where a place that sends keeps what it has tried. */
export interface Kept<Made> {
  read: () => Try<Made> | undefined
  keep: (held: Try<Made> | undefined) => void
}

function keptHere<Made>(): Kept<Made> {
  let held: Try<Made> | undefined
  return { read: () => held, keep: (next) => void (held = next) }
}

/** Makes the memory of one place that sends; it ends with the place, unless it is kept elsewhere. */
export function createTries<Made>({ read, keep }: Kept<Made> = keptHere()): Tries<Made> {
  return {
    of(what, make) {
      const before = read()
      if (before?.what === what) return before.made
      const made = make()
      keep({ what, made })
      return made
    },
    open: () => read()?.made,
    arrived(made) {
      // Who came back to the page may have sent something else meanwhile.
      if (read()?.made === made) keep(undefined)
    },
  }
}
