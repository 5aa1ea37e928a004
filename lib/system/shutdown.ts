/** What a process does before it ends, in milliseconds: longer, and whoever stopped it would kill it. */
const mostMs = 9_500

/** Work that SIGTERM starts; never rejects. */
export type LastWork = () => Promise<void>

declare global {
  /** On globalThis: Next holds several copies of this module in a process, and there is one end. */
  var batonLastWorks: Set<LastWork> | undefined
}

/** True from SIGTERM on. */
let ending = false

/** Whether this process was told to end. */
export const isEnding = (): boolean => ending

/**
 * Ends the process in order at SIGTERM: all last works are begun at once, and when they and Next have ended, or after 9.5 s, it leaves with 0.
 * Next waits for open requests, but not for us, and leaves with 143, which orchestrators take for a failure.
 */
export function leaveInOrder(): Set<LastWork> {
  if (globalThis.batonLastWorks !== undefined) return globalThis.batonLastWorks
  const works = new Set<LastWork>()
  globalThis.batonLastWorks = works
  process.once('SIGTERM', () => {
    const leave = process.exit.bind(process)
    const worked = Promise.allSettled([...works].map((work) => work()))
    // The one thing that Next does at its end and leaves no other hook for; it has nothing to do after it.
    process.exit = (() => void worked.then(() => leave(0))) as typeof process.exit
    // A request that never ends must not keep the process beyond its time.
    setTimeout(() => leave(0), mostMs).unref()
  })
  return works
}

/** Lets the process do this work before it ends. */
export function beforeTheEnd(work: LastWork): void {
  leaveInOrder().add(async () => {
    ending = true
    await work()
  })
}
