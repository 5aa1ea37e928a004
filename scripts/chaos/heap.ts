import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { poll } from '#local/poll'

/** NODE_OPTIONS of servers whose heap can be asked for. */
export const heapProbe = `--import=${new URL('heap-probe.ts', import.meta.url).href}`

/** Megabytes that are really in use in each server, after a collection of garbage; a process that does not answer within 5 s is left out. */
export async function heapsInUse(dataDir: string, pids: readonly (number | null)[]): Promise<Record<number, number>> {
  const asked = String(performance.now())
  await writeFile(join(dataDir, 'heap.ask'), asked)
  const heaps: Record<number, number> = {}
  const answered = async (): Promise<boolean> => {
    for (const pid of pids) {
      if (pid === null || heaps[pid] !== undefined) continue
      const text = await readFile(join(dataDir, `heap-${pid}.json`), 'utf8').catch(() => '') // not written yet
      if (text.includes(`"${asked}"`)) heaps[pid] = (JSON.parse(text) as { heapUsed: number }).heapUsed / 1e6
    }
    return pids.every((pid) => pid === null || heaps[pid] !== undefined)
  }
  await poll(answered, { everyMs: 50, forMs: 5_000 })
  return heaps
}
