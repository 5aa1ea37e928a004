import type { Compared } from '#bench/compare'
import type { Import, StackStart } from '#bench/cold'
import type { Counted } from '#bench/counts'
import type { Distant } from '#bench/distance'
import type { SliceMemory } from '#bench/slices'
import type { Summary } from '#bench/stats'
import type { Timed } from '#bench/times'
import type { FanOut } from '#bench/watchers'

/** Everything that one run of the script has measured; docs/benchmarks.json holds the last one that was written. */
export interface Results {
  date: string
  /** Few rounds, to try the script. */
  quick?: boolean
  machine: { processor: string; cores: number; memoryGb: number; system: string; node: string; postgres: string; busy: number }
  commit: string
  minutes: number
  counts: Counted[]
  times: Timed[]
  distances: Distant[]
  histories: { messages: number; ms: Summary }[]
  handOff: Summary
  fanOut: FanOut
  memory: SliceMemory
  imports: Import[]
  stack: StackStart
  peers: { compared: Compared[]; http: Summary[]; versions: Record<string, string> } | null
}
