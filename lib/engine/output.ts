import { plain } from '#lib/core/plain'
import type { ToolOutput } from '#lib/core/run'

/** A failure in words for the model. */
export const errorText = (value: string): ToolOutput => ({ type: 'error-text', value })

/** A failure with its kind, for the model and for who reads the record; never worth repeating as it is. */
export function errorOutput(errorType: string, message: string): ToolOutput {
  return { type: 'error-json', value: { ok: false, errorType, message, retryable: false } }
}

/** A tool's result in the form that the model sees. Never throws: a result that JSON cannot write is no failure of what was done. */
export function outputOf(result: unknown): ToolOutput {
  if (typeof result === 'string') return { type: 'text', value: result }
  const value = plain(result ?? null)
  if (value !== undefined) return { type: 'json', value } as ToolOutput
  return { type: 'text', value: typeof result === 'function' || typeof result === 'symbol' ? String(result) : '[object]' }
}

/** Results over the limit are cut with a note, so that one tool cannot fill the window. */
export function cut(output: ToolOutput, maxBytes: number): ToolOutput {
  const bytes = Buffer.byteLength(JSON.stringify(output))
  if (bytes <= maxBytes) return output
  const whole = typeof output.value === 'string' ? output.value : JSON.stringify(output.value)
  const kept = Buffer.from(whole)
    .subarray(0, maxBytes - 200)
    .toString('utf8')
  return {
    type: output.type.startsWith('error') ? 'error-text' : 'text',
    value: `${kept}\n[cut: ${bytes} bytes, the first ${maxBytes} are kept]`,
  }
}
