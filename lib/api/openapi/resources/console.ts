import { z } from 'zod'
import { json, operation, type Resource } from '#lib/api/openapi/describe'
import { instant } from '#lib/api/openapi/schemas/words'
import { getSession, signIn, signOut } from '#lib/api/session'

const session = z
  .object({
    signedIn: z.boolean(),
    kind: z.string().nullable(),
    actor: z.string().nullable().meta({ description: 'Who it is in the audit log' }),
    csrf: z.string().nullable().meta({ description: 'Goes into the header x-baton-csrf of every write' }),
    expiresAt: instant.nullable(),
    passwords: z.boolean(),
    local: z.boolean(),
    templates: z.array(z.string()),
  })
  .meta({ id: 'ConsoleSession' })
const example: z.input<typeof session> = {
  signedIn: true,
  kind: 'key',
  actor: 'key:key_01936f1e',
  csrf: 'b7Yc2x',
  expiresAt: '2026-11-21T17:30:00.000Z',
  passwords: false,
  local: false,
  templates: ['support'],
}
const nobody = { ...example, signedIn: false, kind: null, actor: null, csrf: null, expiresAt: null, templates: [] }
const problems = ['forbidden', 'unauthorized', 'sign_in_unavailable', 'access_control_missing', 'tenant_missing', 'rate_limited'] as const

/** The console's session: a credential sealed into an httpOnly cookie. */
export const consoleSession: Resource = {
  tag: 'Console',
  description:
    'The session of a browser: a credential sealed into an httpOnly, SameSite=Strict cookie. From then on it is the same caller as by header.',
  operations: {
    getConsoleSession: operation(getSession, { 200: json(session, 'Whether this browser is signed in', example) }, { problems }),
    signIn: operation(
      signIn,
      { 200: json(session, 'Signed in; the answer sets the cookie', example) },
      { problems, example: { key: 'bt_7Qk2mXw9...' } },
    ),
    signOut: operation(signOut, { 200: json(session, 'Signed out; the answer takes the cookie away', nobody) }, { problems }),
  },
}
