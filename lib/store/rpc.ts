import { createClient } from '@supabase/supabase-js'
import { BatonError } from '#lib/core/errors'
import type { Clock } from '#lib/core/ports'
import { storable } from '#lib/core/plain'

/** Calls one SQL function: one jsonb in, one json out. Throws BatonError database_unavailable, idempotency_busy, or not_configured for a key or a schema that does not fit. */
export type Rpc = (name: string, argument: object) => Promise<unknown>

/** Each call is given up after so long; a lost reply is then asked for again under the same ids. */
export const rpcTimeoutMs = 8_000
const lockTimeout = '55P03'
/** PostgREST knows no function of that name: the code is newer than the schema. */
const noFunction = 'PGRST202'
/** Supabase makes a project whose disk is full read-only; PostgREST answers 405 then. */
const readOnly = '25006'
/** Supabase's gateway refuses the key, or PostgREST does; 403: the key is one of a role that may call nothing. */
const keyRefused = new Set([401, 403])
/** The gateway: the project is restricted, for its plan is used up, or asked too often. Both end without anything changed here. */
const gatewayBusy = new Set([402, 429])
/** Deadlock and serialisation failure: nothing was done, the call is made again like one whose reply was lost. */
const repeatable = new Set(['40P01', '40001'])

/** The door to Postgres through PostgREST with the service key. Counts round trips where the caller wants it. */
export function supabaseRpc(options: {
  url: string
  secretKey: string
  clock: Clock
  onTrip?: (name: string) => void
  timeoutMs?: number
}): Rpc {
  const { timeoutMs = rpcTimeoutMs } = options
  const client = createClient(options.url, options.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  })
  return async (name, argument) => {
    for (let attempt = 0; ; attempt++) {
      options.onTrip?.(name)
      const { data, error, status } = await client.rpc(name, { p: wellFormed(argument) }).abortSignal(AbortSignal.timeout(timeoutMs))
      if (error === null) return data
      if (error.code === lockTimeout)
        throw new BatonError(
          'idempotency_busy',
          'The same request, or other work on the same agent, is being worked on: nothing was done, ask again in a moment.',
          { retryAfterMs: 1_000 },
        )
      if (repeatable.has(error.code) && attempt < 3) {
        await options.clock.sleep(20 * 2 ** attempt)
        continue
      }
      if (error.code === noFunction)
        throw new BatonError(
          'not_configured',
          'The database lacks a function of this build: its migrations are not applied. Run npm run migrate; what was answered with 2xx is kept.',
          {},
          { cause: new Error(`${name}: ${error.message}`) },
        )
      if (keyRefused.has(status))
        throw new BatonError(
          'not_configured',
          'Supabase refuses the key of this deployment: set SUPABASE_SECRET_KEY to a secret key of its project and deploy; what was answered with 2xx is kept.',
          {},
          { cause: new Error(`${name}: ${status} ${error.code ?? ''} ${error.message}`) },
        )
      const away = status === 0 || status >= 500 || error.code === readOnly || gatewayBusy.has(status)
      if (!away)
        throw new BatonError(
          'internal_error',
          'The database refused a call of Baton.',
          {},
          { cause: new Error(`${name}: ${error.code} ${error.message}`) },
        )
      throw new BatonError(
        'database_unavailable',
        'The database is not reachable. What was answered with 2xx is kept; send the request again.',
        { retryAfterMs: 2_000 },
        { cause: new Error(`${name}: ${status === 0 ? '' : `${status} `}${error.message}${networkCause(error.details)}`) },
      )
    }
  }
}

/** Which socket failed and how: the client puts it behind a page of its own. */
function networkCause(details: unknown): string {
  const found = typeof details === 'string' ? /Caused by: (?:\w+: )?([^\n]{1,200})/.exec(details) : null
  return found === null ? '' : ` (${found[1]})`
}

/** What JSON.stringify writes for a character that Postgres cannot store: NUL and lone surrogates, which it escapes. */
const unstorable = /\\u(?:0000|d[89a-f][0-9a-f]{2})/

/** Text that Postgres can store, in keys too: no NUL, no lone surrogates. Anything else of the value stays as it is. */
export function wellFormed<Value>(value: Value): Value {
  if (!unstorable.test(JSON.stringify(value))) return value
  return JSON.parse(JSON.stringify(value), (_key, part: unknown) => {
    if (typeof part === 'string') return storable(part)
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [storable(key), inner]))
  }) as Value
}
