import { BatonError } from '#lib/core/errors'
import { lineAndColumn, parseJson, prototypeKeys } from '#lib/http/json'

/** A body as it came (`text`) and what it says (`value`); both absent when there was none. */
export interface Body {
  text: string | null
  value: unknown
}

const noBody: Body = { text: null, value: undefined }

/**
 * Reads a JSON body with a byte limit that holds while reading: Next has none of its own.
 * Throws BatonError body_too_large, unsupported_media_type, malformed_json or validation (keys named `__proto__`).
 */
export async function readBody(request: Request, maxBytes: number): Promise<Body> {
  const declared = Number(request.headers.get('content-length') ?? '0')
  if (declared > maxBytes) throw tooLarge(maxBytes)
  if (request.body === null) return noBody
  const bytes = await readBytes(request.body, maxBytes)
  if (bytes.byteLength === 0) return noBody
  checkMediaType(request.headers)
  const text = decode(bytes)
  const parsed = parseJson(text)
  if (!parsed.ok) {
    const { reason, position } = parsed.fault
    const { line, column } = lineAndColumn(text, position)
    throw new BatonError(
      'malformed_json',
      `The body is not valid JSON: ${reason} at position ${position} (line ${line}, column ${column}).`,
      { position, line, column },
    )
  }
  const forbidden = prototypeKeys(parsed.value)
  if (forbidden.length > 0) {
    const problems = forbidden.map((path) => ({ in: 'body', path, message: 'keys named __proto__ are not taken' }))
    throw new BatonError('validation', 'The body has keys named __proto__, which are not taken.', { problems })
  }
  return { text, value: parsed.value }
}

async function readBytes(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new BatonError('malformed_json', 'The body ended before it was complete.', {}, { cause })
    })
    if (done) return Buffer.concat(chunks, size)
    size += value.byteLength
    if (size > maxBytes) {
      // Not awaited by anybody who could act on a failure: the caller gets the 413 either way.
      void reader.cancel().catch(() => undefined)
      throw tooLarge(maxBytes)
    }
    chunks.push(value)
  }
}

function tooLarge(maxBytes: number): BatonError {
  return new BatonError('body_too_large', `The body is larger than ${maxBytes} bytes.`, { maxBytes })
}

function notJson(why: string): BatonError {
  return new BatonError('unsupported_media_type', `${why} Send JSON as content-type: application/json.`)
}

/** JSON in UTF-8 without content coding only: anything else could be sent across origins without a preflight, or hide its size. */
function checkMediaType(headers: Headers): void {
  const [essence = '', ...parameters] = (headers.get('content-type') ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim())
  if (essence !== 'application/json' && !/^application\/[a-z0-9!#$&^_.-]+\+json$/.test(essence))
    throw notJson('The body is not declared as JSON.')
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '')
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') throw notJson('The body is not declared as UTF-8.')
  const coding = headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  if (coding !== 'identity' && coding !== '') throw notJson('Compressed bodies are not taken.')
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BatonError('malformed_json', 'The body is not valid UTF-8.', {}, { cause })
  }
}
