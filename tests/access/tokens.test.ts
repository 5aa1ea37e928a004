import { generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bearer, signUp, startGuarded, tokenOf, type Forgery, type SignedUp } from '#tests/access/kit'
import type { Reply, World } from '#tests/world'

let world: World
let user: SignedUp
beforeAll(async () => {
  world = await startGuarded()
  user = await signUp(world, 'carol@example.com')
})
afterAll(() => world.close())

const get = (token: string): Promise<Reply> => world.http('GET', '/api/agents', undefined, bearer(token))
const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const soon = (): number => Math.floor(Date.now() / 1_000) + 600

test('a token of the project is taken, also one signed here with its secret', async () => {
  expect((await get(user.token)).status).toBe(200)
  expect((await get(await tokenOf(world, user.id))).status).toBe(200)
})

test.each<[string, Forgery]>([
  ['of another secret', { secret: 'another-secret-of-the-right-length-0123456789' }],
  ['that has expired', { expires: Math.floor(Date.now() / 1_000) - 60 }],
  ['that never expires', { expires: null }],
  ['for another audience', { claims: { aud: 'other' } }],
  ['without an audience', { claims: { aud: undefined } }],
  ['that is not valid yet', { claims: { nbf: Math.floor(Date.now() / 1_000) + 600 } }],
  ['of the service role', { claims: { role: 'service_role' } }],
  ['of the anon role', { claims: { role: 'anon' } }],
  ['without a role', { claims: { role: undefined } }],
  ['whose subject is no user id', { claims: { sub: 'admin' } }],
  ['without a subject', { claims: { sub: undefined } }],
])('a token %s is 401', async (_what, forgery) => {
  expect(await get(await tokenOf(world, user.id, forgery))).toMatchObject({ status: 401, body: { code: 'unauthorized' } })
})

test('alg none, another algorithm, a public key taken for a secret, and changed parts are 401', async () => {
  const claims = { sub: user.id, role: 'authenticated', aud: 'authenticated', exp: soon() }
  const [head = '', , signature = ''] = user.token.split('.')
  const { privateKey } = await generateKeyPair('ES256')
  const forged = [
    `${base64({ alg: 'none' })}.${base64(claims)}.`,
    `${base64({ alg: 'None' })}.${base64(claims)}.${signature}`,
    `${base64({ alg: 'HS512' })}.${base64(claims)}.${signature}`,
    `${base64({ typ: 'JWT' })}.${base64(claims)}.${signature}`,
    `${head}.${base64({ ...claims, sub: '00000000-0000-4000-8000-000000000000' })}.${signature}`,
    await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'mine' }).sign(privateKey),
    await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', jku: 'https://evil.example/jwks.json' }).sign(privateKey),
    await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(String(world.stack.info.publishableKey))),
    `${user.token}.extra`,
    user.token.slice(0, -2),
    'a.b.c',
    '..',
  ]
  for (const token of forged) expect({ token, status: (await get(token)).status }).toEqual({ token, status: 401 })
})

test('the tenant is that of app_metadata, never of user_metadata; a tenant that does not exist holds nothing', async () => {
  const inUserMetadata = await tokenOf(world, user.id, { claims: { user_metadata: { tenant_id: 'ten_other' } } })
  await world.http('POST', '/api/agents', { id: 'carols', template: 'scripted' }, bearer(user.token))
  expect((await get(inUserMetadata)).body['data']).toHaveLength(1)
  const elsewhere = await tokenOf(world, user.id, { claims: { app_metadata: { tenant_id: 'ten_nowhere' } } })
  expect(await get(elsewhere)).toMatchObject({ status: 200, body: { data: [] } })
  const made = await world.http('POST', '/api/agents', { id: 'x', template: 'scripted' }, bearer(elsewhere))
  expect(made).toMatchObject({ status: 403, body: { code: 'tenant_missing' } })
  for (const tenant_id of ['', 7, '../x', { a: 1 }]) {
    const token = await tokenOf(world, user.id, { claims: { app_metadata: { tenant_id } } })
    expect(await get(token)).toMatchObject({ status: 403, body: { reason: 'no_tenant' } })
  }
})

test('anonymous sign-ins are refused', async () => {
  const token = await tokenOf(world, user.id, { claims: { is_anonymous: true } })
  expect(await get(token)).toMatchObject({ status: 403, body: { reason: 'anonymous' } })
})
