import dns from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { RequestFilteringHttpAgent, RequestFilteringHttpsAgent } from 'request-filtering-agent'
import { Webhook } from 'standardwebhooks'
import { isPublicAddress } from '#lib/webhooks/ranges'
import { parseRetryAfter } from '#lib/webhooks/schedule'
import { webhookKey } from '#lib/webhooks/secret'

/** How long a receiver has for its whole answer (docs/webhooks.md). */
export const attemptTimeoutMs = 10_000
const mostRead = 64 * 1024
const mostKept = 1_024
const userAgent = 'Baton-Webhooks/1'
/** Single addresses: in a list of both families a range makes the agent complain on the console. */
const loopback: readonly string[] = ['127.0.0.1', '::1']
const notPublic = 'The address is not public and was not called'

/** One attempt to deliver a webhook. */
export interface Delivery {
  url: string
  /** The active secrets; the delivery carries a signature of each. */
  secrets: readonly string[]
  /** `webhook-id`: the same in every attempt. */
  id: string
  /** Of this attempt, milliseconds since the epoch; receivers refuse more than 5 minutes of difference to their clocks. */
  timestamp: number
  body: string
  /** The trace of the run that it tells of. */
  traceparent?: string | null | undefined
  /** In local mode loopback addresses may be called. */
  local: boolean
  timeoutMs?: number
  /** Resolves names; the guard looks at whatever it answers. */
  lookup?: LookupFunction
}

/** What an attempt came to. `ok` is true for 2xx only: a redirect is a failure. `error` is for the delivery log. */
export interface DeliveryOutcome {
  ok: boolean
  status: number | null
  durationMs: number
  responseSnippet: string
  retryAfterMs: number | null
  error: string | null
  /** The address is not public and was not called. */
  refused: boolean
}

/** Delivers once, without following redirects and without calling any address that is not public. Never throws for what the receiver does. */
export async function deliver({
  url,
  secrets,
  id,
  timestamp,
  body,
  traceparent = null,
  local,
  timeoutMs = attemptTimeoutMs,
  lookup = dns.lookup,
}: Delivery): Promise<DeliveryOutcome> {
  const startedAt = performance.now()
  const took = () => Math.round(performance.now() - startedAt)
  try {
    const headers = { ...signedHeaders({ secrets, id, timestamp, body }), ...(traceparent == null ? {} : { traceparent }) }
    const response = await post(new URL(url), { body, headers, local, timeoutMs, lookup: guarded(lookup, local) })
    const status = response.statusCode ?? 0
    const ok = status >= 200 && status < 300
    const retryAfterMs = ok ? null : parseRetryAfter(response.headers['retry-after'], Date.now())
    const responseSnippet = await snippet(response)
    return { ok, status, durationMs: took(), responseSnippet, retryAfterMs, error: ok ? null : complaint(status), refused: false }
  } catch (error) {
    const text = describe(error, timeoutMs)
    return { ...failedWithoutCall(text), durationMs: took(), refused: text === notPublic }
  }
}

/** The outcome of an attempt that could not even call its receiver. */
export function failedWithoutCall(error: string): DeliveryOutcome {
  return { ok: false, status: null, durationMs: 0, responseSnippet: '', retryAfterMs: null, error, refused: false }
}

/** The three headers of Standard Webhooks; a signature for each secret, separated by spaces. */
export function signedHeaders({
  secrets,
  id,
  timestamp,
  body,
}: Pick<Delivery, 'secrets' | 'id' | 'timestamp' | 'body'>): Record<string, string> {
  const at = new Date(timestamp)
  const signatures = secrets.map((secret) => new Webhook(webhookKey(secret), { format: 'raw' }).sign(id, at, body))
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(timestamp / 1000)),
    'webhook-signature': signatures.join(' '),
  }
}

/** Sends the request and resolves with the head of the response; the time-out goes on to hold for its body. */
async function post(
  url: URL,
  {
    body,
    headers,
    local,
    timeoutMs,
    lookup,
  }: { body: string; headers: Record<string, string>; local: boolean; timeoutMs: number; lookup: LookupFunction },
): Promise<http.IncomingMessage> {
  const isHttps = url.protocol === 'https:'
  if (!isHttps && !(local && url.protocol === 'http:')) throw new Error('Webhooks are delivered over https only')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && !mayCall(host, local)) throw new Error(notPublic)
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
  const request = (isHttps ? https : http).request(url, {
    method: 'POST',
    lookup,
    agent: isHttps ? new RequestFilteringHttpsAgent(allowed(local)) : new RequestFilteringHttpAgent(allowed(local)),
    headers: {
      ...headers,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'accept-encoding': 'identity',
      'user-agent': userAgent,
    },
    signal: AbortSignal.timeout(timeoutMs),
  })
  request.once('response', resolve)
  // Stays after the response: a connection that breaks later must not bring the process down.
  request.on('error', reject)
  // Without response and without error: a receiver that wants to change the protocol.
  request.once('close', () => reject(new Error('The receiver closed the connection without an answer')))
  request.end(body)
  return promise
}

/** Our own list beside the agent's, so that an address must pass two: ours takes nothing for public that nobody has been given. */
function mayCall(address: string, local: boolean): boolean {
  return isPublicAddress(address) || (local && loopback.includes(address))
}

/** The connection goes to the very addresses that were looked at here, so a name cannot be given another one in between. */
function guarded(lookup: LookupFunction, local: boolean): LookupFunction {
  return (hostname, options, done) =>
    lookup(hostname, options, (error, address, family) => {
      const found = typeof address === 'string' ? [address] : (address ?? []).map((one) => one.address)
      if (error !== null || found.every((one) => mayCall(one, local))) done(error, address, family)
      else done(new Error(notPublic), '')
    })
}

function allowed(local: boolean) {
  return local ? { allowIPAddressList: [...loopback] } : {}
}

/** The beginning of the response's text, in a form that Postgres stores. The status has decided, so a body that breaks or dawdles changes nothing. */
async function snippet(response: http.IncomingMessage): Promise<string> {
  const kept: Buffer[] = []
  let read = 0
  try {
    for await (const chunk of response) {
      const bytes = Buffer.from(chunk)
      if (read < mostKept) kept.push(bytes.subarray(0, mostKept - read))
      read += bytes.length
      if (read >= mostRead) break
    }
  } catch {
    // What came before the connection broke or the time was up is all there is to keep.
  }
  response.destroy()
  return Array.from(new TextDecoder().decode(Buffer.concat(kept)))
    .filter(isPrintable)
    .join('')
}

function isPrintable(character: string): boolean {
  return character >= ' ' || character === '\n' || character === '\t'
}

function complaint(status: number): string {
  if (status >= 300 && status < 400) return `The receiver redirects (${status}); register the final address, redirects are not followed`
  return `The receiver answered ${status}; a status from 200 to 299 accepts a delivery`
}

function describe(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return 'unknown error'
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return `No answer within ${timeoutMs} ms`
  if (error.message === notPublic || error.message.startsWith('DNS lookup')) return notPublic
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : ''
  return `${code}${error.message}`.slice(0, 300)
}
