import type { Config } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'
import { keyStart } from '#lib/core/keys'
import type { AccessPort } from '#lib/core/ports'
import type { Credential } from '#lib/core/store'
import { sha256Hex } from '#lib/http/json'
import { checkSessionRequest, sessionOf } from '#lib/http/session'
import { verifyStreamToken } from '#lib/http/token'

/** Who asks. The database resolves the credential: what it may do and where it belongs. */
export interface Caller {
  kind: 'operator' | 'key' | 'user' | 'stream' | 'anonymous'
  credential: Credential
  /** The same for every request of one caller, in every process; tells nothing secret. For limits of rates. */
  rateKey: string
  requestId: string
  /** With a stream token, the only agent whose events may be read: the handler refuses another, for names can be given anew. Else null. */
  agentUid: string | null
  /** With a stream token that opens only what comes after an event, the number of that event. */
  after?: number | undefined
}

/**
 * Who may call an endpoint: `caller` needs a caller with rights, `operator` the local owner or the admin key, `open` anybody (health,
 * documents); `status` anybody, and whoever may operate is told more; `monitoring` a caller or the metrics token; `agent-stream` and `run-stream` also take `?token=` for exactly the agent or run that `{id}` in the path names.
 */
export type Access = 'caller' | 'operator' | 'open' | 'status' | 'monitoring' | 'agent-stream' | 'run-stream'

/** What the decision who is calling depends on. */
export interface Admission {
  request: Request
  config: Config
  checks: AccessPort
  access: Access
  /** The decoded `{id}` of the path, where there is one. */
  id: string | undefined
  /** Milliseconds since the epoch. */
  now: number
  requestId: string
}

/** No credential of ours or of Supabase is as long, in characters. */
const longestCredential = 8_192

/**
 * The one place that decides who calls. Outside local mode everybody brings a credential; in local mode whoever brings none on a
 * loopback address is the operator, unless the config says otherwise. An API key is resolved by the database, in the same trip as the
 * work. Throws BatonError unauthorized, forbidden or sign_in_unavailable.
 */
export async function authenticate(admission: Admission): Promise<Caller> {
  const { request, config, access, requestId } = admission
  if (access === 'open') return anonymous(requestId)
  if (access === 'status') return watcher(admission)
  if (config.local) checkLoopback(request, config)
  const caller = await identify(admission)
  if (access === 'operator' && caller.kind !== 'operator')
    throw new BatonError('forbidden', 'Only the local owner or the admin key may call this.')
  return caller
}

function anonymous(requestId: string): Caller {
  return callerOf('anonymous', { keyHash: '' }, 'anonymous', requestId)
}

/** Who asks for the state of the deployment: whoever is not known, signed-in users among them, is anybody. Nothing is asked of others. */
async function watcher(admission: Admission): Promise<Caller> {
  const { request, config, checks, requestId } = admission
  const header = request.headers.get('authorization')
  try {
    if (config.local) checkLoopback(request, config)
    if (
      header !== null &&
      !bearerOf(header).startsWith(keyStart) &&
      !checks.isAdminKey(bearerOf(header)) &&
      !checks.isMetricsToken(bearerOf(header))
    )
      return anonymous(requestId)
    return await identify({ ...admission, access: 'monitoring' })
  } catch (error) {
    if (error instanceof BatonError) return anonymous(requestId)
    throw error
  }
}

async function identify(admission: Admission): Promise<Caller> {
  const { request, config, checks, requestId, access } = admission
  const header = request.headers.get('authorization')
  if (header === null) {
    const byToken = await identifyByToken(admission)
    if (byToken !== null) return byToken
    const session = sessionOf(request, { ...config, now: admission.now })
    if (session !== null) {
      checkSessionRequest(request, session)
      return callerWith(session.credential, admission)
    }
    if (config.access.required || !config.local)
      throw new BatonError(
        'unauthorized',
        'Send an API key (bt_...) or the token of a signed-in user in the header Authorization, after "Bearer ".',
      )
    return callerOf('operator', { operator: { tenant: config.tenantId, name: 'local' } }, 'local', requestId)
  }
  const credential = bearerOf(header)
  if (access === 'monitoring' && checks.isMetricsToken(credential))
    return callerOf('operator', { operator: { tenant: config.tenantId, name: 'metrics' } }, 'metrics', requestId)
  return callerWith(credential, admission)
}

