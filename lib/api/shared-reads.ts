/**
 * Makes a read that is asked for several times in one turn of the event loop once: a hundred readers who are woken by the same
 * commit cost one round trip. A read that has been sent is never joined, for it may have seen less than the joiner was told of.
 */
export function shareReads<Query extends object, Answer>(read: (query: Query) => Promise<Answer>): (query: Query) => Promise<Answer> {
  const unsent = new Map<string, Promise<Answer>>()
  return (query) => {
    const key = JSON.stringify(query)
    const known = unsent.get(key)
    if (known !== undefined) return known
    const answer = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      unsent.delete(key)
      return read(query)
    })
    unsent.set(key, answer)
    return answer
  }
}
