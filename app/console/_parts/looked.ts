import type { Looked } from '#app/console/_parts/rounds'

/** Resolves when the page is looked at, at once where it is, and when the signal aborts. */
export function untilLooked(page: Looked, signal: AbortSignal): Promise<void> {
  if (!page.hidden || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      if (page.hidden && !signal.aborted) return
      page.removeEventListener('visibilitychange', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    page.addEventListener('visibilitychange', done)
    signal.addEventListener('abort', done)
  })
}

/** A signal that aborts when nobody has looked at the page for so many milliseconds; `end` lets go of the page. */
export function unlooked(page: Looked, afterMs: number): { signal: AbortSignal; end: () => void } {
  const away = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const changed = (): void => {
    clearTimeout(timer)
    if (page.hidden) timer = setTimeout(() => away.abort(), afterMs)
  }
  page.addEventListener('visibilitychange', changed)
  changed()
  return {
    signal: away.signal,
    end() {
      clearTimeout(timer)
      page.removeEventListener('visibilitychange', changed)
    },
  }
}
