import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'

/** Where /proc is: what processes used is read from it, elsewhere it is not measured. */
export const hasProc = existsSync('/proc/self/stat')

/** Length of a clock tick of /proc, in milliseconds. */
const tickMs = hasProc ? 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) : Number.NaN

/** Fields of /proc/PID/stat after the name, which may hold blanks; undefined when the process has ended. */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // it has ended
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statOf(Number(name))?.[1] === String(pid))
    .map(Number)
}

/** Processor time a process and its children have used (ended children included), in milliseconds; NaN where there is no /proc. */
export function cpuMs(pid: number | null): number {
  if (!hasProc || pid === null) return Number.NaN
  const own = statOf(pid) ?? []
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(own[field] ?? 0), 0)
  const children = childrenOf(pid).reduce((sum, child) => {
    const stat = statOf(child) ?? []
    return sum + Number(stat[11] ?? 0) + Number(stat[12] ?? 0)
  }, 0)
  return (ticks + children) * tickMs
}

/** Resident memory of a process in MB; NaN where there is no /proc. */
export function rssMb(pid: number | null): number {
  if (!hasProc || pid === null) return Number.NaN
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? Number.NaN) / 1024
}
