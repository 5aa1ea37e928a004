import type { ModelMessage } from 'ai'
import { z } from 'zod'

/** One answer of a script (6-quality, The scripted template). Times in milliseconds, `retryAfter` in seconds as the header has it. */
const answerSchema = z.strictObject({
  text: z.string().optional(),
  /** The pieces that the text is streamed in, or their number. */
  chunks: z.union([z.array(z.string()).min(1).max(10_000), z.int().min(1).max(10_000)]).optional(),
  /** Before the first piece. */
  delayMs: z.number().min(0).max(3_600_000).default(0),
  /** Before each later piece. */
  chunkDelayMs: z.number().min(0).max(3_600_000).default(0),
  tools: z
    .array(z.strictObject({ name: z.string().min(1), input: z.unknown().optional() }))
    .max(100)
    .default([]),
  usage: z.strictObject({ input: z.int().nonnegative().default(0), output: z.int().nonnegative().default(0) }).optional(),
  finish: z.literal('length').optional(),
  error: z
    .strictObject({
      status: z.int().min(300).max(599),
      times: z.int().positive().optional(),
      retryAfter: z.number().nonnegative().optional(),
    })
    .optional(),
  cutAfterChunks: z.int().nonnegative().optional(),
  /** A file without which the last piece (or the error, or calls without text) does not come: tests write it when they have seen enough. */
  gate: z.string().min(1).max(4_096).optional(),
  /** Files that hold the second, third, ... piece: what was shown before each does not depend on how fast anybody is. */
  pieceGates: z.array(z.string().min(1).max(4_096)).max(100).optional(),
})
export type ScriptedAnswer = z.infer<typeof answerSchema>

const scriptSchema = z.strictObject({ script: z.array(answerSchema).max(1_000) })

/** The text of a message, its text parts joined. */
export function textOf(message: ModelMessage | null): string {
  if (message === null) return ''
  if (typeof message.content === 'string') return message.content
  return message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')
}

function answerWith(fields: { text: string; chunks?: number }): ScriptedAnswer {
  return answerSchema.parse(fields)
}

/** The script in a text: an object with the field `script`; undefined when the text is anything else. */
function jsonScript(text: string): unknown {
  if (!text.trimStart().startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'script' in value ? value : undefined
  } catch {
    // Text that only looks like JSON is a message like any other.
    return undefined
  }
}

/**
 * The answer to the n-th model call (from 0) of the run that `opening` opened: the script's n-th, "done" past its end,
 * "You said: ..." to a message that is no script, and what is wrong with it to a script that is not valid.
 */
export function answerAt(opening: ModelMessage | null, modelCall: number): ScriptedAnswer {
  const text = textOf(opening)
  const script = jsonScript(text)
  if (script === undefined) return answerWith({ text: `You said: ${text}`, chunks: 3 })
  const parsed = scriptSchema.safeParse(script)
  if (!parsed.success) return answerWith({ text: `The script is not valid: ${z.prettifyError(parsed.error)}` })
  return parsed.data.script[modelCall] ?? answerWith({ text: 'done' })
}

/** The whole text of an answer and the pieces it is streamed in. */
export function piecesOf(answer: ScriptedAnswer): string[] {
  if (Array.isArray(answer.chunks)) return answer.chunks
  const text = answer.text ?? ''
  if (text === '') return []
  const letters = Array.from(text)
  const size = Math.ceil(letters.length / (answer.chunks ?? 1))
  return Array.from({ length: Math.ceil(letters.length / size) }, (_, index) => letters.slice(index * size, (index + 1) * size).join(''))
}
