/** What a process does before it ends, in milliseconds: longer, and whoever stopped it would kill it. */
const mostMs = 9_500

/** From then on a SIGINT is another one, in milliseconds after the first. */
const againMs = 1_000

/** Work that the signal starts; never rejects. */
export type LastWork = () => Promise<void>

declare global {
  /** On globalThis: Next holds several copies of this module in a process, and there is one end. */
  var batonLastWorks: Set<LastWork> | undefined
}

/** True from SIGTERM or SIGINT on. */
let ending = false

/** Whether this process was told to end. */
export const isEnding = (): boolean => ending

/**
 * Ends the process in order at SIGTERM and at SIGINT, which Ctrl-C and some hosts send: all last works are begun at once, and when they and Next have ended, or after 9.5 s, it leaves with 0.
 * Next waits for open requests, but not for us, and leaves with 143 or 130, which orchestrators take for a failure. Another SIGINT ends it at once.
 */
export function leaveInOrder(): Set<LastWork> {
  if (globalThis.batonLastWorks !== undefined) return globalThis.batonLastWorks
  const works = new Set<LastWork>()
  globalThis.batonLastWorks = works
  const leave = process.exit.bind(process)
  let begunAt: number | null = null
  const end = (signal: NodeJS.Signals): void => {
    if (begunAt !== null) {
      // One Ctrl-C may come twice, from the shell and from npm.
      if (signal === 'SIGINT' && performance.now() - begunAt > againMs) leave(130)
      return
    }
    begunAt = performance.now()
    const worked = Promise.allSettled([...works].map((work) => work()))
    // The one thing that Next does at its end and leaves no other hook for; it has nothing to do after it.
    process.exit = (() => void worked.then(() => leave(0))) as typeof process.exit
    // A request that never ends must not keep the process beyond its time.
    setTimeout(() => leave(0), mostMs).unref()
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, end)
  return works
}

/** Lets the process do this work before it ends. */
export function beforeTheEnd(work: LastWork): void {
  leaveInOrder().add(async () => {
    ending = true
    await work()
  })
}
