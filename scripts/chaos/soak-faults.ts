import { setTimeout as sleep } from 'node:timers/promises'
import type { Stack } from '#local/stack'
import { killServer } from '#scripts/chaos/faults'
import type { Chance } from '#scripts/chaos/random'

/** Parts that go away and come back while messages arrive. */
export interface SoakFaults {
  counts: Record<string, number>
  /** Ends the last fault and leaves every part running. */
  stop(): Promise<void>
}

/** One fault after the other until it is stopped; `kills` says whether server processes die, too. */
export function startFaults(options: { stack: Stack; chance: Chance; servers: number; kills: boolean }): SoakFaults {
  const { stack, chance, servers, kills } = options
  const counts: Record<string, number> = {}
  let blowing = true
  const away = async (part: 'redis' | 'executor', ms: number): Promise<void> => {
    await stack.halt(part)
    await sleep(ms)
    stack.resume(part)
    await stack.waitReady(part)
  }
  const done = (async () => {
    while (blowing) {
      await sleep(chance.whole(2_000, 8_000))
      if (!blowing) return
      const kind = chance.pick(kills ? (['kill', 'kill', 'redis', 'executor'] as const) : (['redis', 'executor'] as const))
      if (kind === 'kill') await killServer(stack, chance.whole(0, servers - 1))
      else await away(kind, chance.whole(1_000, 5_000))
      counts[kind] = (counts[kind] ?? 0) + 1
    }
  })()
  return {
    counts,
    async stop() {
      blowing = false
      await done
      await stack.waitReady()
    },
  }
}
