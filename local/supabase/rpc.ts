import type { IncomingMessage } from 'node:http'
import pg from 'pg'

/** A call of one of Baton's own SQL functions, as supabase-js sends it. */
export interface RpcCall {
  /** Name of the function in schema public. */
  name: string
  /** The request's body, `{"p": ...}`, unparsed. */
  body: string
}

/** An answer in PostgREST's form. */
export interface RpcAnswer {
  status: number
  /** JSON text. */
  body: string
}

const path = /^\/rest\/v1\/rpc\/(baton_[a-z0-9_]{1,57})$/

/**
 * The name of the function if the request is a plain service call of one of Baton's (secret key, no user, no Prefer),
 * which {@link createRpc} answers; undefined for all else, which is lite's work.
 */
export function serviceCall(request: IncomingMessage, secretKey: string): string | undefined {
  const { headers } = request
  if (request.method !== 'POST' || headers['apikey'] !== secretKey) return undefined
  if (headers.authorization !== undefined && headers.authorization !== `Bearer ${secretKey}`) return undefined
  if (headers['prefer'] !== undefined || !(headers['content-type'] ?? '').startsWith('application/json')) return undefined
  if ((headers['content-profile'] ?? 'public') !== 'public' || (headers['user-agent'] ?? '').includes('Mozilla')) return undefined
  return path.exec(request.url ?? '')?.[1]
}

/** Whether a body has exactly the one argument `p`, which is what the fast road can carry. */
export function hasOnlyP(body: string): boolean {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && Object.keys(value).join() === 'p'
  } catch {
    return false // lite answers a body that is no JSON
  }
}

/** PostgREST's table from SQLSTATE to HTTP status, as far as Baton's functions can meet it. */
export function statusOf(code: string): number {
  if (code === '42501') return 403
  if (code === '42883' || code === '42P01') return 404
  if (code === '23503' || code === '23505') return 409
  if (code === '25006') return 405
  if (code === 'P0001' || code.startsWith('22') || code.startsWith('23') || code.startsWith('42')) return 400
  if (code.startsWith('08') || code.startsWith('53') || code.startsWith('57P')) return 503
  return 500
}

function refusal(error: unknown, name: string): RpcAnswer {
  if (!(error instanceof pg.DatabaseError)) {
    const details = error instanceof Error ? error.message : String(error)
    return {
      status: 503,
      body: JSON.stringify({ code: 'PGRST000', details, hint: null, message: 'Database connection error. Retrying the connection.' }),
    }
  }
  const code = error.code ?? 'XX000'
  if (code === '42883' && error.message.includes(name)) {
    const message = `Could not find the function public.${name}(p) in the schema cache`
    return { status: 404, body: JSON.stringify({ code: 'PGRST202', details: error.message, hint: null, message }) }
  }
  return {
    status: statusOf(code),
    body: JSON.stringify({ code, details: error.detail ?? null, hint: error.hint ?? null, message: error.message }),
  }
}

/**
 * The fast road for Baton's own functions: one prepared statement as service_role instead of lite's twelve round trips
 * (PostgREST needs three). Same transaction, same rights, same answers and errors; anything unusual goes to lite.
 */
export function createRpc(databaseUrl: string, poolSize: number): { call: (call: RpcCall) => Promise<RpcAnswer> } {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: poolSize,
    options: '-c role=service_role',
    connectionTimeoutMillis: 10_000,
    query_timeout: 60_000,
    idleTimeoutMillis: 60_000,
  })
  pool.on('error', () => undefined) // an idle connection was cut (a database restart): the pool opens another
  return {
    call: async ({ name, body }) => {
      const text = `select public.${pg.escapeIdentifier(name)}(p => $1::jsonb -> 'p')::text as result`
      try {
        const { rows } = await pool.query<{ result: string | null }>({ name, text, values: [body] })
        return { status: 200, body: rows[0]?.result ?? 'null' }
      } catch (error) {
        return refusal(error, name)
      }
    },
  }
}
