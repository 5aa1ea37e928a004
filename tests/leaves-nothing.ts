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

const count = (kind: string): number => process.getActiveResourcesInfo().filter((name) => name === kind).length

/** Timers that would keep a process alive, and servers that listen: an embedded Redis arms a timer of its own every 100 ms, unseen. */
const open = () => ({ timers: count('Timeout'), servers: count('TCPServerWrap') })
const opened = open().servers

/** What is still open after a while. A retry of a package that nobody waits for ends by itself: it is given its time, and never meets the next file's fetch. */
async function openAfter(mostMs: number): Promise<ReturnType<typeof open>> {
  const over = (): boolean => open().timers === 0 && open().servers === opened
  for (let waitedMs = 0; !over() && waitedMs < mostMs; waitedMs += 20) await sleep(20, undefined, { ref: false })
  return open()
}

afterAll(async () => {
  const left = await openAfter(5_000)
  const changed = [...new Set([...Object.keys(env), ...Object.keys(process.env)])].filter((name) => env[name] !== process.env[name])
  expect({ ...look(), changed, ...left }, 'what this file leaves behind in its process').toEqual({
    ...before,
    changed: [],
    timers: 0,
    servers: opened,
  })
})
