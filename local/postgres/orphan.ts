import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { poll } from '#local/poll'

/** Whether a process with this id exists (also when it belongs to another user). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function commandLine(pid: number): string {
  try {
    const file = `/proc/${pid}/cmdline`
    if (existsSync('/proc/self/cmdline')) return readFileSync(file, 'utf8').replaceAll('\0', ' ')
    return execFileSync('ps', ['-p', String(pid), '-o', 'args='], { encoding: 'utf8', timeout: 5_000 })
  } catch {
    return '' // the process ended while we looked
  }
}

/** The process id of the live postmaster on a data folder, read from its postmaster.pid; undefined if there is none. */
export function livePostmaster(folder: string): number | undefined {
  const file = join(folder, 'postmaster.pid')
  if (!existsSync(file)) return undefined
  const pid = Number(readFileSync(file, 'utf8').split('\n', 1)[0])
  if (!Number.isInteger(pid) || pid < 2 || !isAlive(pid)) return undefined
  // after a reboot the id may belong to anything: only a PostgreSQL on this very folder is stopped
  return commandLine(pid).includes(folder) ? pid : undefined
}

/**
 * Stops a postmaster and waits for its end: fast shutdown first, then immediate, then SIGKILL; at most about 5 s.
 * Resolves at once when it does not live.
 */
export async function stopPostmaster(pid: number): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGINT', 2_500],
    ['SIGQUIT', 1_000],
    ['SIGKILL', 1_000],
  ] as const) {
    if (!isAlive(pid)) return
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return
      throw error
    }
    if (await poll(() => !isAlive(pid), { everyMs: 10, forMs: patienceMs })) return
  }
  throw new Error(`PostgreSQL process ${pid} does not end.`)
}
