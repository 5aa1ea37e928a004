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

afterAll(() => {
  const changed = [...new Set([...Object.keys(env), ...Object.keys(process.env)])].filter((name) => env[name] !== process.env[name])
  expect({ ...look(), changed }, 'what this file leaves behind in its process').toEqual({ ...before, changed: [] })
})