/** Who brings this text as credential: by header, or sealed in the console's cookie. Rejects with BatonError unauthorized or sign_in_unavailable. */
export async function callerWith(
  credential: string,
  { config, checks, requestId }: Pick<Admission, 'config' | 'checks' | 'requestId'>,
): Promise<Caller> {
  if (credential.startsWith(keyStart)) {
    const keyHash = sha256Hex(credential)
    return callerOf('key', { keyHash }, `key:${keyHash.slice(0, 16)}`, requestId)
  }
  if (checks.isAdminKey(credential))
    return callerOf('operator', { operator: { tenant: config.tenantId, name: 'admin' } }, 'admin', requestId)
  const user = await checks.verifyUser(credential)
  return callerOf('user', { user }, `user:${user.id}`, requestId)
}

/** The reader that `?token=` names; null without one, or where the endpoint takes none. */
async function identifyByToken({ request, config, access, id, now, requestId }: Admission): Promise<Caller | null> {
  const kind = access === 'agent-stream' ? 'agent' : access === 'run-stream' ? 'run' : null
  const token = kind === null ? null : new URL(request.url).searchParams.get('token')
  if (token === null) return null
  const claims = await verifyStreamToken(token, config.encryptionKey, now)
  if (claims.kind !== kind || claims.id !== id) throw new BatonError('forbidden', 'The stream token is for another agent or run.')
  const { tenantId: tenant, agentUid, after } = claims
  return { ...callerOf('stream', { stream: { tenant, agentUid } }, `stream:${agentUid}`, requestId), agentUid, after }
}

function callerOf(kind: Caller['kind'], credential: Credential, rateKey: string, requestId: string): Caller {
  return { kind, credential, rateKey, requestId, agentUid: null }
}

/** The credential of a Bearer header (RFC 6750); the message of a refusal never repeats what came. */
function bearerOf(header: string): string {
  const credential = header.length > longestCredential ? undefined : /^bearer +([\x21-\x7e]+)$/i.exec(header)?.[1]
  if (credential === undefined)
    throw new BatonError('unauthorized', 'The Authorization header is not one Bearer credential of at most 8,192 characters.')
  return credential
}

/**
 * The caller with the body fields it named that are not a user's to set (3-http-api, Who may call): the database refuses and audits
 * them. Who is no user may set what the schema allows.
 */
export function withFields(caller: Caller, body: unknown, allowed: readonly string[]): Caller {
  const { credential } = caller
  if (!('user' in credential) || typeof body !== 'object' || body === null) return caller
  const beyond = Object.entries(body)
    .filter(([name, value]) => value !== undefined && !allowed.includes(name))
    .map(([name]) => name)
  return beyond.length === 0 ? caller : { ...caller, credential: { user: { ...credential.user, beyond } } }
}

/** Refuses what a web page of somebody else could send to a local server: names rebound to loopback, foreign origins, tunnels. Throws BatonError. */
export function checkLoopback(request: Request, config: Config): void {
  const hosts = [request.headers.get('host') ?? new URL(request.url).host, request.headers.get('x-forwarded-host')]
  for (const host of hosts) {
    if (host !== null && !isLoopbackHost(host)) {
      throw new BatonError('forbidden', 'Local mode answers on loopback names only: use http://localhost or http://127.0.0.1.')
    }
  }
  const origin = request.headers.get('origin')
  if (origin !== null && !isAllowedOrigin(origin, config)) {
    throw new BatonError('forbidden', 'This origin may not call: add it to BATON_CORS_ORIGINS.')
  }
}

/** True for 127.0.0.0/8, localhost and [::1], with any port or none. */
export function isLoopbackHost(host: string): boolean {
  const match = /^(localhost|\[::1\]|127(?:\.\d{1,3}){3})(?::\d{1,5})?$/i.exec(host)
  return match !== null
}

/** True for origins of the allow-list and, in local mode, for those on loopback. */
export function isAllowedOrigin(origin: string, config: Pick<Config, 'local' | 'corsOrigins'>): boolean {
  if (config.corsOrigins.includes(origin)) return true
  const match = /^https?:\/\/(.+)$/.exec(origin)
  return config.local && match?.[1] !== undefined && isLoopbackHost(match[1])
}
