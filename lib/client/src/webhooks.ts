import { BatonError } from '#client/errors'
import type { RunState, Usage } from '#client/events'

/** The names of the events that Baton tells by webhook (docs/webhooks.md). */
export type WebhookType =
  | 'run.completed'
  | 'run.failed'
  | 'run.cancelled'
  | 'run.awaiting_approval'
  | 'run.handed_off'
  | 'budget.threshold'
  | 'agent.killed'
  | 'webhook.disabled'
  | 'webhook.test'

/** The body of a webhook. Deliveries come at least once and in no order: keep the `webhook-id`s, order by `lastSeq`. */
export interface WebhookEvent {
  type: WebhookType
  timestamp: string
  data: {
    agentId?: string
    runId?: string
    state?: RunState
    stopReason?: string | null
    /** Cut at 2,000 characters: the whole is `runs.get`. */
    output?: string | null
    usage?: Usage
    costMicros?: number
    lastSeq?: number
    [field: string]: unknown
  }
}

/** A verified delivery. `id` is the same in every attempt. */
export interface Delivery {
  id: string
  sentAt: Date
  event: WebhookEvent
}

/** The headers of a request, as fetch or Node has them; those of undici or node-fetch are as good. */
export type HeadersLike = Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>

/** How strictly the time is looked at; `now` is in milliseconds since the epoch. */
export interface VerifyOptions {
  toleranceSeconds?: number
  now?: number
}

const mostSignatures = 20

/**
 * Checks that a delivery comes from Baton (Standard Webhooks) and gives what it says. `payload` is the body exactly as it came, `secret` one or
 * several secrets as they were shown. Throws BatonError webhook_signature_invalid or webhook_timestamp_invalid: answer 400 then.
 */
export async function verifyWebhook(
  payload: string | Uint8Array,
  headers: HeadersLike,
  secret: string | readonly string[],
  { toleranceSeconds = 300, now = Date.now() }: VerifyOptions = {},
): Promise<Delivery> {
  const [id, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => headerOf(headers, `webhook-${name}`))
  if (id === undefined || timestamp === undefined || signatures === undefined)
    throw refused('webhook_signature_invalid', 'A webhook-id, webhook-timestamp or webhook-signature is missing.')
  const seconds = /^\d{1,12}$/.test(timestamp) ? Number(timestamp) : Number.NaN
  if (!(Math.abs(now / 1_000 - seconds) <= toleranceSeconds))
    throw refused('webhook_timestamp_invalid', `The delivery was signed more than ${toleranceSeconds} s from now.`)
  const encoder = new TextEncoder()
  const body = typeof payload === 'string' ? encoder.encode(payload) : payload
  const head = encoder.encode(`${id}.${timestamp}.`)
  const signed = new Uint8Array(head.length + body.length)
  signed.set(head)
  signed.set(body, head.length)
  const given = signatures
    .split(' ')
    .slice(0, mostSignatures)
    .flatMap((entry) => (entry.startsWith('v1,') ? [bytesOf(entry.slice(3))] : []))
  for (const one of typeof secret === 'string' ? [secret] : secret) {
    const key = await crypto.subtle.importKey('raw', keyOf(one), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
    for (const signature of given) {
      // The platform compares in constant time (WebCrypto, HMAC verify).
      if (signature !== null && (await crypto.subtle.verify('HMAC', key, signature, signed)))
        return { id, sentAt: new Date(seconds * 1_000), event: JSON.parse(new TextDecoder().decode(body)) as WebhookEvent }
    }
  }
  throw refused(
    'webhook_signature_invalid',
    'No signature fits: the secret is another one, or the body is not as it came (verify before parsing).',
  )
}

function refused(code: string, message: string): BatonError {
  return new BatonError(message, { code })
}

/** Not by their class: those of another realm or package are no `Headers` of this one. */
function isHeaders(headers: HeadersLike): headers is Pick<Headers, 'get'> {
  return typeof headers.get === 'function'
}

function headerOf(headers: HeadersLike, name: string): string | undefined {
  if (isHeaders(headers)) return headers.get(name) ?? undefined
  const value = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1]
  return typeof value === 'string' || value === undefined ? value : value.join(' ')
}

/** The key of a secret: base64 after `whsec_`, else the text itself. Throws BatonError webhook_signature_invalid for a broken one. */
function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  const key = secret.startsWith('whsec_') ? bytesOf(secret.slice(6)) : new TextEncoder().encode(secret)
  if (key === null || key.length === 0) throw refused('webhook_signature_invalid', 'The secret is empty or not whsec_ and base64.')
  return key
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  } catch {
    // No base64: a signature that fits nothing.
    return null
  }
}
