import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Rpc } from '#lib/store/rpc'

/** Where this process is to die: before or after the nth outward call of that name, so many times over restarts. */
export const crashPoint = z.strictObject({
  at: z.enum(['before', 'after']),
  /** Name of an RPC (`baton_commit`), or `model`, `tool`, or `any`. */
  call: z.string().max(64),
  nth: z.int().positive().default(1),
  times: z.int().positive().max(100).default(1),
})
export type CrashPoint = z.output<typeof crashPoint>

/** Ports that die: for tests from outside. The point is kept in a file, so that a process that was started again dies again where `times` says so. */
export interface Crasher {
  arm(point: CrashPoint | null): void
  wrap(rpc: Rpc): Rpc
  effect(kind: string): void
}

export function createCrasher(dataDir: string): Crasher {
  const file = join(dataDir, 'crash.json')
  let armed: CrashPoint | null = existsSync(file) ? crashPoint.parse(JSON.parse(readFileSync(file, 'utf8'))) : null
  let seen = 0

  function reached(at: CrashPoint['at'], call: string): void {
    if (armed === null || armed.at !== at || (armed.call !== 'any' && armed.call !== call)) return
    seen += 1
    if (seen < armed.nth) return
    if (armed.times > 1) writeFileSync(file, JSON.stringify({ ...armed, times: armed.times - 1 }))
    else rmSync(file, { force: true })
    process.kill(process.pid, 'SIGKILL')
  }
  return {
    arm(point) {
      armed = point
      seen = 0
      if (point === null) rmSync(file, { force: true })
      else writeFileSync(file, JSON.stringify(point))
    },
    wrap: (rpc) => async (name, argument) => {
      reached('before', name)
      const answer = await rpc(name, argument)
      reached('after', name)
      return answer
    },
    effect: (kind) => reached('before', kind),
  }
}
