import { BatonError } from '#lib/core/errors'

/** What the caller prefers (RFC 7240), already cut to what this deployment can do. */
export interface Prefer {
  /** How long the caller waits, in milliseconds; 0 with `respond-async`. */
  waitMs: number
  /** Answer at once, run nothing in the route. */
  respondAsync: boolean
  /** The text of `Preference-Applied`, null when nothing was asked for. No stream says it: it waits for nothing but its run's end. */
  applied: string | null
}

/** The bounds a preference is cut to, in milliseconds. */
export interface PreferBounds {
  defaultWaitMs: number
  maxWaitMs: number
}

/** Longest Prefer header looked at, in characters; what is beyond is ignored, as unknown preferences are. */
const maxLength = 4_096

/** Reads all Prefer headers. Never throws: RFC 7240 has malformed and unknown preferences ignored; of doubled ones the first counts. */
export function readPrefer(headers: Headers, bounds: PreferBounds): Prefer {
  const preferences = new Map<string, string>()
  for (const item of splitOutsideQuotes((headers.get('prefer') ?? '').slice(0, maxLength), ',')) {
    const [pair = ''] = splitOutsideQuotes(item, ';')
    const equals = pair.indexOf('=')
    const name = (equals < 0 ? pair : pair.slice(0, equals)).trim().toLowerCase()
    if (name !== '' && !preferences.has(name)) preferences.set(name, equals < 0 ? '' : unquote(pair.slice(equals + 1).trim()))
  }
  const respondAsync = preferences.has('respond-async')
  const asked = preferences.get('wait')
  const waitAsked = asked !== undefined && /^\d{1,9}$/.test(asked) ? Math.min(Number(asked) * 1_000, bounds.maxWaitMs) : null
  // RFC 7240 leaves the mix to the server: answered at once nobody waits, so that `wait` is not among what was applied.
  if (respondAsync) return { waitMs: 0, respondAsync, applied: 'respond-async' }
  const waitMs = waitAsked ?? Math.min(bounds.defaultWaitMs, bounds.maxWaitMs)
  return { waitMs, respondAsync, applied: waitAsked === null ? null : `wait=${Math.floor(waitAsked / 1_000)}` }
}

function splitOutsideQuotes(text: string, separator: ',' | ';'): string[] {
  const parts: string[] = []
  let quoted = false
  let from = 0
  for (let at = 0; at < text.length; at += 1) {
    if (quoted && text[at] === '\\') at += 1
    else if (text[at] === '"') quoted = !quoted
    else if (!quoted && text[at] === separator) {
      parts.push(text.slice(from, at))
      from = at + 1
    }
  }
  return [...parts, text.slice(from)]
}

function unquote(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text
  return text.slice(1, -1).replaceAll(/\\(.)/g, '$1')
}

/** The Idempotency-Key, or null without one. Throws BatonError validation unless it is 1 to 255 visible ASCII characters. */
export function readIdempotencyKey(headers: Headers): string | null {
  const key = headers.get('idempotency-key')
  if (key === null || /^[\x21-\x7e]{1,255}$/.test(key)) return key
  const message = 'must be 1 to 255 visible ASCII characters without spaces, sent once'
  throw new BatonError('validation', `The header Idempotency-Key ${message}.`, {
    problems: [{ in: 'header', path: '/idempotency-key', message }],
  })
}

/** True for `If-Match: *` (the agent must exist), false without the header. Throws BatonError precondition_failed for entity tags, which are not compared here. */
export function readIfMatchAny(headers: Headers): boolean {
  const value = headers.get('if-match')
  if (value === null) return false
  if (value.trim() === '*') return true
  throw new BatonError('precondition_failed', 'Only If-Match: * is understood here; no entity tag matches. Nothing was changed.')
}
