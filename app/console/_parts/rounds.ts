/** What of the page says whether it is looked at. */
export type Looked = Pick<Document, 'hidden' | 'addEventListener' | 'removeEventListener'>

/** What has no pace of its own and failed is asked for again after twice so long, in milliseconds. */
const repairMs = 2_500

/**
 * Asks at once and, with `everyMs`, again and again while the page is looked at, ever less often while it fails: one question at a time. Without a
 * pace it is asked until it went well. `ask` says whether it did and never rejects. What comes back ends it.
 */
export function startRounds(
  ask: (ended: AbortSignal) => Promise<boolean>,
  everyMs: number | undefined,
  page: Looked = document,
): () => void {
  const ended = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let failures = 0
  let asking = false
  const isDone = (): boolean => everyMs === undefined && failures === 0
  const round = async (): Promise<void> => {
    asking = true
    failures = (await ask(ended.signal)) ? 0 : failures + 1
    asking = false
    if (!isDone() && !ended.signal.aborted) timer = setTimeout(again, (everyMs ?? repairMs) * 2 ** Math.min(failures, 4))
  }
  const again = (): void => {
    if (!page.hidden) void round()
  }
  const shown = (): void => {
    // What is under way goes on by itself: asked beside it, there would be two rounds from then on.
    if (page.hidden || isDone() || asking) return
    clearTimeout(timer)
    again()
  }
  page.addEventListener('visibilitychange', shown)
  void round()
  return () => {
    ended.abort()
    clearTimeout(timer)
    page.removeEventListener('visibilitychange', shown)
  }
}
