import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BoundedLog } from '#local/logs'
import { poll } from '#local/poll'

/** What the supervisor must know about a part. */
export interface PartSpec {
  name: string
  /** Starts the process; must not wait for it to be ready. */
  start: () => ChildProcess
  /** Whether the part answers now. */
  answers: () => Promise<boolean>
  /** How the part is asked to end, and how long it may take, in milliseconds. */
  stop: { signal: NodeJS.Signals; patienceMs: number }
  log: BoundedLog
  /** Called after each start, with the new process. */
  started?: (child: ChildProcess) => void
}

/** A process that is started again whenever it ends, until it is stopped. */
export interface Part {
  name: string
  /** Id of the present process; undefined between an end and the next start. */
  pid: () => number | undefined
  /** Sends a message to the present process; dropped when there is none. */
  tell: (message: object) => void
  /** Sends a signal; resolves when the process has ended if that is what the signal does (5 s at most). */
  kill: (signal: NodeJS.Signals) => Promise<void>
  /** Resolves when the part answers; throws with the end of its log after `forMs`, or when it keeps ending. */
  ready: (forMs: number) => Promise<void>
  /** Stops the process for good, by force if it must; `resume` starts it again. */
  stop: () => Promise<void>
  resume: () => void
}

/** First and longest pause before a part is started again, in milliseconds; a part that lived `steadyMs` starts anew. */
const backOff = { firstMs: 100, longestMs: 5_000, steadyMs: 10_000 }

/** Ends before a part was ever ready after which its start counts as failed: about 6 s of trying. */
const failedStarts = 7

/** Signals after which a process goes on. */
const harmless = new Set<NodeJS.Signals>(['SIGSTOP', 'SIGCONT', 'SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGTSTP', 'SIGWINCH'])

/** The pause before the n-th start in a row (n from 1), in milliseconds. */
export function pauseBefore(attempt: number): number {
  return Math.min(backOff.firstMs * 2 ** (attempt - 1), backOff.longestMs)
}

function signalTo(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // no such process: it has ended, as wanted
  }
}

/** Ends what a part's process left behind: its children share its group, for parts are started detached. */
function endGroup(pid: number): void {
  if (process.platform !== 'win32') signalTo(-pid, 'SIGKILL')
}

/** Starts a part and keeps it running. `changed` is called whenever its process id changes; `tell` hears of a death that nobody wanted. */
export function supervise(spec: PartSpec, changed: () => void, tell: (line: string) => void): Part {
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()
  let wanted = true
  let everReady = false
  let endsBeforeReady = 0
  let attempt = 0
  let restart: NodeJS.Timeout | undefined

  const launch = (): void => {
    const startedAt = performance.now()
    const process_ = spec.start()
    child = process_
    process_.stdout?.on('data', (chunk: Buffer) => spec.log.write(chunk))
    process_.stderr?.on('data', (chunk: Buffer) => spec.log.write(chunk))
    ended = new Promise((done) => {
      const end = (why: string): void => {
        if (child !== process_) return
        child = undefined
        spec.log.write(`[supervisor] ${spec.name} ended: ${why}\n`)
        if (process_.pid !== undefined) endGroup(process_.pid)
        if (!everReady) endsBeforeReady += 1
        attempt = performance.now() - startedAt > backOff.steadyMs ? 1 : attempt + 1
        if (wanted && everReady) tell(`  ${spec.name} ended (${why}) and is started again`)
        if (wanted) restart = setTimeout(launch, pauseBefore(attempt))
        changed()
        done()
      }
      process_.once('error', (error) => end(error.message)) // it could not be started at all
      process_.once('exit', (code, signal) => end(signal ?? `code ${code}`))
    })
    spec.started?.(process_)
    changed()
  }

  const gone = async (patienceMs: number): Promise<boolean> =>
    Promise.race([ended.then(() => true), sleep(patienceMs, false, { ref: false })])

  launch()
  return {
    name: spec.name,
    pid: () => child?.pid,
    tell: (message) => {
      if (child?.connected === true) child.send(message, () => undefined) // it ended meanwhile: its successor is told at its start
    },
    kill: async (signal) => {
      const pid = child?.pid
      if (pid === undefined) return
      signalTo(pid, signal)
      if (!harmless.has(signal)) await gone(5_000)
    },
    ready: async (forMs) => {
      const failure = (what: string): Error => new Error(`${spec.name} ${what}. The end of its log:\n${spec.log.tail(15)}`)
      const answered = await poll(
        async () => {
          if (!wanted) throw failure('was stopped')
          if (!everReady && endsBeforeReady >= failedStarts) throw failure('does not start')
          return child !== undefined && (await spec.answers())
        },
        { everyMs: 50, forMs },
      )
      if (!answered) throw failure(`did not answer within ${forMs} ms`)
      everReady = true
    },
    stop: async () => {
      wanted = false
      clearTimeout(restart)
      const pid = child?.pid
      if (pid === undefined) return
      signalTo(pid, spec.stop.signal)
      if (await gone(spec.stop.patienceMs)) return
      signalTo(pid, 'SIGKILL')
      if (!(await gone(10_000))) throw new Error(`${spec.name} (process ${pid}) does not end.`)
    },
    resume: () => {
      if (wanted) return
      wanted = true
      launch()
    },
  }
}
