import { z } from 'zod'
import type { CallResult } from '#local/executor/call'
import { retryAfterMs } from '#local/executor/durations'
import { opsSchema, runErrorSchema, type Op, type RunError } from '#local/executor/protocol'

/** What an app's answer to one execution request means. */
export type Verdict =
  | { readonly kind: 'completed'; readonly output: unknown }
  | { readonly kind: 'ops'; readonly ops: readonly Op[]; readonly retryAfterMs: number | null }
  | { readonly kind: 'failed'; readonly error: RunError; readonly retriable: boolean; readonly retryAfterMs: number | null }
  | { readonly kind: 'unreached' }
  | { readonly kind: 'broken'; readonly error: RunError }

// With `streaming: true` the SDK answers 201 and writes the true answer into the body when it is done.
const streamedSchema = z.looseObject({ status: z.number(), headers: z.record(z.string(), z.string()), body: z.string() })

function readJson(text: string): { value: unknown } | null {
  try {
    return { value: text === '' ? null : JSON.parse(text) }
  } catch {
    // Not JSON is an answer in itself: the caller says so in the run's error.
    return null
  }
}

function strange(status: number, body: string): Verdict {
  const message = `the app answered ${status} without the SDK's mark: ${body.slice(0, 200)}`
  return { kind: 'failed', error: { name: 'StrangeAnswer', message }, retriable: true, retryAfterMs: null }
}

/** Reads the result of an execution request, by the rules of the SDK's serve handler. */
export function interpret(result: CallResult, realNow: number): Verdict {
  if (result.kind === 'unreached') return { kind: 'unreached' }
  if (result.kind === 'broken') return { kind: 'broken', error: { name: 'ConnectionBroken', message: result.message } }
  let { status, headers, body } = result
  if (headers['x-inngest-sdk-handled'] === undefined) return strange(status, body)
  if (status === 201) {
    const streamed = streamedSchema.safeParse(readJson(body)?.value)
    if (!streamed.success) return strange(status, body)
    status = streamed.data.status
    headers = Object.fromEntries(Object.entries(streamed.data.headers).map(([name, value]) => [name.toLowerCase(), value]))
    body = streamed.data.body
  }
  const json = readJson(body)
  if (!json) return strange(status, body)
  const delay = retryAfterMs(headers['retry-after'], realNow)
  if (status === 200) return { kind: 'completed', output: json.value }
  if (status === 206) {
    const ops = opsSchema.safeParse(json.value)
    return ops.success && ops.data.length > 0 ? { kind: 'ops', ops: ops.data, retryAfterMs: delay } : strange(status, body)
  }
  return {
    kind: 'failed',
    error: runErrorSchema.parse(json.value),
    retriable: headers['x-inngest-no-retry'] !== 'true',
    retryAfterMs: delay,
  }
}
