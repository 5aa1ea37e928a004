import { describe, expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { authenticate, withFields } from '#lib/http/caller'
import type { Access } from '#lib/http/caller'
import { sha256Hex } from '#lib/http/json'
import { signStreamToken } from '#lib/http/token'
import { testServices } from './services.fixture.ts'

const { config, clock, access: checks } = testServices()

const operator = 'operator local {"operator":{"tenant":"ten_local","name":"local"}}'
const keyText = `bt_${'x'.repeat(43)}`
const keyHash = sha256Hex(keyText)

interface Changes {
  local?: boolean
  required?: boolean
  access?: Access
  url?: string
  id?: string
}

async function outcome(headers: Record<string, string>, changes: Changes = {}): Promise<string> {
  const { local = true, required = false, access = 'caller', url = 'http://localhost:3000/api/x', id } = changes
  try {
    const caller = await authenticate({
      request: new Request(url, { headers }),
      config: { ...config, local, access: { ...config.access, required } },
      checks,
      access,
      id,
      now: clock.now(),
      requestId: 'req_1',
    })
    return `${caller.kind} ${caller.rateKey} ${JSON.stringify(caller.credential)}${caller.agentUid === null ? '' : ` ${caller.agentUid}`}`
  } catch (error) {
    return error instanceof BatonError ? error.code : 'other'
  }
}

describe('local mode', () => {
  test.each(['localhost', 'localhost:3000', 'LOCALHOST:1', '127.0.0.1:80', '127.9.9.9', '[::1]:3000'])(
    'Host %s is the operator',
    async (host) => {
      expect(await outcome({ host })).toBe(operator)
    },
  )
  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '128.0.0.1',
    'evil.example:3000',
    '0.0.0.0',
    '',
    'localhost@evil.example',
  ])('Host %j is refused (DNS rebinding)', async (host) => {
    expect(await outcome({ host })).toBe('forbidden')
  })
  test.each(['http://localhost:5173', 'https://127.0.0.1', 'http://[::1]:80', 'https://app.example.com'])(
    'Origin %s may call',
    async (origin) => {
      expect(await outcome({ host: 'localhost', origin })).toBe(operator)
    },
  )
  test.each([
    'null',
    'https://evil.example',
    'http://localhost.evil.example',
    'https://app.example.com.evil.example',
    'http://evil.example/localhost',
    'file://localhost',
  ])('Origin %s is refused', async (origin) => {
    expect(await outcome({ host: 'localhost', origin })).toBe('forbidden')
  })
  test('a tunnel that rewrites Host is refused', async () => {
    expect(await outcome({ host: 'localhost:3000', 'x-forwarded-host': 'abc.tunnel.example' })).toBe('forbidden')
    expect(await outcome({ host: 'localhost:3000', 'x-forwarded-host': 'localhost:3000' })).toBe(operator)
  })
})

describe.each([
  ['outside local mode', { local: false }],
  ['in local mode that asks for credentials', { required: true }],
  ['in open local mode with a credential', {}],
] as const)('%s', (_where, mode) => {
  test('a key is known by its hash alone, the admin key is the operator, a user is who the token says', async () => {
    expect(await outcome({ authorization: `Bearer ${keyText}` }, mode)).toBe(`key key:${keyHash.slice(0, 16)} {"keyHash":"${keyHash}"}`)
    expect(await outcome({ authorization: 'bearer admin-key' }, mode)).toBe(
      'operator admin {"operator":{"tenant":"ten_local","name":"admin"}}',
    )
    expect(await outcome({ authorization: 'Bearer user-1' }, mode)).toBe('user user:user-1 {"user":{"id":"user-1","tenant":"ten_users"}}')
  })
  test.each([
    '',
    'Bearer',
    'Bearer ',
    'Basic YTpi',
    keyText,
    `Bearer ${keyText} ${keyText}`,
    'Bearer nonsense',
    `Bearer ${'x'.repeat(9_000)}`,
  ])('Authorization %j lets nobody in', async (authorization) => {
    expect(await outcome({ authorization }, mode)).toBe('unauthorized')
  })
  test('only the operator calls what is for the operator', async () => {
    const what = { ...mode, access: 'operator' } as const
    expect(await outcome({ authorization: 'Bearer admin-key' }, what)).toContain('operator admin')
    expect(await outcome({ authorization: `Bearer ${keyText}` }, what)).toBe('forbidden')
    expect(await outcome({ authorization: 'Bearer user-1' }, what)).toBe('forbidden')
  })
})

test('without a credential only the open local mode lets in; open endpoints answer everybody', async () => {
  expect(await outcome({}, { local: false })).toBe('unauthorized')
  expect(await outcome({}, { required: true })).toBe('unauthorized')
  expect(await outcome({ host: 'evil.example' }, { local: false, access: 'open' })).toBe('anonymous anonymous {"keyHash":""}')
  expect(await outcome({}, { local: false, url: `http://h/api/x?key=${keyText}&token=${keyText}&access_token=${keyText}` })).toBe(
    'unauthorized',
  )
})

test('who asks for the state of a local deployment by a foreign name or page is anybody', async () => {
  const access = 'status'
  expect(await outcome({ host: 'localhost' }, { access })).toBe(operator)
  for (const foreign of [{ host: 'evil.example' }, { host: 'localhost', origin: 'https://evil.example' }])
    expect(await outcome(foreign, { access })).toBe('anonymous anonymous {"keyHash":""}')
})

test('a foreign page is refused in local mode whatever credential it brings', async () => {
  expect(await outcome({ authorization: 'Bearer admin-key', origin: 'https://evil.example' })).toBe('forbidden')
})

test('withFields names what is not for users, and nobody else', () => {
  const user = { kind: 'user', credential: { user: { id: 'u', tenant: 't' } }, rateKey: 'user:u', requestId: 'r', agentUid: null } as const
  const body = { message: 'x', webhook: { url: 'y' }, overrides: undefined, preset: null }
  expect(withFields(user, body, ['message']).credential).toEqual({ user: { id: 'u', tenant: 't', beyond: ['webhook', 'preset'] } })
  expect(withFields(user, { message: 'x' }, ['message'])).toBe(user)
  const key = { ...user, kind: 'key', credential: { keyHash: 'h' } } as const
  expect(withFields(key, body, [])).toBe(key)
})

describe.each([{ local: false }, { local: true }])('?token= in %j', (mode) => {
  const url = async (claims: { kind: 'agent' | 'run'; id: string }): Promise<string> =>
    `http://localhost/x?token=${await signStreamToken({ agentUid: 'u', tenantId: 'ten_2', ...claims }, config.encryptionKey, clock.now())}`

  test('opens exactly its own stream, of the tenant it was made for', async () => {
    const own = await url({ kind: 'run', id: 'run_1' })
    const reader = 'stream stream:u {"stream":{"tenant":"ten_2","agentUid":"u"}} u'
    expect(await outcome({}, { ...mode, access: 'run-stream', id: 'run_1', url: own })).toBe(reader)
    expect(await outcome({}, { ...mode, access: 'run-stream', id: 'run_2', url: own })).toBe('forbidden')
    expect(await outcome({}, { ...mode, access: 'agent-stream', id: 'run_1', url: own })).toBe('forbidden')
    expect(await outcome({}, { ...mode, access: 'run-stream', id: 'run_1', url: 'http://localhost/x?token=nonsense' })).toBe('unauthorized')
    expect(await outcome({}, { ...mode, access: 'run-stream', id: 'run_1', url: `http://localhost/x?token=${keyText}` })).toBe(
      'unauthorized',
    )
  })
})
