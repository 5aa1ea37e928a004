/** How long to wait before the n-th attempt after a failure (from 0), in milliseconds: doubled each time, at most `most`, half of it by chance. */
export function backoffMs(failures: number, { base = 500, most = 15_000, random = Math.random } = {}): number {
  const whole = Math.min(most, base * 2 ** Math.min(failures, 20))
  return Math.round(whole * (0.5 + random() / 2))
}

/** Resolves after so many milliseconds; rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(reasonOf(signal))
    const stop = (): void => {
      clearTimeout(timer)
      reject(reasonOf(signal))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** Why a signal aborted, as an Error. */
export function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error ? reason : new DOMException('This operation was aborted', 'AbortError')
}

/** A signal of its own that aborts when one of `signals` does; call `release` when it is no longer needed. */
export function linked(...signals: (AbortSignal | undefined)[]): { controller: AbortController; release: () => void } {
  const controller = new AbortController()
  const undo: (() => void)[] = []
  for (const signal of signals) {
    if (signal === undefined) continue
    const stop = (): void => controller.abort(reasonOf(signal))
    if (signal.aborted) stop()
    else {
      signal.addEventListener('abort', stop, { once: true })
      undo.push(() => signal.removeEventListener('abort', stop))
    }
  }
  return { controller, release: () => undo.forEach((off) => off()) }
}
