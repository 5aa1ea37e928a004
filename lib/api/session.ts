import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { authorityOf } from '#lib/api/scope'
import { refusalError } from '#lib/engine/open'
import { callerWith, checkLoopback, type Caller } from '#lib/http/caller'
import {
  beginSession,
  checkSameOrigin,
  checkSessionRequest,
  endSession,
  sessionMs,
  sessionOf,
  type ConsoleSession,
} from '#lib/http/session'
import type { Services } from '#lib/services'

/** What the console's pages are told of their session; `csrf` goes into the header x-baton-csrf of every write. */
interface SessionView {
  signedIn: boolean
  /** `local`: open local mode, where nobody needs to sign in. */
  kind: Caller['kind'] | 'local' | null
  /** Who it is in the audit log. */
  actor: string | null
  csrf: string | null
  expiresAt: string | null
  /** Whether e-mail and password are taken too. */
  passwords: boolean
  local: boolean
  /** Deployed templates, for whoever is signed in. */
  templates: readonly string[]
}

function guard(services: Services, request: Request): void {
  if (services.config.local) checkLoopback(request, services.config)
  checkSameOrigin(request)
}

function placeOf({ config, clock }: Services): { local: boolean; encryptionKey: Uint8Array; now: number } {
  return { local: config.local, encryptionKey: config.encryptionKey, now: clock.now() }
}

/** The caller of a session and the name that the audit log has for it. Throws BatonError unauthorized for what lets nobody in. */
async function whoIs(services: Services, credential: string, requestId: string): Promise<{ caller: Caller; actor: string }> {
  const caller = await callerWith(credential, { config: services.config, checks: services.access, requestId })
  if ('operator' in caller.credential) return { caller, actor: caller.credential.operator.name }
  if ('user' in caller.credential) return { caller, actor: `user:${caller.credential.user.id}` }
  const answer = await services.store.limitsOf(authorityOf(services, caller))
  if (!answer.ok) throw refusalError(answer)
  return { caller, actor: answer.caller }
}

function viewOf(services: Services, given: { session: ConsoleSession; kind: Caller['kind']; actor: string } | null): SessionView {
  const { config, access, templates } = services
  const open = config.local && !config.access.required
  return {
    signedIn: given !== null || open,
    kind: given?.kind ?? (open ? 'local' : null),
    actor: given?.actor ?? (open ? 'local' : null),
    csrf: given?.session.csrf ?? null,
    expiresAt: given === null ? null : new Date(given.session.expiresAt).toISOString(),
    passwords: access.signIn !== null,
    local: config.local,
    templates: given !== null || open ? templates.ids() : [],
  }
}

/** GET /api/console/session: whether this browser is signed in, and the word that its writes must bring. */
export const getSession = endpoint({
  method: 'GET',
  path: '/api/console/session',
  summary: "The console's session of this browser",
  access: 'open',
  async handler({ services, request, requestId }) {
    guard(services, request)
    const session = sessionOf(request, placeOf(services))
    if (session === null) return json(200, viewOf(services, null))
    const who = await whoIs(services, session.credential, requestId).catch((error: unknown) => {
      // A key that was revoked, or a token that has expired, since: the page asks for another one.
      if (error instanceof BatonError && error.code === 'unauthorized') return null
      throw error
    })
    if (who === null) return json(200, viewOf(services, null), { 'set-cookie': endSession(services.config) })
    return json(200, viewOf(services, { session, kind: who.caller.kind, actor: who.actor }))
  },
})

const byKey = z.strictObject({ key: z.string().trim().min(1).max(8_192) })
const byPassword = z.strictObject({ email: z.email().max(320), password: z.string().min(1).max(1_000) })

/** POST /api/console/session: the credential is checked and sealed into an httpOnly cookie; from then on it is the same caller as by header. */
export const signIn = endpoint({
  method: 'POST',
  path: '/api/console/session',
  summary: 'Sign in to the console with an API key, or with e-mail and password',
  access: 'open',
  body: z.union([byKey, byPassword]),
  async handler({ services, request, body, requestId }) {
    guard(services, request)
    const place = placeOf(services)
    const { credential, forMs } = await credentialOf(services, body)
    const { caller, actor } = await whoIs(services, credential, requestId)
    const { session, cookie } = beginSession({ credential, expiresAt: place.now + Math.min(forMs, sessionMs) }, place)
    return json(200, viewOf(services, { session, kind: caller.kind, actor }), { 'set-cookie': cookie })
  },
})

async function credentialOf(
  services: Services,
  body: z.output<typeof byKey> | z.output<typeof byPassword>,
): Promise<{ credential: string; forMs: number }> {
  if ('key' in body) return { credential: body.key, forMs: sessionMs }
  if (services.access.signIn === null) throw new BatonError('unauthorized', 'Users may not sign in here: paste an API key.')
  const { token, forMs } = await services.access.signIn(body.email, body.password)
  return { credential: token, forMs }
}

/** DELETE /api/console/session: ends the session in this browser; without one it changes nothing. */
export const signOut = endpoint({
  method: 'DELETE',
  path: '/api/console/session',
  summary: 'Sign out of the console',
  access: 'open',
  handler({ services, request }) {
    guard(services, request)
    const session = sessionOf(request, placeOf(services))
    if (session !== null) checkSessionRequest(request, session)
    return json(200, viewOf(services, null), { 'set-cookie': endSession(services.config) })
  },
})
