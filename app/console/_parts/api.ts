/** A problem document (RFC 9457) as the API sends it, or what stands for one where no answer came. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly code: string
  readonly body: Readonly<Record<string, unknown>>

  constructor(status: number, body: Readonly<Record<string, unknown>>) {
    super(typeof body['detail'] === 'string' ? body['detail'] : 'The server did not answer. What was sent before is kept.')
    this.status = status
    this.code = typeof body['code'] === 'string' ? body['code'] : 'unreachable'
    this.body = body
  }
}

/** What the requests of a page need of its session; set by the shell. */
export interface SessionLink {
  /** The word that each write must bring. */
  word: string | null
  /** Told when the session has ended. */
  ended: () => void
  /** Asks for the session anew and takes it; whether it is the same caller's as this one. Throws Problem. */
  renew: () => Promise<boolean>
}

const unlinked: SessionLink = { word: null, ended: () => undefined, renew: () => Promise.resolve(false) }
let link = unlinked

/** The session for the requests that follow; null is none. */
export function setLink(next: SessionLink | null): void {
  link = next ?? unlinked
}

export interface CallOptions {
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** An answer that takes longer is not waited for, in milliseconds, where the caller does not say how long: a button is busy meanwhile. */
const patienceMs = 60_000

/** Sends a request to Baton's API with the session's cookie. Throws Problem for every answer that is none. */
export async function send(method: string, path: string, options: CallOptions = {}): Promise<Response> {
  const { renew } = link
  try {
    return await sendOnce(method, path, options)
  } catch (error) {
    // Another tab has signed in since, and the cookie is that session's: nothing was done. The same caller need not be told; for another one
    // nothing is repeated.
    const isStale = error instanceof Problem && error.status === 403 && error.body['reason'] === 'csrf'
    if (!isStale || !(await renew())) throw error
    return sendOnce(method, path, options)
  }
}

async function sendOnce(method: string, path: string, { body, headers, signal }: CallOptions): Promise<Response> {
  const all: Record<string, string> = { accept: 'application/json', ...headers }
  if (body !== undefined) all['content-type'] = 'application/json'
  if (link.word !== null && method !== 'GET') all['x-baton-csrf'] = link.word
  const waits = signal ?? AbortSignal.timeout(patienceMs)
  const init: RequestInit = { method, headers: all, credentials: 'same-origin', cache: 'no-store', signal: waits }
  if (body !== undefined) init.body = JSON.stringify(body)
  const response = await fetch(path, init).catch((cause: unknown) => {
    if (signal?.aborted === true) throw cause
    throw new Problem(0, {})
  })
  if (response.ok || response.status === 304) return response
  const problem = new Problem(response.status, await response.json().catch(() => ({})))
  if (response.status === 401 && !path.startsWith('/api/console/')) link.ended()
  throw problem
}

/** Sends a request and reads its JSON; undefined where the answer has none. */
export async function call<Answer>(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const response = await send(method, path, options)
  return (response.status === 204 ? undefined : await response.json()) as Answer
}

/** A page of a list. */
export interface Page<Row> {
  data: Row[]
  nextCursor: string | null
}

/** A query string with its question mark, without what is empty. */
export function query(fields: Readonly<Record<string, string | number | null | undefined>>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== '')
  return given.length === 0 ? '' : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()}`
}

/** The words of an error for whoever reads the page. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
