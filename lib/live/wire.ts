import { z } from 'zod'
import type { LiveFrame } from '#lib/core/ports'

const runId = z.templateLiteral(['run_', z.string()])

/** What processes tell each other; `id` is the same in the stream and on the channel, so that each counts once. */
export const signal = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('halt'), id: z.string(), from: z.string(), agentUid: z.string(), runId: runId.nullable() }),
  /** `join`: a watcher is new and needs the text so far; otherwise a renewal. */
  z.object({ kind: z.literal('watch'), id: z.string(), from: z.string(), agentUid: z.string(), join: z.boolean() }),
])
export type Signal = z.infer<typeof signal>

const frame = z.object({
  agentUid: z.string(),
  runId,
  epoch: z.int(),
  step: z.int(),
  attempt: z.int(),
  afterSeq: z.int(),
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('delta'), kind: z.enum(['text', 'reasoning']), part: z.int(), offset: z.int(), text: z.string() }),
    z.object({ type: z.literal('step_reset') }),
    z.object({ type: z.literal('committed'), seq: z.int() }),
  ]),
})

/** One entry of an agent's live stream; `number` grows within a process, so that a repeated write counts once. */
export const batch = z.object({ from: z.string(), number: z.int(), frames: z.array(frame) })
/** What one process writes to an agent's stream at once; `number` counts its batches. */
export type Batch = { from: string; number: number; frames: LiveFrame[] }

/** A stream entry as the REST interface answers it: its id and its fields, names and values in turn. */
export const entries = z.array(z.tuple([z.string(), z.array(z.string())]))

/** Reads JSON that came from Redis; null when it is not what the schema says (an older or newer build may have written it). */
export function read<Schema extends z.ZodType>(schema: Schema, text: string | undefined): z.output<Schema> | null {
  if (text === undefined) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Not JSON: the same as any other text of a form we do not know.
    return null
  }
  const parsed = schema.safeParse(value)
  return parsed.success ? parsed.data : null
}

/** The milliseconds in the id of a stream entry, on the clock of Redis. */
export function entryTime(entryId: string): number {
  return Number(entryId.split('-')[0])
}

/** The id that follows directly: XRANGE from it leaves the entry itself out, on every version of Redis. */
export function nextEntry(entryId: string): string {
  const [time, number] = entryId.split('-')
  return `${time}-${Number(number ?? 0) + 1}`
}
