import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createAccess } from '#lib/access/access'
import { makeKey } from '#lib/access/keys'
import { createSignIn } from '#lib/access/sign-in'
import { BatonError } from '#lib/core/errors'
import type { AccessConfig } from '#lib/core/config'

const users = {
  jwtSecret: null,
  jwksUrl: null,
  issuer: null,
  tenantClaim: 'tenant_id',
  tenant: null,
  allowAnonymous: false,
  enabled: false,
}
const supabase = { url: 'http://127.0.0.1:1', secretKey: 'sb_secret_x' }
const nothing: AccessConfig = { required: true, adminKey: null, users }

function accessWith(
  access: AccessConfig,
  hasKeys: () => Promise<boolean>,
): { isSetUp: () => Promise<boolean>; wait: (ms: number) => void } {
  let now = 0
  const { isSetUp } = createAccess({ access, metricsToken: null, clock: { now: () => now, monotonic: () => now }, hasKeys, supabase })
  return { isSetUp, wait: (ms) => void (now += ms) }
}

test('"nobody can authenticate" is asked of the database every 5 s, "somebody can" once', async () => {
  let keys = false
  let asked = 0
  const { isSetUp, wait } = accessWith(nothing, () => Promise.resolve(((asked += 1), keys)))
  expect(await Promise.all([isSetUp(), isSetUp(), isSetUp()])).toEqual([false, false, false])
  expect(asked).toBe(1)
  keys = true
  expect(await isSetUp()).toBe(false)
  wait(5_000)
  expect(await isSetUp()).toBe(true)
  wait(60_000)
  expect([await isSetUp(), asked]).toEqual([true, 2])
})

test('a database that is away is no answer, and is not asked by every caller', async () => {
  let asked = 0
  const { isSetUp } = accessWith(nothing, () => Promise.reject(new Error(`away ${(asked += 1)}`)))
  for (let n = 0; n < 3; n++) await expect(isSetUp()).rejects.toThrow('away 1')
})

test('an admin key or users make the database’s answer needless', async () => {
  const never = (): Promise<boolean> => Promise.reject(new Error('asked'))
  expect(await accessWith({ ...nothing, adminKey: 'x'.repeat(32) }, never).isSetUp()).toBe(true)
  expect(await accessWith({ ...nothing, users: { ...users, enabled: true } }, never).isSetUp()).toBe(true)
})

test('the admin key is itself and nothing like it', () => {
  const adminKey = 'x'.repeat(32)
  const { isAdminKey } = createAccess({
    access: { ...nothing, adminKey },
    metricsToken: null,
    clock: { now: () => 0, monotonic: () => 0 },
    hasKeys: () => Promise.resolve(false),
    supabase,
  })
  expect([adminKey, `${adminKey}x`, adminKey.slice(1), '', ` ${adminKey}`].map(isAdminKey)).toEqual([true, false, false, false, false])
  const none = createAccess({
    access: nothing,
    metricsToken: null,
    clock: { now: () => 0, monotonic: () => 0 },
    hasKeys: () => Promise.resolve(false),
    supabase,
  })
  expect([none.isAdminKey(''), none.isAdminKey('null')]).toEqual([false, false])
})

test('keys are random, and what is stored of one does not hold it', () => {
  const made = Array.from({ length: 100 }, () => makeKey('key_1'))
  expect(new Set(made.map(({ text }) => text)).size).toBe(100)
  for (const { text, stored } of made) {
    expect(text).toMatch(/^bt_[A-Za-z0-9_-]{43}$/)
    expect(JSON.stringify(stored)).not.toContain(text)
  }
})

test('a password goes to the project alone: a redirect is not followed, and what the project answers is told apart', async () => {
  const asked: string[] = []
  let answer = { status: 307, headers: { location: '/elsewhere' } as Record<string, string>, body: '' }
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.writeHead(answer.status, answer.headers).end(answer.body)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const signIn = createSignIn({ url: `http://127.0.0.1:${port}/`, secretKey: 'sb_secret_x' })
  const codeOf = () =>
    signIn('a@example.com', 'hunter2 hunter2').then(
      () => 'signed in',
      (error: unknown) => (error instanceof BatonError ? `${error.code} ${error.message.includes('hunter2')}` : String(error)),
    )
  const token = '/auth/v1/token?grant_type=password'
  expect([await codeOf(), asked]).toEqual(['sign_in_unavailable false', [token]])
  for (const [status, code] of [
    [429, 'rate_limited'],
    [500, 'sign_in_unavailable'],
    [400, 'unauthorized'],
  ] as const) {
    answer = { status, headers: {}, body: '{}' }
    expect(await codeOf()).toBe(`${code} false`)
  }
  answer = { status: 200, headers: {}, body: JSON.stringify({ access_token: 'jwt', expires_in: 60 }) }
  expect(await signIn('a@example.com', 'hunter2 hunter2')).toEqual({ token: 'jwt', forMs: 60_000 })
})

test('a project that takes the question and says nothing is given up after five seconds', async () => {
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => AbortSignal.abort(new DOMException('x', 'TimeoutError')))
  const signIn = createSignIn({ url: 'http://127.0.0.1:9', secretKey: 'sb_secret_x' })
  await expect(signIn('a@example.com', 'hunter2 hunter2')).rejects.toMatchObject({ code: 'sign_in_unavailable' })
  expect(timeout).toHaveBeenCalledExactlyOnceWith(5_000)
})
