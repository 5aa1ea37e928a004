import { z } from 'zod'

/** What the fake provider does with one request: the JSON `{"fake": {...}}` in the last message that has one. Times in milliseconds. */
const scriptSchema = z.strictObject({
  text: z.string().default(''),
  reasoning: z.string().optional(),
  tools: z.array(z.strictObject({ name: z.string(), input: z.string() })).default([]),
  /** The model has made a file, which lies at this address; in the dialect of Vercel's gateway alone. */
  madeFile: z.string().optional(),
  usage: z
    .strictObject({ input: z.int(), output: z.int(), cacheRead: z.int().default(0), cacheWrite: z.int().default(0) })
    .nullable()
    .default({ input: 10, output: 5, cacheRead: 0, cacheWrite: 0 }),
  finish: z.enum(['stop', 'length', 'content_filter']).default('stop'),
  /** Refuses the request: `body` is sent as it is, with the request's own key in place of {KEY}, as some providers do. */
  error: z.strictObject({ status: z.int(), body: z.json(), headers: z.record(z.string(), z.string()).default({}) }).optional(),
  /** Refuses a request in which any other text holds this one, as a provider does with a file of a kind that it does not know (400). */
  refuses: z.string().optional(),
  /** Sends an error of this type as the frame after the first piece of the answer. */
  streamError: z.string().optional(),
  /** Breaks the connection (`cut`) or ends it politely (`end`) after so many pieces of the answer. */
  cutAfter: z.int().optional(),
  endAfter: z.int().optional(),
  /** Says nothing: before the headers, or after the first piece of the answer. */
  hang: z.enum(['headers', 'stream']).optional(),
  delayMs: z.int().default(0),
  /** Sends so many pings while the model thinks, each after this time (Anthropic and OpenAI's responses). */
  pings: z.strictObject({ count: z.int(), everyMs: z.int() }).optional(),
})
export type FakeScript = z.infer<typeof scriptSchema>

/** The prompt that makes the fake provider play a script. */
export function fake(script: z.input<typeof scriptSchema>): string {
  return JSON.stringify({ fake: script })
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(strings)
}

/** The script of a request, wherever its dialect puts messages; without one the answer is "hello". */
export function scriptOf(body: unknown): FakeScript {
  const texts = strings(body)
  const last = texts.findLast((text) => text.startsWith('{"fake":'))
  if (last === undefined) return scriptSchema.parse({ text: 'hello' })
  const { fake } = z.object({ fake: scriptSchema }).parse(JSON.parse(last))
  const { refuses } = fake
  if (refuses === undefined || !texts.some((text) => !text.startsWith('{"fake":') && text.includes(refuses))) return fake
  return { ...fake, error: { status: 400, body: { error: { message: 'What is this file?' } }, headers: {} } }
}

/** The pieces that a text is streamed in: its words. */
export function pieces(text: string): string[] {
  return text.match(/\S+\s*/g) ?? []
}
