import { request } from '#local/node-http'

/** What came of one HTTP request to an app server. */
export type CallResult =
  /** An answer arrived whole. */
  | { readonly kind: 'answer'; readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }
  /** Nobody listens there, so the request was never begun. */
  | { readonly kind: 'unreached'; readonly message: string }
  /** The connection broke, took too long or said too much: the server may have done some of the work. */
  | { readonly kind: 'broken'; readonly message: string }

/** One HTTP request to an app server. */
export interface Call {
  readonly url: string
  readonly method: 'PUT' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
  /** Gives the request up before its time: the server is there and does nothing any more. */
  readonly signal?: AbortSignal
}

// Inngest's own bound on a run's state is 32 MB; no answer can hold more.
const LARGEST_ANSWER_BYTES = 36 * 1024 * 1024
const NEVER_BEGUN = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENOTFOUND'])

/** Sends a request over a connection of its own and waits for the whole answer; never throws. */
export function call({ url, method, headers, body, timeoutMs, signal }: Call): Promise<CallResult> {
  return new Promise((resolve) => {
    // A kept-alive connection that a killed server left behind would look like work that broke half-way.
    const outgoing = request(url, {
      agent: false,
      method,
      headers: { ...headers, 'content-length': Buffer.byteLength(body).toString() },
      signal: signal === undefined ? AbortSignal.timeout(timeoutMs) : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    })
    const broken = (message: string): void => resolve({ kind: 'broken', message })
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (NEVER_BEGUN.has(error.code ?? '')) resolve({ kind: 'unreached', message: error.message })
      else broken(error.name === 'TimeoutError' || error.code === 'ABORT_ERR' ? `no answer within ${timeoutMs} ms` : error.message)
    })
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = []
      let bytes = 0
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > LARGEST_ANSWER_BYTES) incoming.destroy(new Error(`an answer of more than ${LARGEST_ANSWER_BYTES} bytes`))
        else chunks.push(chunk)
      })
      incoming.on('error', (error) => broken(error.message))
      incoming.on('close', () => broken('the connection closed in the middle of the answer'))
      incoming.on('end', () => {
        const received: Record<string, string> = {}
        for (const [name, value] of Object.entries(incoming.headers)) if (value !== undefined) received[name] = String(value)
        resolve({ kind: 'answer', status: incoming.statusCode ?? 0, headers: received, body: Buffer.concat(chunks).toString('utf8') })
      })
    })
    outgoing.end(body)
  })
}
