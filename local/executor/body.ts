import type { IncomingMessage } from 'node:http'

/** A request body that could not be taken, with the status to answer. */
export class BodyRefused extends Error {
  /** The HTTP status that says why. */
  readonly status: number

  /** Makes the refusal. */
  constructor(status: number, message: string) {
    super(message)
    this.name = 'BodyRefused'
    this.status = status
  }
}

// A checkpoint may hold a step's whole output, which Inngest limits to 4 MB, and several at a time.
const LARGEST_BODY_BYTES = 36 * 1024 * 1024

/** Reads a JSON body; throws BodyRefused when it is too large or no JSON. */
export async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    const part = Buffer.from(chunk)
    bytes += part.length
    if (bytes > LARGEST_BODY_BYTES) throw new BodyRefused(413, `a body of more than ${LARGEST_BODY_BYTES} bytes`)
    chunks.push(part)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (error) {
    throw new BodyRefused(400, `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}
