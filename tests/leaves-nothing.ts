import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, vi } from 'vitest'

/*
 * Test files share their processes: each has to leave its own as it found it, or the next one fails for it, by chance of the order. Runs around every file, outside of
 * its own hooks.
 */

const events = ['unhandledRejection', 'uncaughtException', 'SIGTERM', 'SIGINT', 'disconnect', 'message'] as const

const look = () => ({
  fakeTimers: vi.isFakeTimers(),
  folder: process.cwd(),
  shared: [globalThis.fetch, Date, setTimeout, process.stdout.write, globalThis.batonServices, globalThis.batonLastWorks?.size ?? 0],
  listeners: Object.fromEntries(events.map((name) => [name, process.listenerCount(name)])),
})

const before = look()
const env = { ...process.env }

/** Timers that would keep a process alive. A retry of a package that nobody waits for ends by itself: it is given its time, and never meets the next file's fetch. */
async function timersAfter(mostMs: number): Promise<number> {
  const count = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  for (let waitedMs = 0; count() > 0 && waitedMs < mostMs; waitedMs += 20) await sleep(20, undefined, { ref: false })
  return count()
}

afterAll(async () => {
  const timers = await timersAfter(5_000)
  const changed = [...new Set([...Object.keys(env), ...Object.keys(process.env)])].filter((name) => env[name] !== process.env[name])
  expect({ ...look(), changed, timers }, 'what this file leaves behind in its process').toEqual({ ...before, changed: [], timers: 0 })
})
