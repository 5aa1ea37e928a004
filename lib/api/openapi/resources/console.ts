import { z } from 'zod'
import { json, operation, type Resource } from '#lib/api/openapi/describe'
import { getSession, signIn, signOut } from '#lib/api/session'

const session = z
  .object({
    signedIn: z.boolean(),
    kind: z.enum(['operator', 'key', 'user', 'stream', 'anonymous', 'local']).nullable(),
    actor: z.string().nullable().meta({ description: 'Who it is in the audit log' }),
    csrf: z.string().nullable().meta({ description: 'What writes with the cookie bring as x-baton-csrf' }),
    expiresAt: z.string().nullable(),
    passwords: z.boolean().meta({ description: 'Whether e-mail and password are taken too' }),
    local: z.boolean(),
    templates: z.array(z.string()),
  })
  .meta({ id: 'ConsoleSession' })

const nobody = { signedIn: false, kind: null, actor: null, csrf: null, expiresAt: null, passwords: false, local: false, templates: [] }
const somebody = {
  ...nobody,
  signedIn: true,
  kind: 'key' as const,
  actor: 'key:key_01a1fcfd1a1f73b9b152f884be6ed6e6',
  csrf: 'S1XLI2GcJ0ZbTz0bX9dUQ4mYf8nR7hKq',
  expiresAt: '2026-11-21T20:00:00.000Z',
  templates: ['support'],
}
const refusals = ['forbidden', 'unauthorized', 'access_control_missing', 'sign_in_unavailable'] as const

/** The session of the console's pages; other callers bring their credential with each request. */
export const consoleSession: Resource = {
  tag: 'Console',
  description: 'The session of the pages under /console: the same credential, sealed into a cookie.',
  operations: {
    getConsoleSession: operation(
      getSession,
      { 200: json(session, 'Whether this browser is signed in', somebody) },
      { problems: [...refusals, 'rate_limited'] },
    ),
    signInToConsole: operation(
      signIn,
      { 200: json(session, 'Signed in; the cookie is in Set-Cookie', somebody) },
      { problems: [...refusals, 'rate_limited'], example: { key: 'bt_...' } },
    ),
    signOutOfConsole: operation(
      signOut,
      { 200: json(session, 'Signed out; Set-Cookie ends the cookie', nobody) },
      { problems: ['forbidden'] },
    ),
  },
}
