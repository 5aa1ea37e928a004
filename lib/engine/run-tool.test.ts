import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import { roomFor, toolTimeout } from '#lib/engine/run-tool'
import type { Session } from '#lib/engine/session'

/** A slice of 100 s in all, whose tools have the time-outs of `timeouts`, in seconds, or the default of 60. */
function sliceOf(timeouts: Record<string, number | undefined>, hookSeconds: number[] = []): Session {
  const tools = Object.entries(timeouts).map(([name, seconds]) =>
    defineTool({
      name,
      description: '',
      input: z.object({}),
      effect: 'once',
      run: () => 'done',
      ...(seconds === undefined ? {} : { timeoutMs: seconds * 1_000 }),
    }),
  )
  const hooks = hookSeconds.map((seconds, n) => ({ name: `hook-${n}`, timeoutMs: seconds * 1_000, preToolUse: () => undefined }))
  const definition = defineAgent({ id: 'timed', model: 'local/test', instructions: '', tools, hooks })
  const config = { toolTimeoutMs: 60_000, maxDurationMs: 110_000, hardMarginMs: 10_000 }
  return { definition, services: { config } } as unknown as Session
}

test('a tool has its own time-out or the default, and never more than four fifths of a slice', () => {
  const session = sliceOf({ quick: 5, usual: undefined, long: 300 })
  expect(['quick', 'usual', 'long', 'gone'].map((name) => toolTimeout(session, name))).toEqual([5_000, 60_000, 80_000, 60_000])
})

test('a once tool needs room for its time-out and for the hooks before it, and always finds it in a fresh slice', () => {
  const room = (hooks: number[]): number[] =>
    ['quick', 'usual', 'long'].map((name) => roomFor(sliceOf({ quick: 5, usual: undefined, long: 300 }, hooks), name))
  expect(room([])).toEqual([5_000, 60_000, 80_000])
  expect(room([3, 4])).toEqual([12_000, 67_000, 80_000])
  expect(room([50, 20])).toEqual([75_000, 80_000, 80_000])
})
