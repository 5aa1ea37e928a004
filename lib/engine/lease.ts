import type { Clock } from '#lib/core/ports'

/**
 * The executor's own fence (2-run-contract, invariant 2): it counts its lease on its own clocks from before the claim or the
 * renewal was sent, the larger of monotonic and wall difference, less a fifth. Past that it starts no effect and emits nothing.
 */
export interface LeaseGuard {
  /** True while the lease is certainly ours. Looked at immediately before each effect. */
  held(): boolean
  /** Milliseconds left on the stricter clock; 0 when it is over. */
  leftMs(): number
  /** To be taken before a renewing request is sent, and handed to `renewed` when its answer says yes. */
  stamp(): LeaseStamp
  renewed(stamp: LeaseStamp): void
  /** The database has refused the epoch, or the slice has released it. */
  lose(): void
  /** Aborts when the lease is lost or has run out. */
  signal: AbortSignal
  /** Stops the timer. */
  close(): void
}

/** When a lease was asked for, on this process's own two clocks, in milliseconds. */
export interface LeaseStamp {
  monotonic: number
  wall: number
}

/** What an aborted effect is given as the signal's reason when the lease is gone. */
export class LeaseLost extends Error {
  constructor() {
    super('the lease has been lost: another executor may have taken over, and nothing more is committed from here')
    this.name = 'LeaseLost'
  }
}

/** Guards a lease of `leaseMs` that was asked for at `asked`. */
export function guardLease(clock: Clock, leaseMs: number, asked: LeaseStamp): LeaseGuard {
  const controller = new AbortController()
  const usable = leaseMs * 0.8
  let since = asked
  let lost = false
  let timer: ReturnType<typeof setTimeout> | undefined

  const leftMs = (): number => {
    if (lost) return 0
    return Math.max(0, usable - Math.max(clock.monotonic() - since.monotonic, clock.now() - since.wall))
  }
  const lose = (): void => {
    lost = true
    clearTimeout(timer)
    if (!controller.signal.aborted) controller.abort(new LeaseLost())
  }
  const arm = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => (leftMs() > 0 ? arm() : lose()), Math.max(1, leftMs()))
    timer.unref()
  }
  arm()
  return {
    held: () => leftMs() > 0,
    leftMs,
    stamp: () => ({ monotonic: clock.monotonic(), wall: clock.now() }),
    renewed(stamp) {
      if (lost) return
      since = stamp
      arm()
    },
    lose,
    signal: controller.signal,
    close: () => clearTimeout(timer),
  }
}
