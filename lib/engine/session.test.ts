import { afterEach, expect, test, vi } from 'vitest'
import { defineAgent } from '#lib/core/define'
import { opened } from '#lib/core/state.fixture'
import type { EngineServices } from '#lib/engine/services'
import { inHand, openSession, type Session } from '#lib/engine/session'
import { systemClock } from '#lib/system/clock'

const definition = defineAgent({ id: 't', model: 'local/test', instructions: '' })

/** A session whose looks at the flags and whose listeners the test counts. */
function start(): { session: Session; state: { looks: number }; halts: Set<(runId: string | null) => void> } {
  const clock = systemClock()
  const state = { looks: 0 }
  const halts = new Set<(runId: string | null) => void>()
  const services = {
    clock,
    store: { renew: () => ((state.looks += 1), Promise.resolve({ ok: true, reserved: 'none', flags: { stop: null, hold: false } })) },
    live: {
      onHalt: (_agent: string, listener: (runId: string | null) => void) => (halts.add(listener), () => void halts.delete(listener)),
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

test('a slice that commits nothing renews its lease at each third of it, and not before', async () => {
  vi.useFakeTimers()
  const { session, state } = start()
  await vi.advanceTimersByTimeAsync(1_900)
  expect(state.looks).toBe(0)
  await vi.advanceTimersByTimeAsync(100)
  expect(state.looks).toBe(1)
  await vi.advanceTimersByTimeAsync(1_900)
  expect(state.looks).toBe(1)
  await vi.advanceTimersByTimeAsync(100)
  expect(state.looks).toBe(2)
  await session.close()
})

test('a slice looks at its flags when its own run is told to stop or all are, and not for another run of its agent', async () => {
  const { session, state, halts } = start()
  const tell = (runId: string | null): void => halts.forEach((halt) => halt(runId))
  tell('run_other')
  expect(state.looks).toBe(0)
  tell(session.opened.run.id)
  tell(null)
  expect(state.looks).toBe(2)
  await session.close()
})

test('a slice that is let end earlier ends then, and one that is let end later keeps its own limit and its own cause', async () => {
  vi.useFakeTimers()
  const [earlier, later] = [start().session, start().session]
  const now = systemClock().monotonic()
  earlier.endSlice(now + 10_000)
  later.endSlice(now + 90_000)
  expect([earlier.pastSlice(), later.pastSlice()]).toEqual([true, true])
  await vi.advanceTimersByTimeAsync(10_000)
  expect([earlier.signal.reason, later.signal.aborted]).toMatchObject([{ why: 'shutdown' }, false])
  await vi.advanceTimersByTimeAsync(50_000)
  expect(later.signal.reason).toMatchObject({ why: 'hard_limit' })
  await Promise.all([earlier.close(), later.close()])
})
