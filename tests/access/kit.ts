import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { SignJWT } from 'jose'
import { localKeys } from '#local/keys'
import { startWorld, type Reply, type World, type WorldOptions } from '#tests/world'

/** The admin key of these worlds. */
export const adminKey = 'admin-key-of-the-tests-0123456789abcdef'

/** The header of a credential. */
export const bearer = (credential: string): Record<string, string> => ({ authorization: `Bearer ${credential}` })

/** A world that asks for credentials as production does. */
export const startGuarded = (options: WorldOptions = {}): Promise<World> =>
  startWorld({ ...options, env: { BATON_LOCAL_ACCESS: '1', BATON_ADMIN_KEY: adminKey, ...options.env } })

/** An API key as the admin who made it sees it. */
export interface MadeKey {
  id: string
  key: string
}

/** Makes a key with the admin key, or with another credential. */
export async function makeKey(world: World, scopes: readonly string[], more: object = {}, by = adminKey): Promise<MadeKey> {
  const reply = await world.http('POST', '/api/keys', { name: 'test', scopes, ...more }, bearer(by))
  if (reply.status !== 201) throw new Error(`no key: ${reply.status} ${JSON.stringify(reply.body)}`)
  return { id: String(reply.body['id']), key: String(reply.body['key']) }
}

/** A tenant with an admin key of its own, made as another deployment's bootstrap would. */
export async function makeTenant(world: World, id: string, environment = 'local'): Promise<MadeKey> {
  const made = await makeKey(world, ['admin'])
  await world.sql('insert into baton.tenants (id, environment) values ($1, $2) on conflict do nothing', [id, environment])
  await world.sql('update baton.api_keys set tenant_id = $1, environment = $2 where id = $3', [id, environment, made.id])
  return made
}

/** A user of the embedded Supabase, signed up with the publishable key. */
export interface SignedUp {
  id: string
  token: string
  client: SupabaseClient
}

/** Signs a new user up through the door, as a browser would. */
export async function signUp(world: World, email: string): Promise<SignedUp> {
  const client = createClient(String(world.stack.info.supabaseUrl), String(world.stack.info.publishableKey), {
    auth: { persistSession: false, autoRefreshToken: false },
  })
  const { data, error } = await client.auth.signUp({ email, password: 'a-long-password-1' })
  if (error !== null || data.session === null || data.user === null) throw new Error(`no sign-up: ${error?.message ?? 'no session'}`)
  return { id: data.user.id, token: data.session.access_token, client }
}

/** Claims and header of a token that would be accepted, with changes. */
export interface Forgery {
  claims?: Record<string, unknown>
  secret?: string
  expires?: string | number | null
}

/** A token of the project's kind, signed here with the stack's own secret unless another one is named. */
export async function tokenOf(world: World, sub: string, { claims = {}, secret, expires = '1h' }: Forgery = {}): Promise<string> {
  const { jwtSecret } = await localKeys(world.dataDir)
  const jwt = new SignJWT({ sub, role: 'authenticated', aud: 'authenticated', ...claims }).setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
  return (expires === null ? jwt : jwt.setExpirationTime(expires)).sign(new TextEncoder().encode(secret ?? jwtSecret))
}

/** Sends a message as somebody and gives the answer. */
export function say(world: World, credential: string, agent: string, more: object = {}): Promise<Reply> {
  const body = { message: 'hello', template: 'scripted', ...more }
  return world.http('POST', `/api/agents/${agent}/messages`, body, { ...bearer(credential), prefer: 'wait=20' })
}

/** How often a caller was refused for want of a right: what its audit entries count, and what waits for the next entry. */
export async function refusalsOf(world: World, caller: string): Promise<number> {
  const [row] = await world.sql<{ n: number }>(
    `select coalesce((select sum(coalesce((data ->> 'count')::int, 1)) from baton.audit where actor = $1 and decision = 'refused'), 0)::int
      + coalesce((select sum((chosen ->> 'count')::int) from baton.idempotency where caller = 'baton:refused' and starts_with(key, $1)), 0)::int as n`,
    [caller],
  )
  return Number(row?.n)
}
