import type { Config } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'
import type { Credential } from '#lib/core/store'
import { verifyStreamToken } from '#lib/http/token'

/** Who asks. The database resolves the credential: what it may do and where it belongs. */
export interface Caller {
  kind: 'operator' | 'stream' | 'anonymous'
  credential: Credential
  requestId: string
  /** With a stream token, the only agent whose events may be read: the handler refuses another, for names can be given anew. Else null. */
  agentUid: string | null
}

/**
 * Who may call an endpoint: `caller` needs a caller with rights, `open` anybody (health, documents), `agent-stream` and `run-stream`
 * also take `?token=` for exactly the agent or run that `{id}` in the path names.
 */
export type Access = 'caller' | 'open' | 'agent-stream' | 'run-stream'

/** What the decision who is calling depends on. */
export interface Admission {
  request: Request
  config: Config
  access: Access
  /** The decoded `{id}` of the path, where there is one. */
  id: string | undefined
  /** Milliseconds since the epoch. */
  now: number
  requestId: string
}

/** A hash that no key has: whoever calls an open endpoint reaches nothing else. */
const nobody: Credential = { keyHash: '' }

/**
 * The one place that decides who calls. Local mode: everybody on a loopback address, as the operator. Outside local mode nobody,
 * until access control comes. Throws BatonError access_control_missing, forbidden or unauthorized.
 */
export async function authenticate({ request, config, access, id, now, requestId }: Admission): Promise<Caller> {
  if (access === 'open') return { kind: 'anonymous', credential: nobody, requestId, agentUid: null }
  if (!config.local) {
    throw new BatonError(
      'access_control_missing',
      'Access control (API keys and user sign-in) comes with its own release. Until then only local mode (npm run dev) is open; nothing was done.',
    )
  }
  checkLoopback(request, config)
  const token = access === 'caller' ? null : new URL(request.url).searchParams.get('token')
  if (token !== null) {
    const claims = await verifyStreamToken(token, config.encryptionKey, now)
    if (`${claims.kind}-stream` !== access || claims.id !== id || claims.tenantId !== config.tenantId) {
      throw new BatonError('forbidden', 'The stream token is for another agent or run.')
    }
    const { tenantId: tenant, agentUid } = claims
    return { kind: 'stream', credential: { stream: { tenant, agentUid } }, requestId, agentUid }
  }
  return { kind: 'operator', credential: { operator: { tenant: config.tenantId, name: 'local' } }, requestId, agentUid: null }
}

/** Refuses what a web page of somebody else could send to a local server: names rebound to loopback, foreign origins, tunnels. */
function checkLoopback(request: Request, config: Config): void {
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
