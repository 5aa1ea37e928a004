import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { AnyTool } from '#lib/core/define'
import { defineTool } from '#lib/core/define'
import { passGate } from '#local/scripted/gate'

/** Longest time that `wait` and `stubborn` take, in milliseconds. */
const milliseconds = z.number().min(0).max(3_600_000)

/** A file that they wait for besides. */
const gate = z.string().min(1).max(4_096).optional()

const echo = defineTool({
  name: 'echo',
  description: 'Gives the value back',
  input: z.object({ value: z.json() }),
  effect: 'pure',
  run: ({ value }) => value,
})

const wait = defineTool({
  name: 'wait',
  description: 'Waits, also for a file, and stops on its signal',
  input: z.object({ ms: milliseconds, gate }),
  effect: 'pure',
  run: async ({ ms, gate: file }, context) => {
    await sleep(ms, undefined, { signal: context.signal })
    await passGate(file, context.signal)
    return { waited: ms }
  },
})

const stubborn = defineTool({
  name: 'stubborn',
  description: 'Waits, also for a file, and ignores its signal',
  input: z.object({ ms: milliseconds, gate }),
  effect: 'pure',
  run: async ({ ms, gate: file }) => {
    await sleep(ms)
    await passGate(file, new AbortController().signal)
    return { waited: ms }
  },
})

const count = defineTool({
  name: 'count',
  description: 'An effect that may be repeated under its key',
  input: z.object({ key: z.string() }),
  effect: 'idempotent',
  run: ({ key }, context) => ({ key, idempotencyKey: context.idempotencyKey }),
})

/** The tool `charge` with a most of its cents. */
export function chargeUpTo(most: number): AnyTool {
  return defineTool({
    name: 'charge',
    description: 'An effect that must never be repeated',
    input: z.object({ key: z.string(), cents: z.int().nonnegative().max(most) }),
    effect: 'once',
    run: ({ cents }) => ({ charged: cents }),
  })
}

const charge = chargeUpTo(Number.MAX_SAFE_INTEGER)

const fail = defineTool({
  name: 'fail',
  description: 'Throws',
  input: z.object({ message: z.string() }),
  effect: 'pure',
  run: ({ message }): string => {
    throw new Error(message)
  },
})

const emit = defineTool({
  name: 'emit',
  description: 'Adds a custom event',
  input: z.object({ type: z.string(), data: z.json().optional() }),
  effect: 'pure',
  run: ({ type, data }, context) => {
    context.emit(type, data ?? null)
    return { emitted: type }
  },
})

const outside = defineTool({
  name: 'outside',
  description: 'Is done by somebody outside, who calls back',
  input: z.object({}),
  effect: 'external',
})

/** The tools of the scripted template (6-quality). They log nothing: the effects log wraps the port that runs them. */
export const scriptedTools: readonly AnyTool[] = [echo, wait, stubborn, count, charge, fail, emit, outside]
