import { setTimeout as sleep } from 'node:timers/promises'

/** How often and how long {@link poll} asks, in milliseconds. */
export interface PollOptions {
  everyMs: number
  forMs: number
}

/** Asks `question` until it answers true; false when the time is up. An error of `question` is passed on. */
export async function poll(question: () => boolean | Promise<boolean>, { everyMs, forMs }: PollOptions): Promise<boolean> {
  const end = performance.now() + forMs
  for (;;) {
    if (await question()) return true
    if (performance.now() >= end) return false
    await sleep(everyMs)
  }
}
