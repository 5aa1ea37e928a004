import { BatonError } from '#lib/core/errors'
import type { RunDetails, Store } from '#lib/core/pages'
import type { Clock, Live } from '#lib/core/ports'
import { isEnd } from '#lib/core/run'
import type { Authority, RunView } from '#lib/core/store'
import { refusalError } from '#lib/engine/open'

/** Between two looks at the row when no frame of this process has told of a commit. */
const shortestLookMs = 100
const longestLookMs = 1_000

/** What waiting needs of the services. */
export interface WaitServices {
  store: Pick<Store, 'getRun'>
  live: Pick<Live, 'watch'>
  clock: Clock
  ending(): boolean
}

/** True where nothing runs and somebody else must act: waiting longer is of no use. */
function paused({ run, switch: covering }: RunDetails): boolean {
  return run.state === 'awaiting_approval' || run.wait?.kind === 'external' || (covering?.mode === 'hold' && run.lease === null)
}

/** The run's row as soon as `until` holds of it, at the latest after `waitMs`. Throws BatonError run_not_found. */
export async function waitForRun(
  services: WaitServices,
  authority: Authority,
  runId: string,
  waitMs: number,
  signal: AbortSignal,
  until?: (read: RunDetails) => boolean,
): Promise<RunView> {
  const { clock, store, live, ending } = services
  const end = clock.monotonic() + waitMs
  let look = shortestLookMs
  let woken = new AbortController()
  // One for all looks: each new watcher has the executor tell its whole text again.
  let unwatch: (() => void) | null = null
  try {
    for (;;) {
      // From before the read: a commit that is told of while it goes on is looked at at once.
      const since = (woken = new AbortController())
      const answer = await store.getRun(authority, runId)
      if (!answer.ok) throw refusalError(answer)
      const left = end - clock.monotonic()
      const over = until === undefined ? isEnd(answer.run.state) || paused(answer) : until(answer)
      if (over || left <= 0 || signal.aborted || ending()) return answer.run
      unwatch ??= live.watch(answer.run.agentUid, (frame) => {
        if (frame.body.type === 'committed') woken.abort()
      })
      await clock.sleep(Math.min(look, left), AbortSignal.any([since.signal, signal]))
      look = since.signal.aborted ? shortestLookMs : Math.min(longestLookMs, look * 1.5)
    }
  } finally {
    unwatch?.()
  }
}

/** What `read` gives; null while the database is away: the message was accepted, and an error would have it sent again. */
export async function unlessAway<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof BatonError && error.code === 'database_unavailable') return null
    throw error
  }
}
