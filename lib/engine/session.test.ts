import { afterEach, expect, test, vi } from 'vitest'
import { defineAgent } from '#lib/core/define'
import { opened } from '#lib/core/state.fixture'
import type { EngineServices } from '#lib/engine/services'
import { inHand, openSession, type Session } from '#lib/engine/session'
import { systemClock } from '#lib/system/clock'

const definition = defineAgent({ id: 't', model: 'local/test', instructions: '' })

/** A session whose looks at the flags and whose listeners the test counts. */
function start(): { session: Session; state: { looks: number }; halts: Set<(runId: null) => void> } {
  const clock = systemClock()
  const state = { looks: 0 }
  const halts = new Set<(runId: null) => void>()
  const services = {
    clock,
    store: { renew: () => ((state.looks += 1), Promise.resolve({ ok: true, reserved: 'none', flags: { stop: null, hold: false } })) },
    live: {
      onHalt: (_agent: string, listener: (runId: null) => void) => (halts.add(listener), () => void halts.delete(listener)),
    },
    log: { warn: () => undefined },
  } as unknown as EngineServices
  const session = openSession({
    services,
    definition,
    opened: opened({ lease: { sliceId: 'slice_1', epoch: 1, leaseMs: 6_000 } }),
    opening: null,
    gates: {},
    asked: { monotonic: clock.monotonic(), wall: clock.now() },
    reservation: inHand(null, { reserved: 'none' }),
    deadlines: { sliceAt: clock.monotonic() + 50_000, hardAt: clock.monotonic() + 60_000 },
  })
  return { session, state, halts }
}

afterEach(() => void vi.useRealTimers())

test('a slice that has ended leaves nothing behind in its process: no timer, and nobody who listens for halts', async () => {
  vi.useFakeTimers()
  const { session, state, halts } = start()
  await vi.advanceTimersByTimeAsync(5_000)
  const looks = state.looks
  expect(looks).toBeGreaterThan(0)
  for (const halt of halts) halt(null)
  expect(state.looks).toBe(looks + 1)
  await session.close()
  expect(halts.size).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})
