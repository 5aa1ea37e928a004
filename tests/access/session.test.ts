import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, startGuarded } from '#tests/access/kit'
import type { Reply, World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startGuarded()
})
afterAll(() => world.close())

const path = '/api/console/session'
const cookieOf = (reply: Reply): string => (reply.headers.get('set-cookie') ?? '').split(';')[0] ?? ''

/** A browser that has signed in with a new key of the admin's rights. */
async function signedIn(): Promise<{ id: string; cookie: string; csrf: string; reply: Reply }> {
  const { id, key } = await makeKey(world, ['admin'])
  const reply = await world.http('POST', path, { key })
  return { id, cookie: cookieOf(reply), csrf: String(reply.body['csrf']), reply }
}

test('a key becomes a cookie, and with it the caller is that key; what is not let in learns nothing', async () => {
  const nobody = { signedIn: false, kind: null, actor: null, csrf: null, expiresAt: null, templates: [] }
  expect(await world.http('GET', path)).toMatchObject({ status: 200, body: nobody })
  const wrong = await world.http('POST', path, { key: 'bt_nobody' })
  expect([wrong.status, wrong.headers.get('set-cookie')]).toEqual([401, null])
  const { id, cookie, csrf, reply } = await signedIn()
  const session = { signedIn: true, kind: 'key', actor: `key:${id}`, csrf, templates: expect.arrayContaining(['scripted']) }
  expect(reply).toMatchObject({ status: 200, body: session })
  expect(reply.headers.get('set-cookie')).toMatch(/; HttpOnly; SameSite=Strict; Max-Age=43200/)
  expect(await world.http('GET', path, undefined, { cookie })).toMatchObject({ status: 200, body: session })
  expect((await world.http('GET', '/api/keys', undefined, { cookie })).status).toBe(200)
})

test('a write by cookie takes the word of its session, and without it nothing is done', async () => {
  const { cookie, csrf } = await signedIn()
  const write = (headers: Record<string, string>) =>
    world.http('POST', '/api/kill', { scope: 'agent:by-cookie', mode: 'hold', reason: 'x' }, { cookie, ...headers })
  expect(await write({})).toMatchObject({ status: 403, body: { reason: 'csrf' } })
  expect(await world.sql('select from baton.switches')).toEqual([])
  expect((await write({ 'x-baton-csrf': csrf })).status).toBe(200)
})

test('another site neither signs a browser in nor out, nor is it told of a session', async () => {
  const foreign = { 'sec-fetch-site': 'cross-site' }
  const { cookie, csrf } = await signedIn()
  const { key } = await makeKey(world, ['admin'])
  const asked = [
    await world.http('POST', path, { key }, foreign),
    await world.http('GET', path, undefined, { cookie, ...foreign }),
    await world.http('DELETE', path, undefined, { cookie, 'x-baton-csrf': csrf, ...foreign }),
  ]
  for (const reply of asked) {
    expect(reply).toMatchObject({ status: 403, body: { reason: 'cross_site' } })
    expect(reply.headers.get('set-cookie')).toBeNull()
  }
})

test('signing out takes the word, ends the session in this browser, and does no harm without one', async () => {
  const { cookie, csrf } = await signedIn()
  const refused = await world.http('DELETE', path, undefined, { cookie })
  expect(refused).toMatchObject({ status: 403, body: { reason: 'csrf' } })
  expect(refused.headers.get('set-cookie')).toBeNull()
  for (const headers of [{ cookie, 'x-baton-csrf': csrf }, {}]) {
    const out = await world.http('DELETE', path, undefined, headers)
    expect(out).toMatchObject({ status: 200, body: { signedIn: false, csrf: null } })
    expect(out.headers.get('set-cookie')).toMatch(/^(?:__Host-)?baton_session=; .*Max-Age=0/)
  }
})

test('a key that is revoked ends its sessions: the page is told to ask for another, and the cookie goes', async () => {
  const { id, cookie } = await signedIn()
  expect((await world.http('DELETE', `/api/keys/${id}`, undefined, bearer(adminKey))).status).toBe(204)
  const told = await world.http('GET', path, undefined, { cookie })
  expect(told).toMatchObject({ status: 200, body: { signedIn: false, kind: null, templates: [] } })
  expect(told.headers.get('set-cookie')).toMatch(/Max-Age=0/)
  expect((await world.http('GET', '/api/keys', undefined, { cookie })).status).toBe(401)
})
