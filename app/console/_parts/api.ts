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

/** What a page does when the session has ended; set by the shell. */
let onUnauthorized: () => void = () => undefined
let csrf: string | null = null

/** The word of the session, for the writes that follow, and what to do when the session has ended. */
export function setWord(word: string | null, ended: () => void): void {
  csrf = word
  onUnauthorized = ended
}

export interface CallOptions {
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** An answer that takes longer is not waited for, in milliseconds, where the caller does not say how long: a button is busy meanwhile. */
const patienceMs = 60_000

/** Sends a request to Baton's API with the session's cookie. Throws Problem for every answer that is none. */
export async function send(method: string, path: string, { body, headers, signal }: CallOptions = {}): Promise<Response> {
  const all: Record<string, string> = { accept: 'application/json', ...headers }
  if (body !== undefined) all['content-type'] = 'application/json'
  if (csrf !== null && method !== 'GET') all['x-baton-csrf'] = csrf
  const waits = signal ?? AbortSignal.timeout(patienceMs)
  const init: RequestInit = { method, headers: all, credentials: 'same-origin', cache: 'no-store', signal: waits }
  if (body !== undefined) init.body = JSON.stringify(body)
  const response = await fetch(path, init).catch((cause: unknown) => {
    if (signal?.aborted === true) throw cause
    throw new Problem(0, {})
  })
  if (response.ok || response.status === 304) return response
  const problem = new Problem(response.status, await response.json().catch(() => ({})))
  if (response.status === 401 && !path.startsWith('/api/console/')) onUnauthorized()
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
