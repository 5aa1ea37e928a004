import { backoffMs, linked, reasonOf, sleep } from '#client/backoff'
import { BatonError, errorOf } from '#client/errors'

/** How to reach a Baton deployment. */
export interface BatonOptions {
  /** Address of the deployment, without `/api`; an empty text is the page's own origin. */
  url: string
  /** An API key (`bt_...`). On servers only: whoever reads it can use it. */
  key?: string
  /** The token of the signed-in user, asked for before each request; with `refresh` the last one was refused. */
  getToken?: (options: { refresh: boolean }) => string | null | undefined | Promise<string | null | undefined>
  /** Another fetch than the global one. */
  fetch?: typeof globalThis.fetch
  /** The longest one attempt of a request may take, in milliseconds (60,000); of a stream: until its first answer. */
  timeoutMs?: number
  /** How often a request is sent again when it may help (3). */
  retries?: number
}

/** What every call takes: an abort never stops a run, it only ends the waiting. */
export interface CallOptions {
  signal?: AbortSignal
  /** The longest one attempt may take, in milliseconds. */
  timeoutMs?: number
}

/** A request to the API. */
export interface ApiRequest extends CallOptions {
  query?: Readonly<Record<string, unknown>>
  body?: unknown
  headers?: Readonly<Record<string, string>>
  /** False for what a repeat would do twice: then only refusals (429) are tried again. */
  repeatable?: boolean
}

/** A request of the client's own. */
export interface OwnRequest extends ApiRequest {
  /** Called before each attempt: what it throws ends the request, and nothing is sent. */
  check?: () => void
}

/** The wire: requests with credentials, time-outs and retries. */
export interface Api {
  readonly url: string
  /** The JSON of a 2xx answer. Throws BatonError. */
  json: <T>(method: string, path: string, request?: OwnRequest) => Promise<T>
  /** Milliseconds before a message is sent again after the n-th failure (from 0); null where it is given up. */
  waitBefore: (error: unknown, failures: number) => number | null
  /** One attempt of a stream over a connection that the caller ends. Resolves with the head of the answer. Throws BatonError unless it is 2xx. */
  open: (method: string, path: string, request: OwnRequest, connection: AbortController) => Promise<Response>
}

/** A server that asks for a longer pause is not waited for: the caller gets the error with `retryAfterMs`. */
const longestWaitMs = 5_000

/** True where Baton says that there is nothing, and not what stands between. */
const isNotFound = (error: unknown): boolean => error instanceof BatonError && error.status === 404 && error.problem.code !== undefined

/** Path and query: lists become comma lists, what is undefined or null is left out. */
export function pathOf(path: string, query: Readonly<Record<string, unknown>> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null)
  const params = new URLSearchParams(given.map(([name, value]) => [name, String(value)]))
  return given.length === 0 ? path : `${path}${path.includes('?') ? '&' : '?'}${params.toString()}`
}

/** Makes the wire of a deployment. */
export function createApi(options: BatonOptions): Api {
  const { key, getToken, retries = 3, timeoutMs: usual = 60_000 } = options
  const url = options.url.replace(/\/+$/, '')
  const send = options.fetch ?? globalThis.fetch.bind(globalThis)

  /** One attempt; the time is for the head of the answer and for what `read` makes of it. */
  async function timed<T>(
    method: string,
    path: string,
    request: OwnRequest,
    connection: AbortController,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const { query, headers, signal: given, timeoutMs: ms = usual } = request
    const { signal } = connection
    // What cannot be written as JSON is the caller's to mend: it is thrown as it is, and not tried again.
    const body = request.body === undefined ? null : JSON.stringify(request.body)
    let late = false
    let asking = false
    // Whoever is asked for a token knows nothing of signals.
    const ended = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(reasonOf(signal)), { once: true }))
    ended.catch(() => undefined)
    const attempt = async (refresh: boolean): Promise<Response> => {
      asking = true
      const token = getToken === undefined ? key : await Promise.race([ended, getToken({ refresh })])
      asking = false
      request.check?.()
      const response = await send(url + pathOf(path, query), {
        method,
        headers: {
          accept: 'application/json',
          ...(body !== null && { 'content-type': 'application/json' }),
          ...(token != null && token !== '' && { authorization: `Bearer ${token}` }),
          ...headers,
        },
        body,
        signal,
      })
      if (response.status !== 401 || refresh || getToken === undefined) return response
      await response.body?.cancel()
      return attempt(true)
    }
    const timer = setTimeout(() => {
      late = true
      connection.abort()
    }, ms)
    try {
      signal.throwIfAborted()
      const response = await attempt(false)
      if (!response.ok && response.status !== 304) throw await errorOf(response)
      return await read(response)
    } catch (cause) {
      if (given?.aborted === true) throw reasonOf(given)
      // A failure of getToken is told as it is.
      if (asking ? !signal.aborted : cause instanceof BatonError) throw cause
      const what = `${method} ${path.split('?')[0] ?? path}`
      if (late) throw new BatonError(`${what} took longer than ${ms} ms.`, { code: 'timeout', retryable: true, cause })
      throw new BatonError(`${what} did not get through.`, { code: 'network_error', retryable: true, cause })
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    url,
    // A server that starts again is away for some seconds: what did not get through is tried for longer than what was refused.
    waitBefore: (error, failures) =>
      waitBefore(error, failures, { retries: error instanceof BatonError && error.status > 0 ? retries : retries * 2, repeatable: true }),
    async json<T>(method: string, path: string, request: OwnRequest = {}) {
      const { repeatable = true, signal } = request
      let maybeDone = false
      for (let failures = 0; ; failures += 1) {
        const { controller, release } = linked(signal)
        try {
          return await timed(method, path, request, controller, (response) => jsonOf<T>(response))
        } catch (error) {
          // The lost answer of a try before was that it is deleted.
          if (method === 'DELETE' && maybeDone && isNotFound(error)) return undefined as T
          // Whoever was told to come later has done nothing; of all else nobody knows.
          maybeDone ||= !(error instanceof BatonError && error.status === 429)
          const wait = waitBefore(error, failures, { retries, repeatable })
          if (wait === null) throw error
          await sleep(wait, signal)
        } finally {
          release()
        }
      }
    },
    async open(method, path, request, connection) {
      return timed(method, path, request, connection, (response) => Promise.resolve(response))
    },
  }
}

/** How long to wait before it is tried again; null where it is not: a wait that is too long is the caller's to decide on. */
export function waitBefore(
  error: unknown,
  failures: number,
  { retries, repeatable }: { retries: number; repeatable: boolean },
): number | null {
  if (!(error instanceof BatonError) || !error.retryable || failures >= retries) return null
  // A conflict (agent_busy, run_open) passes when somebody's work is done, not after a moment.
  if (error.status === 409 || (!repeatable && error.status !== 429)) return null
  if ((error.retryAfterMs ?? 0) > longestWaitMs) return null
  return Math.max(error.retryAfterMs ?? 0, backoffMs(failures))
}

async function jsonOf<T>(response: Response): Promise<T> {
  if (response.status === 204 || response.status === 304) return undefined as T
  const text = await response.text()
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new BatonError('The answer is not JSON: is this the address of a Baton deployment?', {
      code: 'invalid_answer',
      status: response.status,
      cause,
    })
  }
}
