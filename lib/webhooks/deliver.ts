import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import { RequestFilteringHttpAgent, RequestFilteringHttpsAgent } from 'request-filtering-agent'
import { Webhook } from 'standardwebhooks'
import { isPublicAddress } from '#lib/webhooks/ranges'
import { parseRetryAfter } from '#lib/webhooks/schedule'
import { webhookKey } from '#lib/webhooks/secret'

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
  /** In local mode loopback addresses may be called. */
  local: boolean
  timeoutMs?: number
}

/** What an attempt came to. `ok` is true for 2xx only: a redirect is a failure. `error` is for the delivery log. */
export interface DeliveryOutcome {
  ok: boolean
  status: number | null
  durationMs: number
  responseSnippet: string
  retryAfterMs: number | null
  error: string | null
}

/** Delivers once, without following redirects and without calling any address that is not public. Never throws for what the receiver does. */
export async function deliver({ url, secrets, id, timestamp, body, local, timeoutMs = 10_000 }: Delivery): Promise<DeliveryOutcome> {
  const startedAt = performance.now()
  const took = () => Math.round(performance.now() - startedAt)
  try {
    const response = await post(new URL(url), body, signedHeaders({ secrets, id, timestamp, body }), local, timeoutMs)
    const status = response.statusCode ?? 0
    const ok = status >= 200 && status < 300
    const retryAfterMs = ok ? null : parseRetryAfter(response.headers['retry-after'], Date.now())
    return { ok, status, durationMs: took(), responseSnippet: await snippet(response), retryAfterMs, error: ok ? null : complaint(status) }
  } catch (error) {
    return { ok: false, status: null, durationMs: took(), responseSnippet: '', retryAfterMs: null, error: describe(error, timeoutMs) }
  }
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
  body: string,
  headers: Record<string, string>,
  local: boolean,
  timeoutMs: number,
): Promise<http.IncomingMessage> {
  const isHttps = url.protocol === 'https:'
  if (!isHttps && !(local && url.protocol === 'http:')) throw new Error('Webhooks are delivered over https only')
  // The agent takes the old IPv4-compatible form (::127.0.0.1) for public; our own list does not.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && !isPublicAddress(host) && !(local && loopback.includes(host))) throw new Error(notPublic)
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
  const request = (isHttps ? https : http).request(url, {
    method: 'POST',
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
  if (error.message.startsWith('DNS lookup')) return notPublic
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : ''
  return `${code}${error.message}`.slice(0, 300)
}
