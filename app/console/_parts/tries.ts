/** What was made up for a request, such as its Idempotency-Key, for as long as nobody knows whether the request arrived. */
export interface Tries<Made> {
  /** What was made for the same before, so that trying again sends the same request; made anew where it is something else. */
  of: (what: string, make: () => Made) => Made
  /** The answer is known: the next request is another one, even with the same words. */
  arrived: () => void
}

/** Makes the memory of one place that sends. */
export function createTries<Made>(): Tries<Made> {
  let held: { what: string; made: Made } | null = null
  return {
    of(what, make) {
      if (held?.what !== what) held = { what, made: make() }
      return held.made
    },
    arrived() {
      held = null
    },
  }
}
